"""Networks to train from their first weights: image classifiers whose layers, widths and heads are options."""
