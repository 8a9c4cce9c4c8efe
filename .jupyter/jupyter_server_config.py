"""What ``make lab`` and ``make dashboard`` set; the user's own configuration of Jupyter holds beside it."""

import json
import subprocess
from pathlib import Path

STRIP = Path(__file__).parents[1] / ".ci" / "strip"


def save_as_committed(path, model, **_):
    """Save the notebooks of the project without outputs: after Run All, git has nothing to report."""
    if model["type"] == "notebook" and model.get("content") and Path(path).parts[:1] == ("notebooks",):
        text = json.dumps(model["content"])
        done = subprocess.run([STRIP], input=text, capture_output=True, text=True, encoding="utf-8", check=True)
        model["content"] = json.loads(done.stdout)


c = get_config()  # noqa: F821
c.FileContentsManager.pre_save_hook = save_as_committed
c.ServerApp.tornado_settings = {
    "websocket_max_message_size": 2**28,  # an uploaded photograph is one message
    "mathjax_url": "null",  # pages have no formulas: with both, Voilà fetches no MathJax from another server
    "mathjax_config": "null",
}
c.LabApp.extension_manager = "readonly"  # the other one asks PyPI; versions are those of constraints.txt
c.LabApp.default_url = "/lab/tree/notebooks/00_index.ipynb"
