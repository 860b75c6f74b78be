"""Backups on real parts: the release's images as plain containers, and a real object-lock store."""
