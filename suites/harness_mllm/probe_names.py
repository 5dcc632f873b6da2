"""Values of the axis `probe`, known without what carries them out."""

PROBE_NAMES = (
    "none",
    "no image",
    "another image",
    "images reversed",
    "shot labels flipped",
    "shot labels random",
    "shot images shuffled",
    "shots without images",
)

SHOT_PROBES = ("shot labels flipped", "shot labels random", "shot images shuffled", "shots without images")
"""Probes that change the examples before a question."""
