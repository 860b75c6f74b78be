"""The task runner of a stack: loads what is empty, migrates, backs up every night and verifies what it backed up."""
