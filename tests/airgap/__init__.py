"""The offline toolchain: installer and language host."""
