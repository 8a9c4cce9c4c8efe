"""Where the repository lies."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAIN_VARIANT = ROOT / "notebooks" / "03_train_variant.ipynb"
"""The notebook of a run."""
