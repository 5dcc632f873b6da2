"""Training of networks: recipe, loop, input pipeline, stopping, checkpoints, draws and augmentation."""
