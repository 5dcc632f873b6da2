"""Records of cells: what stands in them, where they are kept, and with what they were made."""
