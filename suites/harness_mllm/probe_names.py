"""Values of the axis `probe`, known without what carries them out."""

PERMUTED = "choices permuted"
"""The probe that is carried out when prompts are written: the choices stand in another order."""

PROBE_NAMES = (
    "none",
    "no image",
    "another image",
    "images reversed",
    PERMUTED,
    "shot labels flipped",
    "shot labels random",
    "shot images shuffled",
    "shots without images",
)

SHOT_PROBES = ("shot labels flipped", "shot labels random", "shot images shuffled", "shots without images")
"""Probes that change the examples before a question."""
