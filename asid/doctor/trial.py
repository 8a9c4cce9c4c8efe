"""A training of two steps, done twice: whether training works here, and gives the same bytes."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asid.config import RunConfig, build_run
from asid.doctor.finding import Finding
from asid.files import WEIGHTS, content_hash
from asid.process import THREADS

_SETTINGS = {
    "data": {"patch_size": 16},
    "train": {"steps": 2, "batch_size": 2, "validate_every": 2, "checkpoint_every": 2},
}


def trainings() -> Iterator[Finding]:
    """Train the smallest network for two steps on the sample photographs, twice."""
    import torch

    from asid.training.train import train

    config: RunConfig = build_run("asid-tiny", _SETTINGS)
    on_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    with tempfile.TemporaryDirectory(prefix="asid-doctor-") as folder:
        hashes, before = [], os.environ.get(THREADS)
        try:
            for name in ("first", "second"):
                train(config, Path(folder, name), progress=False)
                hashes.append(content_hash(Path(folder, name, WEIGHTS)))
                # The same number for both: it decides in which order numbers are added.
                os.environ[THREADS] = str(torch.get_num_threads())
            number = os.environ[THREADS]
        finally:
            os.environ.pop(THREADS, None)
            if before is not None:
                os.environ[THREADS] = before
    yield Finding("training", f"two steps of asid-tiny on the {'GPU' if on_gpu else 'CPU'} with {number} threads")
    if hashes[0] == hashes[1]:
        yield Finding("determinism", f"the same two steps again: the same bytes (SHA-256 {hashes[0][:12]}…)")
    else:
        text = "the same two steps gave other weights: a resumed or repeated training ends elsewhere"
        again = "asid train --set train.accelerator=cpu …" if on_gpu else "asid --threads 1 …"
        yield Finding("determinism", text, "warning", again)
