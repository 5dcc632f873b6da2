"""Generators, discriminators and translators as models, and metrics of what they generate."""
