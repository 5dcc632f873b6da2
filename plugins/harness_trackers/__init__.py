"""Listeners that report runs to experiment trackers: TensorBoard, MLflow, Weights & Biases."""
