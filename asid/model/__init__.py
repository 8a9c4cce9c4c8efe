"""The network of the paper (arXiv 2501.15774), from the inside out: layers, windows, attention, blocks, network."""
