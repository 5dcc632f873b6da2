"""Evaluation of a frozen network over a split: images, batches, features, text classifiers, weights."""
