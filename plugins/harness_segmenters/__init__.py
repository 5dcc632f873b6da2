"""Models that give each pixel of an image a class: torchvision's, transformers', smp's and small ones; weights of pixels."""
