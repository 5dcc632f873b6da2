"""Inputs of few-shot methods: a task seen through a frozen model, the model's text embeddings, and templates of prompts."""
