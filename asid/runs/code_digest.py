"""A hash of what Python code does: of its syntax tree without what only people read, equal on all Python versions.

Not hashed: comments and layout, docstrings, annotations, imports that only annotations use, the arguments of raised
errors, messages of assertions, calls of loggers and of ``warnings``, and web addresses. Everything else is, down to the
order of statements.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypedDict, Unpack

_LOGGERS = {"LOGGER", "logger", "logging", "warnings"}
_ANNOTATIONS = {"annotation", "returns", "type_comment", "type_params"}
_NOT_CODE = {*_ANNOTATIONS, "ctx", "kind"}
_ADDRESS = re.compile(r"https?://")


class CodeOf(TypedDict):
    """Which modules of a package enter a hash. All names are relative to the package, e.g. ``training.train``."""

    entries: tuple[str, ...]
    """Modules to begin with. What they import from the package, directly or indirectly, enters as well."""
    within: tuple[str, ...]
    """Folders and modules into which imports are followed."""
    without: tuple[str, ...]
    """Modules that do not enter, and into which imports are not followed."""


def code_digest(package: Path, **code: Unpack[CodeOf]) -> str:
    """Twelve hexadecimal digits of SHA-256 over what the modules of ``package`` in :class:`CodeOf` do."""
    sources = modules_in_use(package, **code)
    total = hashlib.sha256()
    for name in sorted(sources):
        total.update(f"{name} {source_digest(sources[name])}\n".encode())
    return total.hexdigest()[:12]


def modules_in_use(package: Path, **code: Unpack[CodeOf]) -> dict[str, str]:
    """The modules that enter :func:`code_digest`, with their source text.

    Raises:
        FileNotFoundError: A module in ``entries`` or ``without`` does not exist: it was renamed, and the list was not.
    """
    for name in code["without"]:
        if not _file(package, name).is_file():
            raise FileNotFoundError(f"no module {name} in {package}")
    sources: dict[str, str] = {}
    waiting = list(code["entries"])
    while waiting:
        name = waiting.pop()
        if name in sources or name in code["without"]:
            continue
        sources[name] = _file(package, name).read_text(encoding="utf-8")
        for imported in _imports(sources[name], package.name):
            if imported.split(".")[0] in code["within"] and _file(package, imported).is_file():
                waiting.append(imported)
    return sources


def source_digest(source: str) -> str:
    """SHA-256 over what the code in ``source`` does, as hexadecimal digits."""
    return _analyse(source)[0]


@cache
def _analyse(source: str) -> tuple[str, frozenset[str]]:
    """The digest of ``source``, and what it imports."""
    tree = ast.parse(source)
    bindings = list(_bindings(tree))
    names = {node.id for node in _code_nodes(tree) if isinstance(node, ast.Name)}
    bound = sorted(f"{name} = {origin}" for name, origin in bindings if name.split(".")[0] in names)
    digest = hashlib.sha256("\n".join([*bound, *_write(tree, "")]).encode()).hexdigest()
    return digest, frozenset(origin for _, origin in bindings)


def _file(package: Path, name: str) -> Path:
    return package.joinpath(*name.split(".")).with_suffix(".py")


def _imports(source: str, package: str) -> Iterator[str]:
    """Modules of ``package`` that ``source`` may import: for ``from a.b import c`` both ``a.b`` and ``a.b.c``."""
    for origin in _analyse(source)[1]:
        parts = origin.split(".")
        if parts[0] == package and len(parts) > 1:
            yield ".".join(parts[1:])
            yield ".".join(parts[1:-1]) or parts[1]


def _bindings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that imports bind, anywhere in the code, each with what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((alias.asname or alias.name, f"{module}.{alias.name}") for alias in node.names)


def _code_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and all nodes below it that are hashed."""
    yield node
    for _, value in _fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code_nodes(child)


def _write(value: object, indent: str) -> Iterator[str]:
    """The syntax tree as lines of text. Empty fields are left out: Python versions differ in which ones exist."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and _ADDRESS.match(value.value):
        yield f"{indent}an address"
    elif isinstance(value, ast.Constant):
        yield f"{indent}{type(value.value).__name__} {value.value!a}"
    elif isinstance(value, ast.AST):
        annotated = isinstance(value, ast.AnnAssign) and value.value is not None
        yield f"{indent}{'Assign' if annotated else type(value).__name__}"
        for name, item in _fields(value):
            yield f"{indent} {name}"
            yield from _write(item, f"{indent}  ")
    elif isinstance(value, list):
        for item in value:
            yield f"{indent}-"
            yield from _write(item, f"{indent} ")
    else:
        yield f"{indent}{value}"


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The fields of ``node`` that are hashed, reduced to what the code does."""
    if isinstance(node, ast.Raise):
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        yield from [("exc", error)] if error is not None else []
        return
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign(targets=[node.target], value=node.value)
    for name in node._fields:
        value = getattr(node, name, None)
        if name in _NOT_CODE or (isinstance(node, ast.Assert) and name == "msg"):
            continue
        if isinstance(value, list):
            value = [item for item in value if not _is_for_people(item)]
        if value is not None and value != []:
            yield name, value


def _is_for_people(node: object) -> bool:
    """Whether a statement computes nothing: a docstring, an import (see :func:`source_digest`), a log message."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    function = node.value.func if isinstance(node.value, ast.Call) else None
    while isinstance(function, ast.Attribute):
        function = function.value
    return isinstance(function, ast.Name) and function.id in _LOGGERS
