"""What a method that learns from a few shots gets: a task seen through a frozen model, and its texts."""
