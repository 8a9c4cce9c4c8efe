"""Ablation studies: a grid of variants, one notebook a run, records, tables and figures."""
