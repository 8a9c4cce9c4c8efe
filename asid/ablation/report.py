"""From records to a table and figures. Nothing is trained here: the same records give the same report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context

from asid import figures
from asid.ablation.records import Record, RecordError, read_record
from asid.data.images import find_images, read_image
from asid.data.resize import crop_to_multiple
from asid.files import IMAGES, STUDY

_CROP = 64


class ReportError(ValueError):
    """A folder that holds no study, or a study without finished runs."""


@dataclass(frozen=True)
class Study:
    """A study's folder as it stands: what was planned, which records there are, which runs have none."""

    folder: Path
    plan: dict[str, Any]
    records: list[tuple[Path, Record]]
    missing: list[str]

    @property
    def base(self) -> str:
        return str(self.plan["base"])

    @property
    def trained(self) -> list[tuple[Path, Record]]:
        """The runs, without reference rows."""
        return [(folder, record) for folder, record in self.records if record.complexity]


def load_results(folder: str | Path) -> Study:
    """Read a study's folder.

    Raises :class:`ReportError` where it is no study's folder, no run is finished, or runs were evaluated in different ways.
    """
    folder = Path(folder)
    if not (folder / STUDY).is_file():
        raise ReportError(f"no study in {folder}: expected {STUDY} there; run 'asid ablate ablations/quick.yaml' first")
    plan = json.loads((folder / STUDY).read_text())
    records, missing = [], []
    for name in plan["references"]:
        path = folder / "references" / name
        try:
            records.append((path, read_record(path)))
        except (FileNotFoundError, RecordError):
            missing.append(name)
    for run in plan["runs"]:
        path = folder / run["folder"]
        try:
            records.append((path, read_record(path, run["run_id"])))
        except (FileNotFoundError, RecordError):
            missing.append(f"{run['variant']} seed {run['seed']}")
    study = Study(folder, plan, records, missing)
    _check_comparable(study)
    if not study.trained:
        raise ReportError(f"no finished run in {folder}: run the study again; what it has done is kept")
    return study


def _check_comparable(study: Study) -> None:
    """Raise :class:`ReportError` where records were evaluated in different ways: their scores do not belong in one table."""
    if not study.records:
        return
    (first_folder, first), *others = study.records
    for folder, record in others:
        for name, mine, theirs in (
            ("scale", first.config.model.scale, record.config.model.scale),
            *((name, getattr(first.config.evaluate, name), value) for name, value in record.config.evaluate),
        ):
            if mine != theirs:
                raise ReportError(
                    f"{folder} was evaluated with {name} {theirs}, {first_folder} with {mine}: "
                    "one table takes one way of evaluating; run the study again, or report the two apart"
                )


def score_table(study: Study) -> pd.DataFrame:
    """All scores: one row for each variant, seed and image, with the columns variant, seed, data, image, psnr, ssim."""
    tables = [
        record.score_table.assign(variant=record.variant, seed=record.config.seed)[["variant", "seed", "data", "image", "psnr", "ssim"]]
        for _, record in study.records
    ]
    return pd.concat(tables, ignore_index=True)


def score_changes(study: Study) -> pd.DataFrame:
    """Change of PSNR (dB) against the base, seed by seed and image by image; a reference row against the base's mean over seeds.

    Columns: variant, seed, data, image, change. What the base has no score for is left out.
    """
    scores = score_table(study)
    base = scores[scores["variant"] == study.base]
    trained = scores["variant"].isin([record.variant for _, record in study.trained])
    tables = []
    for rows, keys in ((scores[trained], ["seed", "data", "image"]), (scores[~trained], ["data", "image"])):
        paired = rows.merge(base.groupby(keys)["psnr"].mean().rename("base"), left_on=keys, right_index=True)
        # Two perfect scores are equal: inf - inf would be no number.
        tables.append(paired.assign(change=(paired["psnr"] - paired["base"]).where(paired["psnr"] != paired["base"], 0.0)))
    columns = ["variant", "seed", "data", "image", "change"]
    changes = pd.concat(tables)[columns]
    return changes[changes["variant"] != study.base]


def comparison(study: Study) -> pd.DataFrame:
    """One row a variant and evaluation set: cost, mean scores over images and seeds, and the change of PSNR against the base.

    Columns: variant, change, parameters, macs (G, torch's counter), macs_ptflops, macs_fvcore, data, psnr, ssim, delta (dB), seeds.
    """
    costs = {record.variant: record.complexity for _, record in study.trained}
    means = (
        score_table(study)
        .groupby(["variant", "data"], sort=False)
        .agg(psnr=("psnr", "mean"), ssim=("ssim", "mean"), seeds=("seed", "nunique"))
    )
    deltas = score_changes(study).groupby(["variant", "data"])["change"].mean()
    rows = []
    for scores in means.reset_index().to_dict("records"):
        variant, data = scores["variant"], scores["data"]
        cost = costs.get(variant) or {}
        trained = variant in costs
        rows.append(
            {
                "variant": variant,
                "change": study.plan["variants"].get(variant, "no training") or "–",
                "parameters": cost.get("parameters"),
                "macs": cost["macs_torch"] / 1e9 if cost else None,
                "macs_ptflops": cost["macs_ptflops"] / 1e9 if cost else None,
                "macs_fvcore": cost["macs_fvcore"] / 1e9 if cost else None,
                "data": data,
                "psnr": scores["psnr"],
                "ssim": scores["ssim"],
                "delta": deltas.get((variant, data), 0.0 if variant == study.base else None),
                "seeds": int(scores["seeds"]) if trained else None,
            }
        )
    table = pd.DataFrame(rows)
    return table.astype({"parameters": "Int64", "seeds": "Int64"})


