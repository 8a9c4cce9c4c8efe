"""Photographs in, patches and LR images out: finding, reading, MATLAB's bicubic resize, training patches, downloads."""
