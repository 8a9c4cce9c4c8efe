"""Measure what docs/inside.md says about the packaged networks, and write its tables and figures.

``ASID_DATA=path/to/data python docs/inside.py [section ...]`` with Set5 in that folder: some minutes on two CPU cores.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from sections import replace_section

from asid.ablation.report.components import lost_without
from asid.ablation.report.results import load_results
from asid.data.crops import detailed_crops
from asid.data.sources import find_images
from asid.evaluation.spectrum import snr
from asid.files import write_text
from asid.interpret.attention_maps import with_attention
from asid.interpret.crops import evaluation_crops, psnr_by_image
from asid.interpret.lesions import components_of, lesion_losses, rank_agreement
from asid.interpret.transplant import NULLS, null_maps, own_maps, using
from asid.panels.frequency import frequency_panel
from asid.panels.interventions import lesion_panel, transplant_panel
from asid.panels.networks import open_model
from asid.panels.panel import Panel
from asid.panels.receptive_field import FINE, InfluenceMaps
from asid.panels.similarity import similarity_panel
from asid.plots import style

FOLDER = Path(__file__).resolve().parent / "inside"
PAGE = FOLDER.with_suffix(".md")
DATA, SIZE = "Set5", 48
UNSHARED = "asid-tiny-no-sharing"
WINDOWS = {"meso only": "asid-tiny-meso", "global only": "asid-tiny-global", "both": "asid-tiny"}
NO_RUNS = FOLDER / "none"
COMPONENTS = FOLDER.parents[1] / "results" / "reference" / "components-bsds"
"""A finished study of ``ablations/components.yaml``; what lesions predict of it is left out where there is none."""

Result = tuple[str, Figure | None]
"""A table in Markdown, and perhaps a figure."""


def transplants() -> Result:
    """Maps exchanged between the groups of the network without sharing."""
    panel = transplant_panel([UNSHARED], DATA, size=SIZE, results=NO_RUNS)
    figure, found = _shown(panel)
    other = ~np.eye(len(found["loss"]), dtype=bool)
    kinds = {"map of another group": (found["similarity"][other], found["loss"][other])}
    kinds |= {name: (found[f"null_similarity.{name}"], found[f"null_loss.{name}"]) for name in NULLS}
    together = {
        "map of another group": found["loss_together"][0],
        **{name: found[f"null_loss_together.{name}"] for name in NULLS},
    }
    rows = [
        [
            name,
            f"{alike.mean():.2f}",
            f"{loss.mean(-1).mean():+.4f}",
            f"{loss.mean(-1).max():+.4f}",
            _mean_and_error(together[name]),
        ]
        for name, (alike, loss) in kinds.items()
    ]
    header = ["maps instead of its own", "correlation with its own", "one place: mean", "worst place", "all at once"]
    return _table(header, rows), figure


def shared_maps() -> Result:
    """The maps of networks with sharing, all replaced at once."""
    rows = []
    for name in ("asid", *WINDOWS.values()):
        model = with_attention(open_model(name))
        crops = evaluation_crops(DATA, model.config.scale, SIZE)
        intact = psnr_by_image(model, crops)
        row = [f"`{name}`", f"{intact.mean():.2f}"]
        for maps in null_maps(model, crops, own_maps(model, crops)).values():
            with using(model, maps):
                row.append(_mean_and_error(intact - psnr_by_image(model, crops)))
        rows.append(row)
    return _table(["network", "PSNR (dB)", *NULLS], rows), None


def similarity() -> Result:
    """Similarities of maps and features beside nulls."""
    panel = similarity_panel([UNSHARED, *WINDOWS.values()], DATA, size=SIZE, results=NO_RUNS)
    rows = []
    for measure in panel.controls["measure"].options:
        panel.controls["measure"].value = measure
        found = _shown(panel)[1]
        places = [(place // 3, place % 3) for place in range(len(found["between"]))]
        pairs = [(i, j) for i, (g, s) in enumerate(places) for j, (h, t) in enumerate(places) if g < h and s == t]
        kinds = {"groups, same step": np.array([found["between"][pair] for pair in pairs])}
        kinds |= {f"null: {name[5:]}": values for name, values in found.items() if name.startswith("null.")}
        kinds |= {f"`{name[6:]}`, same place": values for name, values in found.items() if name.startswith("other.")}
        rows += [[measure, name, f"{v.mean():.2f}", f"{v.min():.2f} to {v.max():.2f}"] for name, v in kinds.items()]
    shares = found["bias_share"]
    by_step = [f"{shares[:, step].min():.0%} to {shares[:, step].max():.0%}" for step in range(shares.shape[1])]
    panel.controls["measure"].value = "correlation"
    table = _table(["measure", "compared with", "mean", "range over places"], rows)
    share = _table(["step 1", "step 2", "step 3"], [by_step])
    return f"{table}\n\nShare of a map's variance that the position bias alone explains:\n\n{share}", _shown(panel)[0]


def lesions() -> Result:
    """Each component of two networks does nothing, and each place of one."""
    columns: dict[str, Mapping[str, NDArray[np.float64]]] = {}
    for name in ("asid", "asid-tiny"):
        network = open_model(name)
        components = components_of(network)
        found = lesion_losses(network, evaluation_crops(DATA, network.config.scale, SIZE), components.values())
        columns[name] = dict(zip(components, found.loss, strict=True))
    order = sorted(columns["asid"], key=lambda name: -columns["asid"][name].mean())
    rows = [[name, *(_mean_and_error(column[name]) for column in columns.values())] for name in order]
    panel = lesion_panel(["asid-tiny"], DATA, size=SIZE, results=NO_RUNS)
    figure, places = _shown(panel)
    loss = places["loss"].mean(1)
    worst = [
        [str(places["labels"][place]), _mean_and_error(places["loss"][place])] for place in loss.argsort()[::-1][:5]
    ]
    small = f"{(np.abs(loss) < 0.01).sum()} of the {len(loss)} places of `asid-tiny` change PSNR by less than 0.01 dB."
    tables = [
        _table(["component", *(f"`{name}`: dB lost" for name in columns)], rows),
        _table(["worst places of `asid-tiny`", "dB lost"], worst),
        small,
    ]
    if COMPONENTS.is_dir():
        losses = {name: {part: float(loss.mean()) for part, loss in column.items()} for name, column in columns.items()}
        tables += _predictions(losses, lost_without(load_results(COMPONENTS)))
    return "\n\n".join(tables), figure


def _predictions(lesions: Mapping[str, Mapping[str, float]], retrained: Mapping[str, float]) -> list[str]:
    """What networks lose that are trained without each component, and how well each network's lesions predict it."""
    rows = [[name, f"{retrained[name]:+.3f}"] for name in sorted(retrained, key=lambda name: -retrained[name])]
    found = {name: rank_agreement(losses, retrained) for name, losses in lesions.items()}
    agreements = [
        [f"`{name}`", f"{len(each.components)}", f"{each.spearman:.2f}", f"{each.kendall:.2f}", f"{each.p:.3f}"]
        for name, each in found.items()
    ]
    header = ["lesions of", "components", "Spearman's ρ", "Kendall's τ", "p of ρ"]
    return [_table(["component", "dB lost by training without it"], rows), _table(header, agreements)]


