"""Panels for notebooks: controls above a picture that :mod:`asid.plots` draws."""
