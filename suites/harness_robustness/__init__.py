"""The robustness suite: how accuracy survives natural shifts and corruptions."""
