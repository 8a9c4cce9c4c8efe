"""The network of the paper (arXiv 2501.15774), read from the inside out: layers, attention, blocks, network, checkpoint."""
