"""Models of transformers: ones that answer questions about images, chat models, text encoders, and encoder pairs."""
