"""Published results: small files of facts with their sources, to stand beside one's own results."""
