"""Prepares the toolchain of one checkout, with nothing but Python's standard library."""
