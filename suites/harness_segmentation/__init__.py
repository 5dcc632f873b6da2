"""Segmentation: which class models give each pixel, as they are or after training, and how long it takes."""
