"""Where the repository lies, and its scripts outside the package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
TRAIN_VARIANT = ROOT / "notebooks" / "03_train_variant.ipynb"
"""The notebook of a run."""
DOCS = ROOT / "docs"


def load_script(name: str) -> ModuleType:
    """Import ``docs/<name>.py`` as if it were run: with its folder before the others, and by its own name."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))
