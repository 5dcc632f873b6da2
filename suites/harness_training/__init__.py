"""Suite of supervised training: recipes, ablations, and the networks that are trained."""
