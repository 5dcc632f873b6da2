"""Suites that train image classifiers from scratch: architectures, layers, recipes and regularisation."""
