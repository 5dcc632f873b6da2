"""Suites of retrieval between images and texts, and of whether captions are read or only skimmed."""
