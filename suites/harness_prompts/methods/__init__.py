"""The methods that the prompts suite compares."""