def describe(study: Study) -> list[str]:
    """What the numbers rest on, a sentence each: protocol, data, steps, seeds, costs, code."""
    _, record = study.trained[0]
    config = record.config
    output = record.complexity["output"] if record.complexity else []
    evaluated = [
        f"{m['source']} ({len(m['images'])} images, {m['manifest']})" for use, m in record.data.items() if use.startswith("evaluate")
    ]
    made_by = sorted({row.get("lr", "unknown") for row in record.scores})
    train = record.data["train"]
    steps = sorted({r.config.train.steps for _, r in study.trained})
    seeds = sorted({r.config.seed for _, r in study.trained})
    commits = sorted({str(r.provenance["commit"]) for _, r in study.trained})
    scales = sorted({r.config.model.scale for _, r in study.trained})
    sentences = [
        f"Scale: {', '.join(f'×{scale}' for scale in scales)}. Protocol: {record.protocol}.",
        f"Evaluated on {', '.join(evaluated)}, {config.evaluate.describe()}; LR images: {', '.join(made_by)}.",
        f"Trained on {train['source']} ({len(train['images'])} images, {train['manifest']}) for {', '.join(map(str, steps))} steps, "
        f"batch {config.train.batch_size}, LR patches of {config.data.patch_size}; seeds {', '.join(map(str, seeds))}.",
        f"Multiply-adds for an output of {output[0]}×{output[1]}.",
        f"asid {record.provenance['asid']}, commit {', '.join(commits)}; torch {record.provenance['torch']}.",
    ]
    if len(seeds) == 1:
        sentences.append(
            "One seed: differences below the spread between seeds (about 0.06 dB when trained to the end, more when not) are noise."
        )
    if study.missing:
        sentences.append(f"Without a record, not in the table: {', '.join(study.missing)}.")
    return sentences


def write_report(folder: str | Path) -> list[Path]:
    """Write ``comparison.md``, ``.csv``, ``.tex`` and ``figures/`` (PNG and SVG) into a study's folder; returns the files."""
    study = load_results(folder)
    table = comparison(study)
    files = [_write(study.folder / "comparison.csv", table.to_csv(index=False))]
    files.append(_write(study.folder / "scores.csv", score_table(study).to_csv(index=False)))
    files.append(_write(study.folder / "comparison.tex", to_latex(study, table)))
    drawn = []
    with rc_context(figures.STYLE):
        for name, figure in _draw(study, table):
            files += figures.save_figure(figure, study.folder / "figures" / name)
            drawn.append(name)
    files.append(_write(study.folder / "comparison.md", to_markdown(study, table, drawn)))
    return files


def to_markdown(study: Study, table: pd.DataFrame, pictures: Sequence[str] = ()) -> str:
    """The comparison as a Markdown page that shows the figures named in ``pictures``."""
    body = _display(table).to_markdown(index=False, disable_numparse=True, colalign=_alignment(table))
    notes = "\n".join(f"- {sentence}" for sentence in describe(study))
    shown = "".join(f"\n![{name}](figures/{name}.png)\n" for name in pictures)
    return f"# {study.plan['name']}\n\n{study.plan['question']}\n\n{body}\n\n{notes}\n{shown}"


def to_latex(study: Study, table: pd.DataFrame) -> str:
    """The comparison as a LaTeX table with booktabs rules; needs ``\\usepackage{booktabs}``."""
    shown = _display(table).replace({"–": "--"}, regex=False)
    shown = shown.map(lambda text: _escape(str(text)))
    shown.columns = [{"Δ dB": r"$\Delta$ dB"}.get(name, name) for name in shown.columns]
    caption = _escape(study.plan["question"] + " " + " ".join(describe(study)))
    columns = "".join({"left": "l", "right": "r"}[side] for side in _alignment(table))
    return (
        "% "
        + " ".join(["needs \\usepackage{booktabs}; written by asid report", "\n"])
        + shown.to_latex(index=False, column_format=columns, caption=caption, label=f"tab:{study.plan['name']}", escape=False, position="t")
    )


