"""torchvision as plugins: its classification models and its classification data sets."""
