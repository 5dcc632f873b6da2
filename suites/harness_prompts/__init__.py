"""The prompts suite: hand-written prompts, ensembles, learned contexts, adapters, and prompts found by search."""
