"""Leaderboards: records aggregated, tested, laid out and written in several formats. No torch here."""
