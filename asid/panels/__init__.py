"""Panels for notebooks: controls above a picture. They draw with :mod:`asid.plots.study`, on data from the packages before them."""