def to_text(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison with its numbers formatted for reading."""
    return _display(table)


def _display(table: pd.DataFrame) -> pd.DataFrame:
    def number(value: Any, pattern: str) -> str:
        return "–" if pd.isna(value) else pattern.format(value)

    shown = pd.DataFrame(
        {
            "variant": table["variant"],
            "change": table["change"],
            "params": [number(value, "{:,}").replace(",", " ") for value in table["parameters"]],
            "MACs (G)": [number(value, "{:.2f}") for value in table["macs"]],
            "data": table["data"],
            "PSNR (dB)": [number(value, "{:.2f}") for value in table["psnr"]],
            "SSIM": [number(value, "{:.4f}") for value in table["ssim"]],
            "Δ dB": [number(value, "{:+.2f}") for value in table["delta"]],
            "seeds": [number(value, "{}") for value in table["seeds"]],
        }
    )
    return shown


def _alignment(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple("left" if name in ("variant", "change", "data") else "right" for name in _display(table.head(1)).columns)


def _escape(text: str) -> str:
    for plain, escaped in {"\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "×": r"$\times$"}.items():
        text = text.replace(plain, escaped)
    return text


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _draw(study: Study, table: pd.DataFrame) -> list[tuple[str, figures.Figure]]:
    names = list(dict.fromkeys(record.variant for _, record in study.trained))
    palette = figures.colours(names)
    drawn = [("trade_off", _draw_trade_off(study, table, palette)), ("curves", _draw_curves(study, palette))]
    if study.base in names and len(names) > 1:
        drawn.append(("changes", _draw_changes(study, palette)))
    drawn += [("crops", _draw_crops(study))]
    return drawn


def _draw_trade_off(study: Study, table: pd.DataFrame, palette: dict[str, Any]) -> figures.Figure:
    figure = figures.new_figure(9, 3.6)
    axes = figure.subplots(1, 2, sharey=True)
    means = (
        table.groupby("variant", sort=False)
        .agg(psnr=("psnr", "mean"), parameters=("parameters", "first"), macs=("macs", "first"))
        .reset_index()
    )
    trained = means[means["variant"].isin(palette)].assign(parameters=lambda t: t["parameters"].astype(float) / 1000)
    output = next(record.complexity["output"] for _, record in study.trained if record.complexity)
    figures.plot_trade_off(trained, "parameters", axes[0], "parameters (thousands)", palette)
    figures.plot_trade_off(trained, "macs", axes[1], f"multiply-adds (G) for {output[0]}×{output[1]}", palette)
    for _, reference in means[~means["variant"].isin(palette)].iterrows():
        for ax in axes:
            ax.axhline(reference["psnr"], color="grey", ls="--", lw=1, label=reference["variant"])
    axes[1].set_ylabel("")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _draw_changes(study: Study, palette: dict[str, Any]) -> figures.Figure:
    changes = score_changes(study)
    changes = changes[changes["variant"].isin(palette)]
    figure = figures.new_figure(7, 0.45 * max(3, len(palette)) + 0.8)
    ax = figure.subplots()
    figures.plot_changes(changes, ax, palette, study.base)
    ax.legend(loc="best")
    return figure


def _draw_curves(study: Study, palette: dict[str, Any]) -> figures.Figure:
    figure = figures.new_figure(9, 3.6)
    loss_ax, psnr_ax = figure.subplots(1, 2)
    for position, (_, record) in enumerate(study.trained):
        seen = any(record.variant == other.variant for _, other in study.trained[:position])
        history = pd.DataFrame(record.history).astype(float)
        figures.plot_history(history, loss_ax, psnr_ax, None if seen else record.variant, palette[record.variant])
    figure.legend(*loss_ax.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _draw_crops(study: Study) -> figures.Figure:
    """The most detailed region of each of the first two images: HR, the references, and the first seed of each variant."""
    _, base = study.trained[0]
    scale = base.config.model.scale
    shown: dict[str, tuple[Path, Record]] = {}
    for folder, record in study.records:
        if record.config.model.scale == scale:
            shown.setdefault(record.variant, (folder, record))
    photographs = [(source, photograph) for source in base.config.evaluate.data for photograph in find_images(source)][:2]
    figure = figures.new_figure(1.45 * (len(shown) + 1), 2.0 * len(photographs))
    rows = figure.subfigures(len(photographs), 1, squeeze=False)[:, 0]
    for row, (source, photograph) in zip(rows, photographs, strict=True):
        hr = crop_to_multiple(photograph.read(), scale)
        images, notes = {"HR": hr}, {"HR": photograph.name}
        for variant, (folder, record) in shown.items():
            path = folder / IMAGES / Path(source).name / f"{photograph.name}.png"
            if path.exists():
                images[variant] = read_image(path)
                score = record.score_table.set_index("image").loc[photograph.name]
                notes[variant] = f"{score['psnr']:.2f} dB"
        figures.plot_crops(images, row, figures.most_detailed_box(hr, _CROP), notes)
    return figure
