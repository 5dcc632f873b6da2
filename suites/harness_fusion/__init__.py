"""Fusion of image and text: each modality alone and together, under one protocol."""
