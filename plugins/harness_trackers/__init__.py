"""Listeners that pass a run on to experiment trackers: TensorBoard, MLflow, Weights & Biases."""
