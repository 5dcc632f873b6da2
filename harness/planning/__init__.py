"""From a suite file to a plan of cells."""
