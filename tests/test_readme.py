"""The README is true: its code runs, its study is valid, its commands, and those of other pages, and files exist."""

import re

import pytest
import yaml
from command_line import parse
from paths import ROOT

from asid.ablation.study.study import StudyConfig

pytestmark = pytest.mark.process

README = (ROOT / "README.md").read_text()
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for pattern in ("*.md", "*/README.md", "asid/*/README.md", "docs/*.md")
    for path in sorted(ROOT.glob(pattern))
}


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_snippet_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (snippet,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    height, width, _ = names["lr"].shape  # type: ignore[attr-defined]
    assert names["sr"].shape == (2 * height, 2 * width, 3)  # type: ignore[attr-defined]
    assert "bicubic" in capsys.readouterr().out


def test_the_study_is_the_quick_one_without_its_recipe() -> None:
    (study,) = blocks("yaml")
    shown, whole = yaml.safe_load(study), yaml.safe_load((ROOT / "ablations" / "quick.yaml").read_text())
    assert StudyConfig.model_validate(shown)
    del whole["base"]
    assert shown == whole


def test_the_commands_can_be_typed() -> None:
    written = {
        page: re.findall(r"^(?:[A-Z_]+=\S+ )?(asid .*)", "".join(blocks("sh", text)), re.MULTILINE)
        for page, text in PAGES.items()
    }
    for page in ("README.md", "ablations/README.md", "docs/evaluation.md", "docs/inside.md"):
        assert written[page], page
    for lines in written.values():
        for line in lines:
            parse(line)


def test_the_commands_in_running_text_exist() -> None:
    written = [line for text in PAGES.values() for line in re.findall(r"`(?:[A-Z_]+=\S+ )?(asid [^`…|>]*)`", text)]
    assert "asid ablate resume" in written
    for line in written:
        try:
            parse(line)
        except Exception as error:
            if type(error).__name__ != "MissingParameter":  # it is named, not shown in full; typer's click is private
                raise


def test_the_links_and_the_tree_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link).exists()] == []
    tree = next(block for block in blocks("text") if block.startswith("asid/"))
    parts = re.findall(r"^( *)(\S+?/?)  +\S", tree, re.MULTILINE)
    ablation = {"study/", "engine/", "report/"}
    for indent, name in parts:
        parent = {0: "", 2: "asid/", 4: "asid/ablation/"}[len(indent)] if name not in ablation else "asid/ablation/"
        assert (ROOT / parent / name).exists(), name


def test_each_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= targets
