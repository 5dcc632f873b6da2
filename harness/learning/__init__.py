"""Networks that are trained: recipe, loop, input pipeline, stopping, checkpoints, draws and augmentation."""
