"""Crops: the chosen images, and what each row shows."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from written_study import make_study, seeded

from asid.ablation.report.crops import draw_best_and_worst, find_examples
from asid.ablation.report.results import load_results
from asid.data.images import ImageError


def test_the_best_and_the_worst_image_are_shown(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    best, worst = find_examples(results)
    # ant: no_sharing +1, 100%-meso -0.5; bee: no_sharing +0.5, 100%-meso -0.5
    assert (best.image, best.variants) == ("ant", ("no_sharing",))
    assert best.reason == "ant: best mean change no_sharing, +1.00 dB"
    assert worst.reason == "bee: worst mean change 100%-meso, −0.50 dB"
    crops = draw_best_and_worst(results)
    titles = [[ax.get_title() for ax in part.axes] for part in crops.figure.subfigs]
    assert titles[0] == [
        "HR\nant",
        "bicubic\n27.00 dB",
        "base\n29.00 dB",
        "no_sharing\n30.00 dB",
        "100%-meso\n28.00 dB",
    ]
    assert [title.split("\n")[1] for title in titles[1]] == ["bee", "28.00 dB", "30.00 dB", "30.50 dB", "29.00 dB"]
    assert "seed 0." in crops.caption


def test_a_trained_reference_is_shown_with_the_seed_of_the_others(tmp_path: Path) -> None:
    cnn = {seed: {"ant": 30.5 + seed, "bee": 31.0} for seed in (1, 0)}
    crops = draw_best_and_worst(load_results(make_study(tmp_path, plain_cnn=cnn)))
    titles = [ax.get_title() for ax in crops.figure.subfigs[0].axes]
    assert titles[:4] == ["HR\nant", "bicubic\n27.00 dB", "plain-cnn\n30.50 dB", "base\n29.00 dB"]


def test_an_example_names_its_set_if_there_are_several(tmp_path: Path) -> None:
    best, worst = find_examples(load_results(make_study(tmp_path, sets=("set_5", "set_14"))))
    assert (best.data, best.reason) == ("set_5", "ant (set_5): best mean change no_sharing, +1.00 dB")
    assert (worst.data, worst.reason) == ("set_14", "bee (set_14): worst mean change 100%-meso, −0.50 dB")


def test_best_and_worst_on_one_image_share_a_row(tmp_path: Path) -> None:
    psnr = seeded({"more": [0.1, 0.1], "less": [-0.1, -0.1]})
    for name, change in (("more", 0.5), ("less", -0.5)):
        for images in psnr[name].values():
            images["bee"] += change
    (example,) = find_examples(load_results(make_study(tmp_path, psnr)))
    assert (example.image, example.variants) == ("bee", ("more", "less"))
    assert example.reason == "bee: best mean change more, +0.60 dB; worst mean change less, −0.60 dB"


def test_without_a_base_the_first_images_are_shown(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path, missing=(("base", 0), ("base", 1))))
    assert [(example.image, example.variants) for example in find_examples(results)] == [("ant", ()), ("bee", ())]
    assert "Chosen" not in draw_best_and_worst(results).caption


def test_a_row_of_crops_has_eight_images_with_the_extremes_among_them(tmp_path: Path) -> None:
    psnr = seeded({f"v{number}": [0.01 * number, 0.01 * number] for number in range(1, 13)})
    for name, image, change in (("v3", "ant", -0.5), ("v12", "bee", 0.5)):
        for images in psnr[name].values():
            images[image] += change
    results = load_results(make_study(tmp_path, psnr))
    crops = draw_best_and_worst(results)
    rows: list[Any] = [[ax.get_title().split("\n")[0] for ax in part.axes] for part in crops.figure.subfigs]
    assert rows == [["HR", "bicubic", "base", "v1", "v2", "v3", "v4", "v12"]] * 2


def test_crops_of_another_image_of_that_name_are_not_shown(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    Image.new("RGB", (96, 80)).save(tmp_path / "set_5" / "ant.png")  # of the same size
    with pytest.raises(ImageError, match=r"ant\.png was exchanged after the evaluation"):
        draw_best_and_worst(results)
