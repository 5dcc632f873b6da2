"""The fusion methods, each a small class that imports torch only in `build`."""
