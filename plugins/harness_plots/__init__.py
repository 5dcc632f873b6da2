"""Plots of records: bars, curves, confusion matrices, images, Pareto fronts, training curves."""
