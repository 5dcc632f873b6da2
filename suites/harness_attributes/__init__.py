"""Suites of attribute-based classification: classes that are described by attributes, and never shown."""
