"""The quick start: scores are those of an evaluation, uploads are read, the divider needs no kernel."""

import base64
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from asid.config import EvalConfig, InferenceConfig, preset
from asid.data.images import read_image, write_image
from asid.evaluation import progress
from asid.evaluation.evaluate import evaluate
from asid.evaluation.inference import upscale
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.panels import divider, quickstart
from asid.panels.divider import before_after
from asid.panels.networks import open_model
from asid.panels.quickstart import ENLARGE, QuickStart

pytestmark = pytest.mark.process


@pytest.fixture
def panel(tmp_path: Path) -> QuickStart:
    write_image(tmp_path / "photographs" / "face.png", data.astronaut()[60:140, 180:284])
    model = save_checkpoint(ASID(preset("asid-tiny", num_groups=1)), tmp_path / "model.safetensors")
    return QuickStart([str(model)], str(tmp_path / "photographs"), folder=tmp_path, results=tmp_path)


def upload(panel: QuickStart, name: str, content: bytes) -> None:
    file = {
        "name": name,
        "type": "",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime.now(UTC),
    }
    panel.upload.value = (file,)


def png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def titles(panel: QuickStart) -> list[str]:
    assert panel.drawing is not None
    return [ax.get_title() for ax in panel.drawing[0].axes]


def original(panel: QuickStart) -> NDArray[np.uint8]:
    assert panel.restored is not None
    assert panel.restored.reference is not None
    return panel.restored.reference


def test_the_scores_are_those_of_an_evaluation(panel: QuickStart, tmp_path: Path) -> None:
    name = panel.values["model"]
    expected = evaluate(
        ASID(preset("asid-tiny", num_groups=1)), 2, EvalConfig(data=(str(tmp_path / "photographs"),))
    ).scores.iloc[0]
    assert f"{name}\n{expected['psnr']:.2f} dB, SSIM {expected['ssim']:.4f}" in titles(panel)


def test_an_uploaded_photograph_is_chosen(panel: QuickStart) -> None:
    upload(panel, "mine.png", png(data.chelsea()[:48, :64]))
    assert panel.values["photograph"] == "mine"
    assert panel.message.value == ""
    assert panel.restored is not None
    np.testing.assert_array_equal(panel.restored.reference, data.chelsea()[:48, :64])
    panel.controls["task"].value = ENLARGE
    assert panel.restored.sr.shape == (96, 128, 3)
    assert not any("dB" in title for title in titles(panel)), "there is nothing to compare with"


def test_uploads_with_the_same_name_are_two_photographs(panel: QuickStart) -> None:
    for image in (data.chelsea()[:48, :64], data.coffee()[:48, :64]):
        upload(panel, "face.png", png(image))
        assert panel.message.value == ""
        np.testing.assert_array_equal(original(panel), image)
    assert panel.controls["photograph"].options == ("face", "face (2)", "face (3)")
    assert panel.values["photograph"] == "face (3)"
    panel.controls["photograph"].value = "face (2)"
    np.testing.assert_array_equal(original(panel), data.chelsea()[:48, :64])


def test_an_upload_is_upright_and_transparent_parts_are_white(panel: QuickStart) -> None:
    image = np.dstack([data.chelsea()[:48, :64], np.full((48, 64), 255, np.uint8)])
    image[:8, :, 3] = 0
    upload(panel, "screen.png", png(image))
    assert (original(panel)[:8] == 255).all()
    np.testing.assert_array_equal(original(panel)[8:], image[8:, :, :3])
    buffer, tags = io.BytesIO(), Image.Exif()
    tags[0x0112] = 6  # taken with the camera rotated
    Image.fromarray(image[..., :3]).save(buffer, "png", exif=tags)
    upload(panel, "phone.png", buffer.getvalue())
    np.testing.assert_array_equal(original(panel), np.rot90(image[..., :3], -1))


def test_of_a_large_photograph_a_detail_is_shown_and_the_whole_on_request(
    panel: QuickStart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(quickstart, "MOST_AT_ONCE", 20_000)
    monkeypatch.setattr(quickstart, "_DETAIL", 128)
    monkeypatch.setattr(progress, "WHOLE", 128)
    monkeypatch.setattr(progress, "TILES", InferenceConfig(tile=96, overlap=8))
    monkeypatch.setattr(divider, "MOST_SHOWN", 400)
    upload(panel, "large.png", png(data.chelsea()))
    assert "The whole photograph: 225 × 150 LR pixels, about" in panel.message.value
    assert panel.restored is not None
    assert panel.restored.sr.shape == (256, 256, 3)
    assert "a detail of 225 × 150" in panel.drawing[0].get_supxlabel()  # type: ignore[index]
    assert 'class="actual"' in panel.slider.value
    before = panel.restored.sr
    panel.controls["across"].value = 0
    assert not np.array_equal(panel.restored.sr, before)

    panel.controls["part"].value = 0
    panel.work.wait()
    assert not panel.work.is_busy
    assert panel.values["part"] == 0
    assert "in tiles of 96" in panel.drawing[0].get_supxlabel()  # type: ignore[index]
    assert panel.restored.sr.shape == (300, 450, 3)
    network, lr = open_model(panel.values["model"]), panel.restored.lr
    np.testing.assert_array_equal(panel.restored.sr, upscale(network, lr, InferenceConfig(tile=96, overlap=8)))
    contents = re.findall(r"base64,([^\"]+)", panel.slider.value)
    assert [Image.open(io.BytesIO(base64.b64decode(content))).size for content in contents] == [(400, 267)] * 2
    assert 'class="actual"' not in panel.slider.value, "there is no 1:1 of a reduced image"

    panel.save_sr()
    (file,) = tmp_path.glob("sr-large-*.png")
    np.testing.assert_array_equal(read_image(file), panel.restored.sr)
    assert f'download="{file.name}"' in panel.message.value
    panel.controls["photograph"].value = "face"
    assert panel.values["part"] == 0, "a small one is shown whole"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no image", "bad.png is not a readable image"), (png(np.zeros((8, 8), np.uint16)), "8 bits per channel")],
)
def test_an_unreadable_upload_is_reported_and_nothing_is_lost(content: bytes, words: str, panel: QuickStart) -> None:
    before = panel.picture.value
    upload(panel, "bad.png", content)
    assert words in panel.message.value
    assert panel.controls["photograph"].options == ("face",)
    assert panel.picture.value == before
    upload(panel, "good.png", png(data.chelsea()[:48, :64]))
    assert panel.values["photograph"] == "good"


def test_the_divider_holds_both_images_and_moves_on_the_page(panel: QuickStart) -> None:
    images = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        for content in re.findall(r"base64,([^\"]+)", panel.slider.value)
    ]
    assert panel.restored is not None
    np.testing.assert_array_equal(images[0], panel.restored.sr)
    np.testing.assert_array_equal(images[1], panel.restored.bicubic)
    assert panel.restored.notes["sr"] in panel.slider.value
    assert 'type="range"' in panel.slider.value
    assert "setProperty('--x'" in panel.slider.value


def test_images_of_two_sizes_have_no_divider() -> None:
    with pytest.raises(ValueError, match="expected two images of the same size"):
        before_after(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), ("a", "b"))


def test_labels_are_escaped() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert "<script>" not in before_after(black, black, ("<script>", 'a" onload="b'))
