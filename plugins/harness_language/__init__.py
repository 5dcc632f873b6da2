"""Models that speak: the contract of conversations with images, servers and local models, budgets, kept answers."""
