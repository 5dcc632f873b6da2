"""Text encoders from transformers, and pairs of two models as one image-text model."""
