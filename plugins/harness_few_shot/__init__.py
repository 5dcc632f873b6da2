"""Inputs of few-shot methods: a task seen through a frozen model, and the model's text embeddings."""
