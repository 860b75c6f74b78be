"""The offline `command` plugin: speaks pulumi-command 1.2.1 for local commands."""
