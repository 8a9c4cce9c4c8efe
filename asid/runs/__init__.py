"""One run: train, score, record."""
