"""What runs with no download: drawn scenes, real digits, and tiny models trained on the spot."""
