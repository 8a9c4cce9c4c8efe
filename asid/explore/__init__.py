"""Panels for notebooks: controls above a picture. They draw with :mod:`asid.figures`, on data from the packages before them."""
