"""Stele's component resources: read the file names to see what the product does."""
