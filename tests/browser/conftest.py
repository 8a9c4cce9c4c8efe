"""Chromium and notebook servers. These tests run in a separate process: Playwright keeps an event loop running."""

import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pages import Lab, write_settings
from paths import ROOT
from servers import serve


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser that cannot reach the network."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: make test-browser installs it")
    program = next(
        filter(None, [os.environ.get("CHROME"), shutil.which("chromium"), shutil.which("chromium-headless-shell")]),
        None,
    )
    if program is None:
        pytest.skip("no Chromium: install it (Debian: sudo apt-get install chromium), or set CHROME=/path/to/chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--disable-gpu", "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page whose test fails if it, or a page that it opens, asks another machine for anything."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1500})
    context.set_default_timeout(60_000)
    asked: list[str] = []

    def refuse(route: Any) -> None:
        asked.append(route.request.url)
        route.abort()

    context.route(_is_elsewhere, refuse)
    context.route_web_socket(_is_elsewhere, lambda socket: asked.append(socket.url))
    yield context.new_page()
    context.close()
    assert asked == []


def _is_elsewhere(url: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob", "file") and urlsplit(url).hostname != "127.0.0.1"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks and their files, because JupyterLab saves the notebooks that it opens."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(ROOT / "results" / "reference", folder / "results" / "reference")
    return folder


@pytest.fixture(scope="session")
def lab_address(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab on ``tree``, with its token."""
    state = tmp_path_factory.mktemp("lab")
    write_settings(state / "jupyterlab_settings_dir")
    token = secrets.token_hex(16)
    options = [
        "--allow-root",
        "--ip=127.0.0.1",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--ServerApp.terminals_enabled=False",
    ]
    with serve("jupyterlab", *options, cwd=tree, state=state, ready="/api") as address:
        yield f"{address}/lab?token={token}"


@pytest.fixture
def lab(page: Any, lab_address: str, tree: Path) -> Lab:
    page.goto(f"{lab_address}&reset", timeout=90_000)
    return Lab(page, tree)


@pytest.fixture(scope="session")
def voila(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Voilà server, started like ``make dashboard``."""
    pytest.importorskip("voila", reason="no voila: make test-browser installs it")
    command = re.search(r"^dashboard:.*?\n\t(.*?[^\\])\n", (ROOT / "Makefile").read_text(), re.DOTALL | re.MULTILINE)
    assert command
    options = [
        word
        for word in shlex.split(command[1].replace("\\\n", " "))
        if word.startswith("--") and "=" in word and "port" not in word
    ]
    options += ["--allow-root", "--IdentityProvider.token="]
    with serve("jupyter_server", *options, cwd=tree, state=tmp_path_factory.mktemp("voila"), ready="/") as address:
        yield address
