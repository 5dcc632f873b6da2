"""Fusion of image and text: what each modality brings, alone and together, under one protocol."""
