"""Leaderboards: aggregate, test, lay out and write records in several formats. Imports no torch."""
