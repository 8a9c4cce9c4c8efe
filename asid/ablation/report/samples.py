"""Samples: the same detail of several images as each variant restores it, large enough to compare on the page."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from asid.ablation.report.crops import Example, choose_runs, read_row
from asid.ablation.report.results import StudyResults
from asid.data.crops import most_detailed_box

_SIDE = 160
"""Side of a sample, in HR pixels."""
_MOST = 12
"""Most samples: half of them where variants gain most over the base, half where they lose most."""


@dataclass(frozen=True)
class Crop:
    """What one variant, or a reference, makes of a sample; ``HR`` for the image itself."""

    name: str
    psnr: float | None
    """Of the whole image, in dB; None for HR."""
    png: bytes


@dataclass(frozen=True)
class Sample:
    """A detail of an image."""

    data: str
    image: str
    change: float | None
    """The change of PSNR against the base in dB, a mean over seeds, of the variant for which it is largest in size."""
    crops: tuple[Crop, ...]


def cut_samples(results: StudyResults) -> list[Sample]:
    """Cut the samples out of the SR images of the runs with the first seed.

    Raises:
        ImageError: If HR or SR images no longer exist.
    """
    samples = []
    for data, image, change in _choose(results):
        example = Example(data, image, image)
        runs = choose_runs(results, example, [example], room=None)
        row = read_row(results, example, runs)
        top, left, height, width = most_detailed_box(row[0].pixels, _SIDE)
        cut = [_encode(shown.pixels[top : top + height, left : left + width]) for shown in row]
        crops = tuple(Crop(shown.name, shown.psnr, png) for shown, png in zip(row, cut, strict=True))
        samples.append(Sample(data, image, change, crops))
    return samples


def _choose(results: StudyResults) -> list[tuple[str, str, float | None]]:
    """Evaluation set, image and change of each sample, the largest gain first."""
    changes = results.changes[results.changes["variant"].isin(results.variants)]
    means = changes.groupby(["data", "image", "variant"], sort=False)["change"].mean()
    if means.empty:
        images = results.scores[["data", "image"]].drop_duplicates().head(_MOST)
        return [(data, image, None) for data, image in images.itertuples(index=False)]
    largest = means[means.abs().groupby(["data", "image"], sort=False).idxmax()].rename("change").reset_index()
    ranked: list[tuple[str, str, float | None]] = [
        (row["data"], row["image"], float(row["change"]))
        for row in largest.sort_values("change", ascending=False, kind="stable").to_dict("records")
    ]
    if len(ranked) > _MOST:
        ranked = [*ranked[: _MOST // 2], *ranked[-_MOST // 2 :]]
    return ranked


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return content.getvalue()
