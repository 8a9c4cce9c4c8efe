"""What is wrong with the text of a study file, each problem with its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from asid.ablation.study.expand import Study, expand
from asid.ablation.study.study import StudyError, read_study_text
from asid.config import describe_errors
from asid.files import parse_yaml


@dataclass(frozen=True)
class Problem:
    """Something in a study file that cannot be run."""

    text: str
    """The field, what was expected and what it has."""
    line: int | None
    """Line of the field, from 1; ``None`` if it is not in the file."""


def check_text(text: str, path: Path) -> tuple[Study | None, list[Problem]]:
    """Read a study and find all that is wrong with it.

    Args:
        text: Content of a study file.
        path: Where the file is, or would be.

    Returns:
        The study, or the problems.
    """
    try:
        parse_yaml(text)
    except ValueError as error:
        place = re.search(r"line (\d+)", str(error))
        return None, [Problem(f"not valid YAML: {error}", int(place[1]) if place else None)]
    try:
        return expand(read_study_text(text, path)), []
    except StudyError as error:
        lines = list(error.problems)
    except ValidationError as error:
        lines = describe_errors(error)
    except ValueError as error:
        lines = [str(error)]
    return None, [Problem(line.removeprefix(f"{path}: "), _line_of(line, text)) for line in lines]


def _line_of(problem: str, text: str) -> int | None:
    """The line of the field that a problem begins with, or of the nearest field around it."""
    root = yaml.compose(text, yaml.SafeLoader)
    return next(filter(None, (_find(root, place.split(".")) for place in _places(problem))), None)


def _places(problem: str) -> Iterator[str]:
    """Where the fields of a problem may be, the most exact place first."""
    words = problem.split(": ")
    first = words[0].removeprefix("variant ")
    inner = words[1] if len(words) > 2 and re.fullmatch(r"[\w.]+", words[1]) else ""
    for field in filter(None, (f"{first}.{inner}" if inner else "", first)):
        yield field
        yield f"variants.{field}"
        yield f"factors.{field}"
    if first == "base":
        yield "preset"
    if problem.startswith("variant "):
        yield "factors"
        yield "variants"


def _find(node: yaml.Node | None, keys: list[str]) -> int | None:
    """The line of the innermost key that exists, if the first one does. Keys may contain dots."""
    if not isinstance(node, yaml.MappingNode):
        return None
    for length in range(len(keys), 0, -1):
        for key, value in node.value:
            if key.value == ".".join(keys[:length]):
                return _find(value, keys[length:]) or int(key.start_mark.line) + 1
    return None
