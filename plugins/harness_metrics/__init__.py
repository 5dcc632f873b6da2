"""Metrics on what a classifier predicted: accuracy, calibration, temperature scaling."""
