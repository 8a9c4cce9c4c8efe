"""Photographs in, patches and LR images out: reading, MATLAB's bicubic reduction, sample photographs, training patches."""
