"""GAN stability: losses and remedies trained over many seeds, with verdicts and stability tables."""
