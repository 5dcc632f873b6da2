"""Language models that answer messages: an OpenAI-compatible endpoint and local ones, with budgets and transcripts."""
