"""Plots of records: the contract of plot plugins, a style for paper and page, and drawing."""
