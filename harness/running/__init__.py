"""Running the cells of a plan: workers, executors, events, progress and logs."""
