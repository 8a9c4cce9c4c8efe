"""The sections of a bench, and how they are run one after the other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asid.bench import data, networks, photographs, processes, scale
from asid.bench.machine import describe_machine, load
from asid.bench.setting import Setting
from asid.bench.timing import Row
from asid.process import keep_freed_memory

FORMAT = 1
"""Version of the JSON file's layout."""


@dataclass(frozen=True)
class Section:
    """A part of a bench: what is measured, as a heading and a few sentences, and the function that measures it."""

    title: str
    text: str
    measure: Callable[[Setting], list[Row]]
    by_default: bool = True
    """Whether it is measured if no sections are chosen."""


SECTIONS = {
    "step": Section(
        "Training step",
        "Forward and backward pass and optimiser on constant patches, without Lightning and data. The package's AdamW "
        "is fused, the plain network's is PyTorch's as it comes. A backward pass counts as two forward passes.",
        networks.measure_steps,
    ),
    "inference": Section(
        "Inference",
        "A forward pass of a whole image, with as many threads as a command would choose now. Memory that is freed is "
        "kept on both sides.",
        networks.measure_inference,
    ),
    "gpu": Section("On a GPU", "A forward pass of a whole image in float32.", networks.measure_gpu),
    "compile": Section(
        "train.compile",
        "The first step compiles. Measured only on request (`--only compile`), because that takes minutes.",
        networks.measure_compile,
        by_default=False,
    ),
    "precision": Section(
        "bf16",
        "Training steps in float32 and in bf16-mixed (`train.precision`, autocast), one thread.",
        networks.measure_precision,
    ),
    "data": Section(
        "Data path",
        "Decoding PNG files of 256×256, making their LR images, cutting the first batch; then batches as a share of a "
        "training step, one thread.",
        data.measure_data,
    ),
    "photographs": Section(
        "A large training set",
        "Short trainings of `asid-tiny` at ×2 on photographs as large as DIV2K's, each in a new process that has "
        "imported everything: until the end of the first step, with its validation and the saved weights; then two at "
        "once. Their peaks are added up, although they share the libraries.",
        photographs.measure_photographs,
    ),
    "evaluation": Section(
        "Evaluation",
        "`asid evaluate` on a set like Set5, of 256×256 crops of the sample photographs: reading and scoring happen "
        "beside the network.",
        data.measure_evaluation,
    ),
    "counting": Section(
        "Counting operations",
        "Three counters, for an output of 1280×720; later runs of the same network read the counts.",
        data.measure_counting,
    ),
    "overhead": Section(
        "Overhead of a run",
        "A study of short trainings with one worker and one thread: the duration of a run's notebook less the seconds "
        "of training and scoring in its record. The first run imports, the kernels of the others are forked.",
        processes.measure_overhead,
    ),
    "start": Section("Start-up", "New Python processes, in turn.", processes.measure_starts),
    "memory": Section(
        "Peak memory",
        "Peak resident memory of a process that does nothing else. What it holds before the work, the libraries and "
        "the network, is part of both peaks.",
        processes.measure_memory,
    ),
    "allocator": Section(
        "Memory that is kept",
        "The setting of the C library that [execution.md](execution.md#memory-that-is-kept) describes, apart from the "
        "code; one thread.",
        processes.measure_allocator,
    ),
    "load": Section(
        "A busy machine",
        "The same work with nothing set by hand, as the machine is and with a busy process for each core beside it.",
        processes.measure_load,
    ),
    "growth": Section(
        "How cost grows",
        "A forward pass of a network with 16 channels and one group in which one size grows, on one thread; cost is "
        "about size to the power of the exponent. Where multiply-adds grow faster than time, calls of operators still "
        "take much of it. The work of attention grows with the tokens of a window, the square of its side.",
        networks.measure_growth,
    ),
    "tiles": Section(
        "Large images by tiles", "`asid upscale` by tiles, each size in a new process.", scale.measure_tiles
    ),
    "reports": Section(
        "Large reports",
        "`asid report` of copies of the records of the quick study with other seeds, variants and scores.",
        scale.measure_reports,
    ),
    "studies": Section(
        "Large studies", "The plan of a study and its status, with ten seeds of each variant.", scale.measure_studies
    ),
}
"""The sections by name, in the order of the page."""


def run_bench(
    setting: Setting, only: Sequence[str] = (), on_section: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Measure.

    Args:
        setting: Effort, and what to compare with.
        only: Names of sections; none: all that are measured by default.
        on_section: Called with the name of each section before it is measured.

    Returns:
        JSON values: ``format``, ``quick``, ``against`` (the file's name), ``machine``, ``seconds`` in all, and
        ``sections``: for each name ``rows``, ``seconds``, ``load`` before and after, and ``commit``. A section that
        this machine or installation does not allow has no rows.

    Raises:
        ValueError: There is no such section.
    """
    if unknown := [name for name in only if name not in SECTIONS]:
        raise ValueError(f"unknown section '{unknown[0]}': expected some of {', '.join(SECTIONS)}")
    keep_freed_memory()
    start, sections = time.perf_counter(), {}
    machine = describe_machine()
    for name in only or [name for name, section in SECTIONS.items() if section.by_default]:
        if on_section:
            on_section(name)
        before, began = load(), time.perf_counter()
        rows = SECTIONS[name].measure(setting)
        sections[name] = {
            "rows": rows,
            "seconds": round(time.perf_counter() - began, 1),
            "load": [before, load()],
            "commit": machine["commit"],
        }
    return {
        "format": FORMAT,
        "quick": setting.quick,
        "against": setting.against.name if setting.against else None,
        "machine": machine,
        "seconds": round(time.perf_counter() - start, 1),
        "sections": sections,
    }


def add_earlier(bench: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """``bench`` with the sections of an earlier one that it lacks.

    Unchanged if the earlier one was made with another effort, plain network, machine or version of torch.
    """

    def made_by(content: dict[str, Any]) -> list[Any]:
        machine = content["machine"]
        return [content["quick"], content["against"], *(machine[name] for name in ("cpu", "cores", "python", "torch"))]

    if earlier.get("format") != FORMAT or made_by(earlier) != made_by(bench):
        return bench
    both = {**earlier["sections"], **bench["sections"]}
    sections = {name: both[name] for name in SECTIONS if name in both}
    seconds = round(sum(section["seconds"] for section in sections.values()), 1)
    return {**bench, "seconds": seconds, "sections": sections}
