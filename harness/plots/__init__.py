"""Plots of records: what a plot plugin offers, a style for paper and page, and the first-party plots."""
