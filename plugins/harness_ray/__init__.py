"""The executor `ray`: cells in actors of a Ray cluster, or of this machine."""
