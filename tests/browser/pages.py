"""Actions of the tests on a page: run a notebook, move a control, compare pictures."""

import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import nbformat
import numpy as np
from paths import ROOT
from PIL import Image

Seen = TypeVar("Seen")
SHOTS = Path(__file__).parent / "shots"

# The user interface shows neither when a kernel is ready nor errors in callbacks.
_IN_THE_PAGE = """window.asid = {
  panel: path => [...jupyterapp.shell.widgets('main')].find(w => w.context?.path === path),
  async open(path) {
    await jupyterapp.restored;
    await jupyterapp.commands.execute('docmanager:open', {path});
    const panel = asid.panel(path);
    await panel.context.ready;
    await panel.revealed;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    asid.errors = [];
    panel.sessionContext.iopubMessage.connect((_, {header, content}) => {
      if (header.msg_type === 'error') asid.errors.push(content.ename + ': ' + content.evalue);
    });
  },
  async run(path) {
    const panel = asid.panel(path);
    jupyterapp.shell.activateById(panel.id);
    await jupyterapp.commands.execute('notebook:run-all-cells');
    const cells = panel.content.widgets.map(cell => cell.model).filter(model => model.type === 'code');
    return cells.map(model => [model.executionCount, model.outputs.toJSON()]);
  },
  save: path => asid.panel(path).context.save(),
  async close(path) {
    const panel = asid.panel(path);
    await panel.sessionContext.shutdown();
    await panel.context.revert();
    panel.dispose();
  },
}"""

# Null while the picture is being replaced.
_BYTES_OF_IMAGE = """async image => {
  const blob = await image.decode().then(() => fetch(image.src)).then(answer => answer.blob()).catch(() => null);
  return blob && await new Promise(done => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(',')[1]);
    reader.readAsDataURL(blob);
  });
}"""


