"""Models that find objects in images: torchvision's and transformers' detectors, and small ones to train from scratch."""
