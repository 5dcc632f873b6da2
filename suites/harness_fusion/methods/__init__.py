"""The fusion methods, each a small class; none imports torch before it is built."""
