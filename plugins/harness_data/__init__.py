"""Data sets: folders, shards, hub data, the ImageNet and CIFAR families, and corruptions."""
