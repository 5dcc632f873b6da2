"""Running of plans: workers, executors, listeners, progress, and logs of trainings."""
