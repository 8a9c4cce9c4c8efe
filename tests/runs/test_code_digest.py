"""What changes the hash of the code: everything that is computed, nothing that only people read."""

import ast
import io
import shutil
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asid.runs.code_digest import code_digest, modules_in_use, source_digest
from asid.runs.identity import PACKAGE, SCORES, WEIGHTS

SAMPLE = '''"""A module."""

import math
from typing import Any

from asid.model.layers import FFN as Gate

ADDRESS = "https://example.org/set5.zip"
NAMES = ["zeros", "reflect"]  # the paper's first
LIMIT: int = 3
"""How many."""


class Layer(Base):
    """A layer."""

    width: int = 8
    scale: float

    def __init__(self, width: int, *, bias: bool = False) -> None:
        super().__init__()
        self.gate = Gate(width, bias=bias)

    def forward(self, x: Any) -> Any:
        """Apply it."""
        if x.ndim != 4:
            raise ValueError(f"expected four dimensions, got {x.ndim}")
        assert x.shape[1] > 0, "empty"
        LOGGER.debug("shape %s", x.shape)
        y = self.gate(x) * self.scale ** -0.5
        y = y + x[:, 1:, ::2] if self.bias else y
        return [math.exp(-a) for a in y if a < 1e-6 and a is not None]
'''
GOLDEN = "0fcd9fed"
"""How the hash of the sample begins, on any version of Python."""

HARMLESS = [
    ('"""A module."""', '"""Another text."""'),
    ('"""A module."""\n', ""),
    ('"""A layer."""', '"""Says\n\n    more."""'),
    ('        """Apply it."""\n', ""),
    ('"""How many."""\n', ""),
    ("  # the paper's first", ""),
    ("class Layer", "# a comment\n\nclass Layer"),
    ("LIMIT: int = 3", "LIMIT: float = 3"),
    ("LIMIT: int = 3", "LIMIT = 3"),
    ("LIMIT: int = 3", "LIMIT = (\n    3\n)"),
    ("x: Any", "x: 'Tensor | None'"),
    (") -> Any:", ") -> list[float]:"),
    ("width: int = 8", "width: Annotated[int, Field(ge=1)] = 8"),
    ("scale: float", "scale: int"),
    ("from typing import Any\n", "from typing import Any, Literal\nimport os\n"),
    ("import math\n", "import math\nif TYPE_CHECKING:\n    from numpy import ndarray\n"),
    ("https://example.org/set5.zip", "https://example.org/mirror/set5.zip"),
    ("expected four dimensions", "expected 4 dimensions"),
    ('f"expected four dimensions, got {x.ndim}"', '"wrong" + str(x.shape)'),
    (', "empty"', ""),
    ('LOGGER.debug("shape %s", x.shape)', 'LOGGER.info("its shape is %s", x.shape)'),
    ('        LOGGER.debug("shape %s", x.shape)\n', ""),
    ("        super().__init__()\n", '        super().__init__()\n        warnings.warn("slow", stacklevel=2)\n'),
    ('["zeros", "reflect"]', "['zeros', 'reflect']"),
]
NUMERIC = [
    ("LIMIT: int = 3", "LIMIT: int = 4"),
    ("LIMIT: int = 3", "LIMIT: int = 3.0"),
    ("LIMIT: int = 3", "LIMIT: int"),
    ('["zeros", "reflect"]', '["reflect", "zeros"]'),
    ('["zeros", "reflect"]', '("zeros", "reflect")'),
    ('"reflect"', '"replicate"'),
    ("width: int = 8", "width: int = 16"),
    ("    width: int = 8\n    scale: float\n", "    scale: float\n    width: int = 8\n"),
    ("bias: bool = False", "bias: bool = True"),
    ("width: int, *, bias", "width: int, bias"),
    ("bias=bias", "bias=False"),
    ("Gate(width, bias=bias)", "Gate(width)"),
    ("        super().__init__()\n", ""),
    ("layers import FFN as", "layers import GELU as"),
    ("asid.model.layers import", "asid.model.blocks import"),
    ("import math", "import cmath as math"),
    ("x.ndim != 4", "x.ndim != 3"),
    ("x.ndim != 4", "x.ndim == 4"),
    ("raise ValueError", "raise TypeError"),
    ("x.shape[1] > 0", "x.shape[1] >= 0"),
    ("* self.scale", "/ self.scale"),
    ("** -0.5", "** 0.5"),
    ("** -0.5", "** -0.25"),
    ("y + x", "x + y"),
    ("y + x", "y - x"),
    ("[:, 1:, ::2]", "[:, 1:, ::3]"),
    ("[:, 1:, ::2]", "[:, :1, ::2]"),
    ("[:, 1:, ::2]", "[:, 1:, 2::]"),
    ("if self.bias", "if not self.bias"),
    ("math.exp", "math.expm1"),
    ("a < 1e-6", "a < 1e-5"),
    ("a < 1e-6", "1e-6 < a"),
    ("1e-6 and", "1e-6 or"),
    ("is not None", "is None"),
    ("return [", "yield ["),
    ("class Layer(Base)", "class Layer(Other)"),
]


def edit(source: str, old: str, new: str) -> str:
    assert old in source
    return source.replace(old, new, 1)


@pytest.mark.parametrize(("old", "new"), HARMLESS, ids=range(len(HARMLESS)))
def test_what_people_read_is_not_hashed(old: str, new: str) -> None:
    assert source_digest(edit(SAMPLE, old, new)) == source_digest(SAMPLE)


@pytest.mark.parametrize(("old", "new"), NUMERIC, ids=range(len(NUMERIC)))
def test_what_is_computed_is_hashed(old: str, new: str) -> None:
    assert source_digest(edit(SAMPLE, old, new)) != source_digest(SAMPLE)


