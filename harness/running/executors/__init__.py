"""Executors: in which processes cells run. They decide no result."""
