"""Python language host for the Pulumi engine, on the generated stubs of the PyPI SDK."""
