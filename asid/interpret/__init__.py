"""Looking inside a network: what a pixel attends to."""
