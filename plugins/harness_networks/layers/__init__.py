"""Layers as plugins: pooling, convolution and normalisation of a small network, and what measures them."""
