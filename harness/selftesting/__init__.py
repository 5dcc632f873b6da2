"""A check of a machine: small parts of every suite on its device and on the CPU, compared number by number."""
