"""Suites of retrieval between images and texts: exact ranks, hubs and their remedies, captions that differ by a word."""
