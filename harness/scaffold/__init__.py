"""Packages to start a plugin from: what `harness new` writes, and its templates."""
