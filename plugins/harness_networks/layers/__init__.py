"""Layers as plugins: pooling, convolution and normalisation of a small network, and features from k-means."""
