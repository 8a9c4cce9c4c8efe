"""``asid ablate``: studies of many variants."""
