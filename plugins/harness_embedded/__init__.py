"""Data sets and models that need no download: drawn scenes, real digits, and tiny models trained on first use."""
