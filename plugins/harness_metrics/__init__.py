"""Metrics of a classifier's predictions: accuracy, F1, calibration, temperature scaling, label sets."""
