"""Importers: what other programs measured, as records of a store."""
