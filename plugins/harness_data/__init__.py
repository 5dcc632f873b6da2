"""Data sets: folders, shards, the Hugging Face hub, the ImageNet and CIFAR families, pairs, and corruptions."""
