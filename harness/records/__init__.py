"""Records of cells: their content, their place, and their provenance."""
