"""Super-resolving images and scoring them: value ranges, rounding, rows and columns, the bicubic baseline."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from photographs import PHOTO
from PIL import Image

from asid.config import EvalConfig, preset
from asid.data.images import ImageError, read_image, write_image
from asid.data.resize import bicubic_upscale, crop_to_multiple, downscale
from asid.data.sources import find_images
from asid.evaluation.evaluate import UNIFORM, bicubic_upscaler, check_sets, evaluate, mean_scores, score_folder
from asid.evaluation.inference import upscale
from asid.evaluation.metrics import score
from asid.model.interventions import uniform_attention
from asid.model.network import ASID
from asid.model.pretrained import load_model

IMAGE = np.random.default_rng(0).integers(0, 256, (17, 12, 3), dtype=np.uint8)


def constant_network(value: float, value_range: tuple[float, float]) -> ASID:
    """A network whose output is ``value`` at every pixel."""
    model = ASID(preset("asid-tiny", num_groups=1), value_range=value_range)
    with torch.no_grad():
        model.upsample.weight.zero_()
        model.upsample.bias.fill_(value)
    return model


@pytest.mark.parametrize(
    ("value", "value_range", "level"),
    [
        (0.25, (0.0, 1.0), 64),
        (0.25, (-1.0, 1.0), 159),
        (-0.25, (-1.0, 1.0), 96),
        (-0.25, (0.0, 1.0), 0),
        (1.5, (0.0, 1.0), 255),
        (1.5, (-1.0, 1.0), 255),
        (-1.5, (-1.0, 1.0), 0),
        (100.0, (0.0, 255.0), 100),
        (0.1019, (0.0, 1.0), 26),  # 25.98: rounded, not truncated
    ],
)
def test_output_is_mapped_from_the_value_range(value: float, value_range: tuple[float, float], level: int) -> None:
    sr = upscale(constant_network(value, value_range), IMAGE)
    assert sr.dtype == np.uint8
    assert sr.shape == (34, 24, 3)
    assert (sr == level).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_upscale_equals_the_network_on_the_mapped_image(low: float, high: float) -> None:
    model = ASID(preset("asid-tiny", scale=3), seed=1, value_range=(low, high)).double()
    with torch.no_grad():
        model.upsample.weight.mul_(5)
        model.upsample.bias.add_((low + high) / 2)
        x = low + (high - low) * torch.tensor(IMAGE.transpose(2, 0, 1)[None]).double() / 255
        y = model(x)[0].numpy().transpose(1, 2, 0)
    expected = np.rint(np.clip((y - low) / (high - low), 0, 1) * 255)
    assert expected.std() > 5
    assert np.array_equal(upscale(model, IMAGE), expected)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_the_network_sees_its_value_range(value_range: tuple[float, float]) -> None:
    model, seen = constant_network(0.0, value_range), []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = IMAGE.copy()
    image[0, 0], image[1, 1] = 0, 255
    upscale(model, image)
    assert (seen[0].min(), seen[0].max()) == value_range
    np.testing.assert_allclose(
        seen[0][0, :, 3, 5], value_range[0] + (value_range[1] - value_range[0]) * image[3, 5] / 255, atol=1e-6
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_gradients_of_the_network_are_unchanged(training: bool) -> None:
    model = constant_network(0.5, (0.0, 1.0)).train(training)
    upscale(model, IMAGE)
    assert model.training == training
    assert all(module.training == training for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_views_and_read_only_images_are_accepted(crops: Path) -> None:
    model = ASID(preset("asid-tiny", num_groups=1))
    (photograph,) = find_images(crops / "validation")
    assert upscale(model, photograph.read()).shape == (96, 96, 3)
    assert np.array_equal(upscale(model, IMAGE[::-1]), upscale(model, IMAGE[::-1].copy()))


@pytest.mark.parametrize(
    "image",
    [IMAGE[..., 0], IMAGE[..., :2], IMAGE.astype(np.float32), IMAGE[None], IMAGE.transpose(2, 0, 1)],
    ids=lambda image: str(image.shape),
)
def test_unsupported_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 RGB image of shape \(H, W, 3\), got " + str(image.dtype)):
        upscale(constant_network(0.5, (0.0, 1.0)), image)


def test_there_is_a_row_for_each_image(crops: Path, tmp_path: Path) -> None:
    model = ASID(preset("asid-tiny", num_groups=1, scale=4), seed=2)
    config = EvalConfig(data=(str(crops / "train"), str(crops / "validation")))
    scores = evaluate(model, 4, config, save_to=tmp_path).scores
    assert list(scores.columns) == ["data", "image", "psnr", "ssim", "lr", "error_by_band", "image_by_band"]
    assert list(zip(scores["data"], scores["image"], strict=True)) == [
        ("train", "0"),
        ("train", "1"),
        ("train", "2"),
        ("validation", "face"),
    ]
    for row in scores.itertuples():
        hr = read_image(crops / row.data / f"{row.image}.png")
        sr = read_image(tmp_path / row.data / f"{row.image}.png")
        assert np.array_equal(sr, upscale(model, downscale(hr, 4)))
        assert (row.psnr, row.ssim) == score(sr, hr, crop=4)


def test_the_error_by_frequency_sums_to_that_of_the_psnr(crops: Path) -> None:
    (row,) = evaluate(bicubic_upscaler(2), 2, EvalConfig(data=(str(crops / "validation"),))).scores.to_dict("records")
    assert len(row["error_by_band"]) == len(row["image_by_band"]) == 16
    assert sum(row["error_by_band"]) == pytest.approx(255**2 / 10 ** (row["psnr"] / 10), rel=1e-9)


def test_uniform_maps_are_scored_in_the_same_way(crops: Path, tmp_path: Path) -> None:
    model = load_model("asid-tiny")
    config = EvalConfig(data=(str(crops / "train"),), tile=32, overlap=8)
    scores = evaluate(model, 2, config, uniform_maps=True, save_to=tmp_path).scores
    own = evaluate(model, 2, config).scores
    pd.testing.assert_frame_equal(scores.drop(columns=UNIFORM), own)
    assert UNIFORM not in own
    for row in scores.itertuples():
        hr = read_image(crops / row.data / f"{row.image}.png")
        assert np.array_equal(
            read_image(tmp_path / row.data / f"{row.image}.png"), upscale(model, downscale(hr, 2), config)
        )
        with uniform_attention(model):
            uniform = upscale(model, downscale(hr, 2), config)
        assert row.psnr_uniform_maps == score(uniform, hr, crop=2)[0] != row.psnr


def test_tiles_are_scored_beside_whole_images(crops: Path) -> None:
    model, data = load_model("asid-tiny"), (str(crops / "train"),)
    scores = evaluate(model, 2, EvalConfig(data=data, also_tile=16, overlap=4)).scores
    tiled = evaluate(model, 2, EvalConfig(data=data, tile=16, overlap=4)).scores
    assert scores["psnr_in_tiles"].tolist() == tiled["psnr"].tolist() != scores["psnr"].tolist()
    assert scores["psnr"].tolist() == evaluate(model, 2, EvalConfig(data=data)).scores["psnr"].tolist()
    assert "psnr_in_tiles" not in tiled


def test_without_spatial_attention_there_are_no_maps_to_replace(crops: Path) -> None:
    config = EvalConfig(data=(str(crops / "train"),))
    for upscaler in (bicubic_upscaler(2), ASID(preset("asid-tiny", num_groups=1, spatial_windows=[]))):
        column = evaluate(upscaler, 2, config, uniform_maps=True).scores[UNIFORM]
        assert column.isna().all()
        assert column.dtype == float


def test_uniform_maps_do_not_count_as_time_in_the_network(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, passes = ASID(preset("asid-tiny", num_groups=1)), 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    model.register_forward_hook(count)
    monkeypatch.setattr("asid.evaluation.evaluate.time", SimpleNamespace(perf_counter=lambda: passes))
    evaluation = evaluate(model, 2, EvalConfig(data=(str(crops / "train"),)), uniform_maps=True)
    assert evaluation.seconds == {"model": 3, "total": 6}


def test_a_perfect_upscaler_has_perfect_scores(crops: Path) -> None:
    originals = {}
    for photograph in find_images(crops / "train"):
        hr = crop_to_multiple(photograph.read(), 3)
        originals[downscale(hr, 3).tobytes()] = hr
    scores = evaluate(lambda lr: originals[lr.tobytes()], 3, EvalConfig(data=(str(crops / "train"),))).scores
    assert scores["psnr"].tolist() == [float("inf")] * 3
    assert scores["ssim"].tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_bicubic_scores_of_the_samples(border: str) -> None:
    scores = evaluate(bicubic_upscaler(4, EvalConfig(border=border)), 4, EvalConfig(border=border)).scores
    expected = []
    for photograph in find_images("samples"):
        hr = photograph.read()
        hr = hr[: hr.shape[0] // 4 * 4, : hr.shape[1] // 4 * 4]
        expected.append(score(bicubic_upscale(downscale(hr, 4, border), 4, border), hr, crop=4))
    assert list(zip(scores["psnr"], scores["ssim"], strict=True)) == expected
    assert scores["image"].tolist() == ["chelsea", "coffee"]
    assert set(scores["data"]) == {"samples"}
    assert scores["psnr"].between(25, 40).all()


def test_an_upscaler_of_another_scale_is_refused(crops: Path) -> None:
    with pytest.raises(ValueError, match="same size"):
        evaluate(ASID(preset("asid-tiny", num_groups=1)), 4, EvalConfig(data=(str(crops / "validation"),)))


def test_mean_scores_are_in_the_order_of_the_sets() -> None:
    rows = [("b", "x", 30.0, 0.8), ("b", "y", 32.0, 0.9), ("a", "x", 20.0, 0.5)]
    means = mean_scores(pd.DataFrame(rows, columns=["data", "image", "psnr", "ssim"]))
    assert means["data"].tolist() == ["b", "a"]
    assert means["psnr"].tolist() == [31.0, 20.0]
    assert means["ssim"].tolist() == pytest.approx([0.85, 0.5])


def test_images_are_paired_by_name(folders: tuple[Path, Path]) -> None:
    scores = score_folder(*folders, 2).set_index("image")
    assert scores.loc["baby", "psnr"] == scores.loc["bird2", "psnr"] == np.inf
    assert scores.loc["bird", "psnr"] < 20


def test_a_missing_extra_or_duplicate_image_is_named(folders: tuple[Path, Path]) -> None:
    sr, hr = folders
    (sr / "birdx2.png").rename(sr / "bird3.png")
    with pytest.raises(ImageError, match=r"bird3\.png: its name"):
        score_folder(sr, hr, 2)
    (sr / "bird3.png").unlink()
    with pytest.raises(ImageError, match=r"bird\.png: no SR image"):
        score_folder(sr, hr, 2)
    write_image(sr / "bird_a.png", PHOTO)
    write_image(sr / "bird_b.png", PHOTO)
    with pytest.raises(ImageError, match=r"bird_b\.png and .*bird_a\.png both belong"):
        score_folder(sr, hr, 2)


def test_a_wrong_size_names_the_file(folders: tuple[Path, Path]) -> None:
    write_image(folders[0] / "baby_RCAN_x2.png", PHOTO[:60])
    with pytest.raises(ImageError, match=r"baby_RCAN_x2\.png: expected two images of the same size"):
        score_folder(*folders, 2)


def test_the_folder_of_the_data_sets_may_be_an_argument(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASID_DATA", str(tmp_path / "elsewhere"))
    for index in range(5):
        write_image(tmp_path / "root" / "Set5" / f"{index}.png", PHOTO)
    scores = evaluate(bicubic_upscaler(2), 2, EvalConfig(data=("Set5",)), data_root=tmp_path / "root").scores
    assert len(scores) == 5
    made = tmp_path / "root" / "Set5"
    assert len(score_folder(made, "Set5", 2, data_root=tmp_path / "root")) == 5


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((40, 40, 4), np.uint8), "transparency"),
        (np.zeros((1, 1, 3), np.uint8), "at least 15 pixels"),
        (np.zeros((16, 14, 3), np.uint8), "at least 15 pixels"),
        (None, "not a readable image"),
    ],
    ids=["RGBA", "one pixel", "too small", "text"],
)
def test_sets_are_checked_without_a_network(image: np.ndarray | None, words: str, tmp_path: Path) -> None:
    if image is None:
        (tmp_path / "bad.png").write_text("text")
    else:
        Image.fromarray(image).save(tmp_path / "bad.png")
    write_image(tmp_path / "good.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ImageError, match=words) as caught:
        check_sets(EvalConfig(data=(str(tmp_path),)), 2)
    assert str(tmp_path / "bad.png") in str(caught.value)


def test_lr_files_of_a_wrong_size_are_noticed_without_a_network(tmp_path: Path) -> None:
    for name, side in (("HR/a.png", 40), ("LR_bicubic/X2/ax2.png", 20)):
        write_image(tmp_path / name, np.zeros((side, side, 3), np.uint8))
    config = EvalConfig(data=(str(tmp_path),))
    check_sets(config, 2)
    write_image(tmp_path / "LR_bicubic/X2/ax2.png", np.zeros((20, 21, 3), np.uint8))
    with pytest.raises(ImageError, match=r"ax2\.png: expected 20×20"):
        check_sets(config, 2)