def test_the_hash_is_the_same_on_every_version_of_python() -> None:
    assert source_digest(SAMPLE).startswith(GOLDEN)


# The modules of the package that make numbers

MODULES = {**modules_in_use(PACKAGE, **WEIGHTS), **modules_in_use(PACKAGE, **SCORES)}
SWAPS = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "%", "<": ">", ">": "<", "<=": ">=", "==": "!=", "!=": "=="}
Place = tuple[int, int]


def hidden(source: str) -> list[tuple[Place, Place]]:
    """The spans of ``source`` that a hash of what is computed must not see, by another method than the hash."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        nodes: list[ast.AST | None] = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            nodes.append(node)
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith("LOGGER."):
            nodes.append(node)
        spans += [
            ((item.lineno, item.col_offset), (item.end_lineno or 0, item.end_col_offset or 0))
            for item in nodes
            if isinstance(item, ast.expr | ast.stmt)
        ]
    return spans


def mutations(source: str) -> Iterator[tuple[str, bool]]:
    """About eight copies of ``source`` with a number or operator changed, and whether each computes something else."""
    lines, spans = source.splitlines(keepends=True), hidden(source)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    candidates = [token for token in tokens if token.type == tokenize.NUMBER or token.string in SWAPS]
    for token in candidates[:: len(candidates) // 8 + 1]:
        row, column = token.start
        new = SWAPS.get(token.string) or (f"{token.string}1" if token.string.isdecimal() else f"7{token.string}")
        line = lines[row - 1]
        changed = line[:column] + new + line[token.end[1] :]
        text = "".join([*lines[: row - 1], changed, *lines[row:]])
        at = (row, len(line[:column].encode()))  # the syntax tree counts bytes
        try:
            ast.parse(text)
        except SyntaxError:  # a star of ``*arguments``
            continue
        yield text, not any(start <= at < end for start, end in spans)


def test_every_number_and_operator_that_computes_is_hashed() -> None:
    """Constants, operators, defaults; while those in annotations and messages are not."""
    counts = {True: 0, False: 0}
    for name, source in MODULES.items():
        for changed, computes in mutations(source):
            assert (source_digest(changed) != source_digest(source)) == computes, (name, changed)
            counts[computes] += 1
    assert counts[True] >= 60
    assert counts[False] >= 3


def without_comments(source: str) -> str:
    return ast.unparse(ast.parse(source))


def with_more_comments(source: str) -> str:
    lines = [
        f"{line}  # more" if line.endswith((")", ":")) and '"""' not in line else line for line in source.split("\n")
    ]
    return "\n".join(lines)


class Rewriter(ast.NodeTransformer):
    """Other docstrings, other annotations, other messages."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Constant):
            node.value = ast.Constant("Another text.")
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = ast.Name("Any")
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = ast.Constant("Any")
        self.generic_visit(node)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [ast.Constant("another message")]
        return node


def rewritten(source: str) -> str:
    return ast.unparse(Rewriter().visit(ast.parse(source)))


@pytest.mark.parametrize(
    "change", [without_comments, with_more_comments, rewritten], ids=lambda change: change.__name__
)
def test_comments_layout_docstrings_annotations_and_messages_of_the_package_are_not_hashed(
    change: Callable[[str], str],
) -> None:
    for name, source in MODULES.items():
        changed = change(source)
        assert changed != source, name
        try:
            ast.parse(changed)
        except SyntaxError:
            continue  # a comment got into a text of several lines
        assert source_digest(changed) == source_digest(source), name


# Which files enter


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's modules, to be changed."""
    only_modules = shutil.ignore_patterns("weights", "golden", "templates", "__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path_factory.mktemp("copy") / "asid", ignore=only_modules))


@pytest.mark.parametrize(
    ("file", "weights", "scores"),
    [
        ("config.py", True, True),
        ("data/patches.py", True, False),
        ("data/resize.py", True, True),
        ("data/images.py", True, True),
        ("data/pairs.py", False, True),
        ("data/benchmarks.py", False, False),
        ("data/download.py", False, False),
        ("model/layers.py", True, True),
        ("model/windows.py", True, True),
        ("model/network.py", True, True),
        ("model/checkpoint.py", True, False),
        ("model/complexity.py", False, True),
        ("training/train.py", True, False),
        ("training/module.py", True, False),
        ("training/checkpoints.py", True, False),
        ("evaluation/metrics.py", False, True),
        ("evaluation/inference.py", False, True),
        ("evaluation/evaluate.py", False, True),
        ("evaluation/verify.py", False, False),
        ("files.py", False, False),
        ("runs/run.py", False, False),
        ("ablation/statistics/paired.py", False, False),
        ("plots/study.py", False, False),
        ("cli/main.py", False, False),
    ],
)
def test_the_code_that_makes_weights_and_the_code_that_scores(
    file: str, weights: bool, scores: bool, package: Path
) -> None:
    before = code_digest(package, **WEIGHTS), code_digest(package, **SCORES)
    source = (package / file).read_text()
    try:
        (package / file).write_text(source + "\n# A comment\n")
        assert (code_digest(package, **WEIGHTS), code_digest(package, **SCORES)) == before
        (package / file).write_text(source + "\n_MUTATION = 1\n")
        after = code_digest(package, **WEIGHTS), code_digest(package, **SCORES)
    finally:
        (package / file).write_text(source)
    assert (after[0] != before[0], after[1] != before[1]) == (weights, scores)


def test_a_module_that_was_renamed_is_missed(package: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data\.gone"):
        code_digest(package, entries=("training.train",), within=("data",), without=("data.gone",))
