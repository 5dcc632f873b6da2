"""Text encoders from transformers, and an image encoder paired with a text encoder as one model."""
