"""The touched widget without Jupyter: any host of such modules (VS Code, Voilà, Colab) gives it no more than this."""

import base64
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import Normalize
from pages import await_that, is_drawn

from asid.panels.touch import TouchView, _png_of, card, cells, colour_bar, small_maps

pytestmark = pytest.mark.browser

HOST = """
window.host = {
  async start(module, css) {
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
    host.widget = (await import("data:text/javascript;base64," + module)).default;
    const photo = new DataView(new ArrayBuffer(0));
    host.state = { cards: [], photo, size: [1, 1], pixel: [0, 0], live: true, help: "" };
    host.handlers = new Set();
    host.saved = [];
    host.sent = [];
    host.model = {
      get: name => host.state[name],
      set: (name, value) => { host.state[name] = value; },
      save_changes: () => host.saved.push(host.state.pixel),
      send: content => host.sent.push(content),
      on: (name, handler) => host.handlers.add([name, handler]),
      off: (name, handler) => host.handlers.forEach(one => {
        if (one[0] === name && one[1] === handler) host.handlers.delete(one);
      }),
    };
    host.ends = [];
  },
  show(id) {
    const el = Object.assign(document.createElement("div"), { id });
    document.body.append(el);
    host.ends.push(host.widget.render({ model: host.model, el }));
  },
  receive(state) {
    const revive = (_, value) => value?.base64 === undefined ? value
      : new DataView(Uint8Array.from(atob(value.base64), character => character.charCodeAt(0)).buffer);
    Object.assign(host.state, JSON.parse(JSON.stringify(state), revive));
    for (const [name, handler] of host.handlers) if (name.slice("change:".length) in state) handler();
  },
};"""


def test_it_is_a_module_that_stands_alone(page: Any) -> None:
    """It is shown before its state arrives, shown twice, and one of the two is removed."""
    page.evaluate(HOST)
    page.evaluate("([module, css]) => host.start(module, css)", [_base64(TouchView._esm), str(TouchView._css)])
    page.evaluate("host.show('first')")
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    page.evaluate("state => host.receive(state)", _state(image, (4, 7)))
    page.evaluate("host.show('second')")
    first, second = (page.locator(f"#{name} .asid-touch-large") for name in ("first", "second"))
    for shown in (first, second):
        await_that(
            lambda shown=shown: is_drawn(shown.nth(0).screenshot()) and is_drawn(shown.nth(1).screenshot()), bool
        )

    box = first.nth(0).bounding_box()
    first.nth(0).click(position={"x": box["width"] * 0.52, "y": box["height"] * 0.26})
    assert page.evaluate("host.saved.at(-1)") == [5, 15]
    page.locator("#second .asid-touch-small").click()
    assert page.evaluate("host.sent") == [{"choose": {"group": 1}}]

    handlers = page.evaluate("host.handlers.size")
    page.evaluate("host.ends[0]()")
    assert page.evaluate("host.handlers.size") == handlers / 2
    before = second.nth(0).screenshot()
    page.evaluate("state => host.receive(state)", _state(image, (15, 20)))
    await_that(second.nth(0).screenshot, lambda seen: seen != before)


def _state(image: Any, query: tuple[int, int]) -> Any:
    norm, colours = Normalize(0, 1), colormaps["viridis"]
    attention = cells(np.linspace(0, 1, 600).reshape(20, 30), norm, colours)
    small = {"map": attention, "part": [0, 0, 20, 30], "label": "one", "chosen": False, "key": {"group": 1}}
    photograph = card("photograph", (20, 30), ground="photo", query=query, touch=True)
    shown = card(
        "map", (20, 30), shown=attention, bar=colour_bar(norm, colours, "x"), multiples=[small_maps("all", 1, [small])]
    )
    return _packed({"cards": [photograph, shown], "photo": _png_of(image), "size": [20, 30], "pixel": list(query)})


def _packed(value: Any) -> Any:
    """Bytes as the host reads them, at any depth."""
    match value:
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {key: _packed(item) for key, item in value.items()}
        case list():
            return [_packed(item) for item in value]
        case _:
            return value


def _base64(text: Any) -> str:
    return base64.b64encode(str(text).encode()).decode()
