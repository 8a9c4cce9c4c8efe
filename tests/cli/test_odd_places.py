"""Real commands where little is as usual: no home, read-only package, hostile path, ASCII, 40 columns, no reader."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from paths import TRAIN_VARIANT
from photographs import PHOTO

import asid
from asid.data.images import write_image
from asid.files import RECORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc, and mounts of its own for a process"),
]

STUDY = f"""
name: odd
question: Does it run?
preset: asid-tiny
base:
  model: {{num_groups: 1}}
  data: {{train: samples, validation: data, patch_size: 16}}
  train: {{steps: 2, batch_size: 2, accelerator: cpu, validate_every: 2}}
  evaluate: {{data: [data]}}
variants:
  no-esa: {{model: {{esa: false}}}}
seeds: [0]
notebook: {TRAIN_VARIANT}
"""
SETTINGS = (
    "model.num_groups=1",
    "train.steps=2",
    "train.batch_size=2",
    "data.patch_size=16",
    "data.validation=data",
    "evaluate.data=[data]",
)


def read_only(folder: Path) -> list[str]:
    """Make the package in ``folder`` read-only; returns the words before a command for which it is. Root needs some."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    if os.getuid() != 0:
        return []
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("root, who may not mount here, can write everywhere")
    return words


def test_commands_work_where_little_is_as_usual(tmp_path: Path) -> None:
    place = tmp_path / 'it\'s "a" {place} für 日本'
    write_image(place / "data" / "é a.png", PHOTO)
    (place / "study.yaml").write_text(STUDY, encoding="utf-8")
    package = tmp_path / "package"
    shutil.copytree(Path(asid.__file__).parent, package / "asid", ignore=shutil.ignore_patterns("__pycache__"))
    before = read_only(package)
    (tmp_path / "temporary").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))},
        "HOME": "/proc",  # not even root can write there
        "TMPDIR": str(tmp_path / "temporary"),
        "ASID_CACHE": "",
        "LC_ALL": "C",
        "COLUMNS": "40",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(package),
    }
    changes = [word for change in SETTINGS for word in ("--set", change)]
    for words in (
        ["upscale", "--model", "asid-tiny", "data/é a.png", "--output", place / "out"],
        ["train", place / "run", "--preset", "asid-tiny", *changes],
        ["evaluate", place / "run", "--data", place / "data"],
        ["ablate", "run", "study.yaml", "--output", place / "study", "--workers", "1"],
        ["report", place / "study"],
        ["doctor", "--quick"],
    ):
        reader, writer = os.pipe()
        os.close(reader)
        command = [*before, sys.executable, "-m", "asid.cli", *map(str, words)]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=place, env=environment, timeout=300)
        os.close(writer)
        errors = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"{words}: {errors}"
        assert "Traceback" not in errors
    assert (place / "out" / "é a_x2.png").is_file()
    assert (place / "run" / RECORD).is_file()
    assert len(list((place / "study" / "runs").glob(f"*/{RECORD}"))) == 2
    assert (place / "study" / "report.html").is_file()
    assert not list(tmp_path.joinpath("temporary").glob("asid-kernels-*")), "keys of kernels are left"
