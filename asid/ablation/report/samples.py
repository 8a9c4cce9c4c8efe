"""Samples: images, or the same detail of them, as each variant restores them, to compare on the page."""

from dataclasses import dataclass
from io import BytesIO
from math import isqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from asid.ablation.report.crops import Example, choose_runs, read_row
from asid.ablation.report.results import StudyResults
from asid.data.crops import most_detailed_box

_LEAST_SIDE = 160
"""Side of a detail, in HR pixels, if there are many images and variants; otherwise it is larger, or the whole image."""
_MOST_PIXELS = 4_000_000
"""Pixels of all samples together, which makes a page of some 8 MB."""


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
    is_whole: bool
    """Whether the crops are the whole image."""


def cut_samples(results: StudyResults) -> list[Sample]:
    """Cut the samples out of the SR images of the runs with the first seed.

    All images if there is room for a detail of each; otherwise half of the samples are those where variants gain most
    over the base, half those where they lose most. The largest gain comes first.

    Raises:
        ImageError: If HR or SR images no longer exist.
    """
    ranked = _rank(results)
    if not ranked:
        return []
    examples = [Example(data, image, image) for data, image, _ in ranked]
    runs = {example: choose_runs(results, example, [example], room=None) for example in examples}
    room = _MOST_PIXELS // max(len(of_image) + 1 for of_image in runs.values())
    if len(ranked) > (most := max(2, room // _LEAST_SIDE**2)):
        ranked = [*ranked[: most // 2], *ranked[-(most // 2) :]]
        examples = [*examples[: most // 2], *examples[-(most // 2) :]]
    rows = [read_row(results, example, runs[example]) for example in examples]
    is_whole = sum(row[0].pixels[..., 0].size for row in rows) <= room
    side = max(_LEAST_SIDE, isqrt(room // len(rows)))
    samples = []
    for (data, image, change), row in zip(ranked, rows, strict=True):
        box = (0, 0, *row[0].pixels.shape[:2]) if is_whole else most_detailed_box(row[0].pixels, side)
        crops = tuple(Crop(shown.name, shown.psnr, _encode(_cut(shown.pixels, box))) for shown in row)
        samples.append(Sample(data, image, change, crops, is_whole))
    return samples


def _cut(pixels: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    top, left, height, width = box
    return pixels[top : top + height, left : left + width]


def _rank(results: StudyResults) -> list[tuple[str, str, float | None]]:
    """Evaluation set, image and change of each image, the largest gain first."""
    changes = results.changes[results.changes["variant"].isin(results.variants)]
    means = changes.groupby(["data", "image", "variant"], sort=False)["change"].mean()
    if means.empty:
        images = results.scores[["data", "image"]].drop_duplicates()
        return [(data, image, None) for data, image in images.itertuples(index=False)]
    largest = means[means.abs().groupby(["data", "image"], sort=False).idxmax()].rename("change").reset_index()
    return [
        (row["data"], row["image"], float(row["change"]))
        for row in largest.sort_values("change", ascending=False, kind="stable").to_dict("records")
    ]


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return content.getvalue()
