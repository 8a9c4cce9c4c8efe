"""The tables of asid/weights/README.md: the packaged networks, from their records in results/reference/weights."""

from collections import defaultdict
from pathlib import Path

import pareto

from asid.ablation.study.differences import config_differences
from asid.ablation.study.variants import format_value
from asid.files import grouped
from asid.runs.record import Record, read_record

PLAIN = "plain-cnn"
SMALL = "asid-tiny"
CURVES = Path(__file__).resolve().parent / "curves"
"""The training curves of the networks at full size, as table and picture."""
SEEDS = 3
"""Trainings of each small network; that with seed 0 is packaged."""


def published() -> str:
    """The table of the packaged networks at full size."""
    columns = (
        "name",
        "scale",
        "parameters",
        "Set5 PSNR (dB) / SSIM",
        "Set14",
        "B100",
        "Set5 with uniform attention maps",
    )
    lines = [f"| {' | '.join(columns)} | record |", "|---|---|---:|---|---|---|---:|---|"]
    for record in pareto.our_networks():
        scores = [pareto.means(record, data).replace("/", " / ") for data in ("Set5", "Set14", "B100")]
        cells = [f"`{record.variant}`", f"×{record.config.model.scale}", _parameters(record), *scores]
        history, curve = (CURVES / f"{record.variant}.{kind}" for kind in ("csv", "png"))
        files = {"record": pareto.RECORDS / record.variant / "record.json", "history": history, "curve": curve}
        links = ", ".join(f"[{name}]({_link(file)})" for name, file in files.items())
        lines.append(f"| {' | '.join([*cells, f'{_uniform(record):.2f}', links])} |")
    return "\n".join(lines)


def small() -> str:
    """The table of the small networks: all seeds, of which the first is packaged, beside a plain CNN and bicubic."""
    columns = ["name", "change", "parameters", "minutes", *(f"Set5, seed {seed}" for seed in range(SEEDS))]
    lines = [f"| {' | '.join(columns)} | SSIM | Set14 | Set5 with uniform attention maps | records |"]
    lines.append(f"|---|---|{'---:|' * (SEEDS + 5)}---|")
    seeds = _small_records()
    base = seeds[SMALL][0].config.model.to_dict()
    for name, records in seeds.items():
        first = records[0]
        changes = config_differences(base, first.config.model.to_dict())
        change = (
            "a residual CNN of the same size"
            if name == PLAIN
            else ", ".join(f"`{field}: {format_value(value)}`" for field, _, value in changes)
        )
        psnr = [f"{_mean(record, 'Set5', 'psnr'):.2f}" for record in records]
        minutes = f"{sum(record.total_seconds('train') or 0 for record in records) / len(records) / 60:.0f}"
        uniform = "" if name == PLAIN else f"{_uniform(first):.2f}"
        others = [f"{_mean(first, 'Set5', 'ssim'):.4f}", f"{_mean(first, 'Set14', 'psnr'):.2f}", uniform]
        links = " ".join(f"[{seed}]({_link(_folder(name, seed) / 'record.json')})" for seed in range(SEEDS))
        shown = name if name == PLAIN else f"`{name}`"
        lines.append(f"| {' | '.join([shown, change or '–', _parameters(first), minutes, *psnr, *others, links])} |")
    bicubic = read_record(pareto.RECORDS / "bicubic")
    cells = ["bicubic", "", "", "", f"{_mean(bicubic, 'Set5', 'psnr'):.2f}", *[""] * (SEEDS - 1)]
    others = [f"{_mean(bicubic, 'Set5', 'ssim'):.4f}", f"{_mean(bicubic, 'Set14', 'psnr'):.2f}", ""]
    lines.append(f"| {' | '.join([*cells, *others])} | [record]({_link(pareto.RECORDS / 'bicubic' / 'record.json')}) |")
    return "\n".join(lines)


def _small_records() -> dict[str, list[Record]]:
    """The trainings of each small network and of the plain CNN, by seed; the unchanged network first."""
    found: dict[str, list[Record]] = defaultdict(list)
    names = {path.name.removesuffix("-seed0") for path in pareto.RECORDS.glob("*-seed0")}
    for name in sorted(names, key=lambda name: (name != SMALL, name == PLAIN, name)):
        found[name] = [read_record(_folder(name, seed)) for seed in range(SEEDS)]
    return found


def _folder(name: str, seed: int) -> Path:
    return pareto.RECORDS / f"{name}-seed{seed}"


def _link(path: Path) -> str:
    return f"../../{path.relative_to(pareto.RECORDS.parents[2])}"


def _mean(record: Record, data: str, score: str) -> float:
    return float(record.score_table.query("data == @data")[score].mean())


def _uniform(record: Record) -> float:
    return _mean(record, "Set5", "psnr_uniform_maps")


def _parameters(record: Record) -> str:
    assert record.complexity is not None
    return grouped(record.complexity["parameters"])
