"""Broken plugins."""
