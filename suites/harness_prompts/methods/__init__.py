"""What the prompts suite compares: each module holds methods that can be plugins of their own."""
