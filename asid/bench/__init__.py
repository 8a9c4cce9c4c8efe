"""``asid bench``: what the package costs on this machine, beside a plain implementation, and how cost grows."""
