"""A hash of what Python code does: of its syntax tree without what only people read, on any Python version.

Not hashed: comments and layout, docstrings, annotations, imports that only annotations use, the arguments of raised
errors, messages of assertions, calls of loggers and of ``warnings``, and web addresses. Everything else is, down to the
order of statements.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_LOGGERS = {"LOGGER", "logger", "logging", "warnings"}
_ANNOTATIONS = {"annotation", "returns", "type_comment", "type_params"}
_NOT_CODE = {*_ANNOTATIONS, "ctx", "kind"}
_ADDRESS = re.compile(r"https?://")


def code_digest(package: Path, entries: Iterable[str], *, within: Iterable[str], without: Iterable[str] = ()) -> str:
    """Twelve hexadecimal digits of SHA-256 over the code that the modules ``entries`` run.

    Args:
        package: Folder of the package.
        entries: Modules to begin with, by their names in the package, e.g. ``training.train``. Modules of the package
            that these import, directly or indirectly, anywhere in their text, enter as well.
        within: Folders and modules of the package that imports are followed into.
        without: Modules that do not enter, and that imports are not followed into.
    """
    sources = modules_in_use(package, entries, within=within, without=without)
    total = hashlib.sha256()
    for name in sorted(sources):
        total.update(f"{name} {source_digest(sources[name])}\n".encode())
    return total.hexdigest()[:12]


def modules_in_use(
    package: Path, entries: Iterable[str], *, within: Iterable[str], without: Iterable[str] = ()
) -> dict[str, str]:
    """The modules that enter a :func:`code_digest`, with their source text.

    Raises:
        FileNotFoundError: A module in ``entries`` or ``without`` does not exist: it was renamed, and the list was not.
    """
    within, without = tuple(within), set(without)
    for name in without:
        if not _file(package, name).is_file():
            raise FileNotFoundError(f"no module {name} in {package}")
    sources: dict[str, str] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in sources or name in without:
            continue
        sources[name] = _file(package, name).read_text(encoding="utf-8")
        for imported in _imports(ast.parse(sources[name]), package.name):
            if imported.split(".")[0] in within and _file(package, imported).is_file():
                waiting.append(imported)
    return sources


@cache
def source_digest(source: str) -> str:
    """SHA-256 over what the code in ``source`` does, as hexadecimal digits."""
    tree = ast.parse(source)
    lines = list(_write(tree, ""))
    names = {node.id for node in _code_nodes(tree) if isinstance(node, ast.Name)}
    bound = sorted(f"{name} = {origin}" for name, origin in _bindings(tree) if name.split(".")[0] in names)
    return hashlib.sha256("\n".join([*bound, *lines]).encode()).hexdigest()


def _file(package: Path, name: str) -> Path:
    return package.joinpath(*name.split(".")).with_suffix(".py")


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Modules of ``package`` that may be imported: of ``from a.b import c`` both ``a.b`` and ``a.b.c``."""
    for _, origin in _bindings(tree):
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
    """The syntax tree as lines of text. Empty fields are left out: Python versions differ in which there are."""
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