class Lab:
    """JupyterLab on a page."""

    def __init__(self, page: Any, root: Path) -> None:
        self.page, self.root = page, root
        page.wait_for_function("window.jupyterapp", timeout=90_000)
        page.evaluate(_IN_THE_PAGE)

    def run(self, path: str) -> Any:
        """Open the notebook ``path``, run all of its cells, and return its element on the page. No cell may fail."""
        self._call("open", path, seconds=90)
        cells = self._call("run", path, seconds=240)
        assert cells
        assert all(count for count, _ in cells), "a cell was not run"
        errors = [output["evalue"] for _, outputs in cells for output in outputs if output["output_type"] == "error"]
        assert errors == []
        return self.page.locator(".jp-NotebookPanel:visible")

    def run_cells(self, *sources: str) -> Any:
        """Run a notebook that consists of these code cells."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(notebook, self.root / "notebooks" / "cells.ipynb")
        return self.run("notebooks/cells.ipynb")

    @property
    def errors(self) -> list[str]:
        """Errors of the kernel since the notebook was opened, including those in callbacks."""
        return list(self.page.evaluate("asid.errors"))

    def save(self, path: str) -> bytes:
        """Save the notebook; return what is then in its file."""
        self._call("save", path, seconds=30)
        return (self.root / path).read_bytes()

    def close(self, path: str) -> None:
        """Shut down the kernel and close the notebook without saving it."""
        self._call("close", path, seconds=30)

    def _call(self, name: str, path: str, seconds: float) -> Any:
        """Evaluate with a time limit: ``page.evaluate`` has none."""
        error = f"Error('{name} took more than {seconds} seconds')"
        late = f"new Promise((_, fail) => setTimeout(() => fail({error}), {seconds * 1000}))"
        return self.page.evaluate(f"path => Promise.race([asid.{name}(path), {late}])", path)


class Shown:
    """A panel on a page: the element with the CSS class ``name``."""

    def __init__(self, inside: Any, name: str) -> None:
        self.name = name
        self.root = inside.locator(f".{name}:visible")
        self.root.first.wait_for(timeout=60_000)
        self.root.scroll_into_view_if_needed()

    def picture(self) -> bytes:
        """The bytes of the current image, of the last one if there are several."""
        image = self.root.locator("img.widget-image").last
        return base64.b64decode(await_that(lambda: image.evaluate(_BYTES_OF_IMAGE), bool))

    def slider(self, label: str) -> Any:
        """The handle of the slider with this label."""
        return self._labelled(".widget-slider", label).get_by_role("slider")

    def dropdown(self, label: str) -> Any:
        """The dropdown with this label."""
        return self._labelled(".widget-dropdown", label).locator("select")

    def _labelled(self, kind: str, label: str) -> Any:
        return self.root.locator(kind).filter(has=self.root.page.get_by_text(label, exact=True))

    def change(self, label: str) -> bytes:
        """Move the slider or dropdown with this label, and return the new picture, which must differ."""
        before = self.picture()
        if self.dropdown(label).count():
            index, count = self.dropdown(label).evaluate("select => [select.selectedIndex, select.options.length]")
            self.dropdown(label).select_option(index=(index + 1) % count)
        else:
            self.slider(label).press("PageUp")
        picture = await_that(lambda: self.alerts or self.picture(), lambda seen: seen != before)
        assert isinstance(picture, bytes), f"the panel shows an error: {picture}"
        assert is_drawn(picture)
        return picture

    @property
    def alerts(self) -> list[str]:
        """The error messages that the panel shows."""
        return list(self.root.get_by_role("alert").all_inner_texts())

    def photograph(self, name: str) -> None:
        """Save a screenshot of the panel."""
        screenshot(self.root, name)


class Touch:
    """The cards of a panel that is touched."""

    def __init__(self, panel: Shown) -> None:
        self.panel = panel
        self.cards = panel.root.locator(".asid-touch-cards")
        self.cards.wait_for()

    def canvas(self, card: int) -> Any:
        """The large image of a card."""
        return self.cards.locator(".asid-touch-large").nth(card)

    def title(self, card: int = 1) -> str:
        return str(self.cards.locator(".asid-touch-title").nth(card).inner_text())

    def query(self) -> tuple[int, int]:
        """Row and column, as the sliders say."""
        row, column = (self.panel.slider(name).get_attribute("aria-valuenow") for name in ("row", "column"))
        return int(float(row or 0)), int(float(column or 0))

    def follows_a_click(self) -> tuple[int, int]:
        """Click at a quarter of the width of the photograph: query and map follow. Returns the query."""
        photograph, shown = self.canvas(0), self.canvas(1)
        await_that(lambda: is_drawn(photograph.screenshot()) and is_drawn(shown.screenshot()), bool)
        query, picture = self.query(), shown.screenshot()
        box = photograph.bounding_box()
        photograph.click(position={"x": 0.25 * box["width"], "y": 0.5 * box["height"]})
        await_change(shown.screenshot, picture)
        return await_change(self.query, query)

    def drag(self, canvas: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag between two places, as shares of width and height."""
        box = canvas.bounding_box()
        mouse = canvas.page.mouse
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
        mouse.move(*places[0])
        mouse.down()
        mouse.move(*places[1], steps=8)
        mouse.up()


def check_pictures_of_index(index: Any) -> None:
    """Each notebook has a row with its picture, which is loaded."""
    pictures = index.locator("table img")
    rows = index.locator("tbody tr").count()
    assert pictures.count() == rows == len(list((ROOT / "notebooks").glob("0[1-9]*.ipynb")))
    await_that(lambda: pictures.evaluate_all("all => all.every(image => image.naturalWidth > 100)"), bool)


def screenshot(shown: Any, name: str) -> None:
    """Save a screenshot of a page or an element."""
    SHOTS.mkdir(exist_ok=True)
    shown.screenshot(path=SHOTS / f"{name}.png")


def await_change(look: Callable[[], Seen], before: Seen, seconds: float = 60) -> Seen:
    """Poll until the value differs from ``before``, and return it."""
    return await_that(look, lambda seen: seen != before, seconds)


def await_that(look: Callable[[], Seen], holds: Callable[[Seen], bool], seconds: float = 60) -> Seen:
    """Poll until the value ``holds``, and return it."""
    end = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < end, f"no change in {seconds} s"
        time.sleep(0.1)
    return seen


def is_drawn(png: bytes) -> bool:
    """Whether a picture is not blank: more than one colour, and more than a few dots on white."""
    grey = np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)
    return bool(grey.std() > 8 and np.mean(grey < 250) > 0.05)


def write_settings(folder: Path) -> None:
    """Configure JupyterLab: render all cells, access no network. Callbacks run in their usual thread."""
    settings: dict[str, dict[str, Any]] = {
        "apputils-extension/notification": {"doNotDisturbMode": True},
        "notebook-extension/tracker": {"windowingMode": "none"},
        "docmanager-extension/plugin": {"autosave": False},
    }
    for name, values in settings.items():
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
