"""Suites of multimodal language models: questions about images, examples in context, and whether they looked."""
