"""Objects and regions in images: what models offer, what is kept of their outputs, and the numbers from it."""
