"""The toolchain for networks on which only package registries answer (see docs)."""
