"""The pictures of an executed notebook."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image


def check_pictures(notebook: Any) -> None:
    """A notebook shows at least one picture, and none is blank."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L")).std() > 5, "a blank picture"