def frequency() -> Result:
    """SNR by frequency of all packaged networks and bicubic."""
    names = ["asid", "asid-tiny", UNSHARED, "asid-tiny-meso", "asid-tiny-global"]
    figure, found = _shown(frequency_panel(names, DATA, size=SIZE, results=NO_RUNS))
    columns = {
        name: snr(found[f"{name}.signal"].mean(0), found[f"{name}.error"].mean(0)) for name in [*names, "bicubic"]
    }
    share = {name: found[f"{name}.error"].mean(0) / found[f"{name}.error"].mean(0).sum() for name in columns}
    edges = found["edges"]
    bands = [0, 1, 3, 5, 7, 8, 9, 11, 15]
    rows = [
        [f"{edges[band]:.3f}–{edges[band + 1]:.3f}", *(f"{column[band]:.1f}" for column in columns.values())]
        for band in bands
    ]
    above = ["error above the LR Nyquist", *(f"{values[8:].sum():.0%}" for values in share.values())]
    return _table(["cycles per HR pixel", *(f"`{name}`" for name in columns)], [*rows, above]), figure


def effects() -> Result:
    """What LR pixels near and far do to a box."""
    photographs = [image for image in find_images(DATA) if image.name in ("butterfly", "head", "woman")]
    networks = {label: open_model(name) for label, name in WINDOWS.items()}
    maps = InfluenceMaps(networks, detailed_crops(photographs, 2, 64), steps=10, passes=128)
    pixel = (32, 32)
    rows = []
    for image in maps.images:
        for label in networks:
            found = maps.effect(label, image, pixel, "whole image")
            own = np.zeros(found.effect.shape, dtype=bool)
            own[24:40, 24:40] = True
            cells = found.effect / FINE**2
            far = cells[~own]
            rows.append(
                [
                    image,
                    label,
                    f"{found.psnr:.2f}",
                    f"{cells[own].sum():+.1f}",
                    f"{far[far > 0].sum():+.3f}",
                    f"{far[far < 0].sum():+.3f}",
                    f"{maps.attribution(label, image, pixel, 'whole image').diffusion_index:.1f}",
                ]
            )
    header = [
        "image",
        "spatial windows",
        "box (dB)",
        "16×16 around it",
        "farther: helps",
        "farther: harms",
        "LAM index",
    ]
    figure, _ = maps.draw_methods("butterfly", pixel, list(networks), "whole image")
    return _table(header, rows), figure


SECTIONS: dict[str, Callable[[], Result]] = {
    "transplants": transplants,
    "shared-maps": shared_maps,
    "similarity": similarity,
    "lesions": lesions,
    "frequency": frequency,
    "effects": effects,
}


def _shown(panel: Panel) -> tuple[Figure, dict[str, NDArray]]:
    if panel.drawing is None:
        raise RuntimeError(panel.message.value)
    figure, arrays = panel.drawing
    return figure, dict(arrays)


def _mean_and_error(values: NDArray[np.float64]) -> str:
    """Mean and standard error over images."""
    return f"{values.mean():+.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(names: Sequence[str]) -> Iterator[str]:
    """Measure sections one after another; each is written when it is done."""
    for name in names:
        with rc_context(style.STYLE):
            content, figure = SECTIONS[name]()
            if figure is not None:
                _save(figure, FOLDER / f"{name}.png")
        write_text(PAGE, replace_section(PAGE.read_text(encoding="utf-8"), name, content))
        yield name


def _save(figure: Figure, path: Path) -> None:
    """A small PNG file without a date."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    path.parent.mkdir(exist_ok=True)
    Image.open(buffer).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"by default all: {', '.join(SECTIONS)}")
    for written in write(parser.parse_args().sections or list(SECTIONS)):
        sys.stdout.write(f"{written}\n")
        sys.stdout.flush()
