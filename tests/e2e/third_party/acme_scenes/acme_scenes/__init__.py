"""Rectangles to detect and to describe."""
