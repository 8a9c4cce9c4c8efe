"""Ablation studies: many variants, one notebook per run, records, tables and figures."""
