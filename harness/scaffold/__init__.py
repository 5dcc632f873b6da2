"""Packages to begin a plugin with: what `harness new` writes, and the templates it is written from."""
