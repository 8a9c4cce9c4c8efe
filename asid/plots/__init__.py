"""Plots: data and an ``ax`` in. No model is imported here."""
