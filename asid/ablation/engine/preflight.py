"""Before a study runs: every network is built and compared, disk space is checked, minutes become steps."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asid.ablation.engine.cluster import ClusterConfig, runs_at_once, threads_each
from asid.ablation.engine.cost import StudyCost, disk_megabytes, estimate, measure_speeds, recorded_speed, with_steps
from asid.ablation.engine.finished import stored_steps
from asid.ablation.engine.reuse import trained_elsewhere
from asid.ablation.statistics.looks import read_standing
from asid.ablation.study.expand import Study
from asid.ablation.study.plan import plan_study
from asid.ablation.study.study import StudyError
from asid.config import RunConfig
from asid.data.images import image_size
from asid.data.overlap import check_overlap
from asid.data.sources import find_images
from asid.evaluation.evaluate import check_sets
from asid.model.build import build_network
from asid.model.complexity import count_parameters
from asid.training.devices import check_devices

_PROBE = (40, 56)
"""Height and width of the image on which networks are compared: at this size no two kinds of window coincide."""
_SMOKE_STEPS = 4


def prepare(study: Study, folder: Path, cluster: ClusterConfig) -> Study:
    """Check what can be checked before the first run, and convert ``minutes`` of training to steps.

    Args:
        study: The study.
        folder: Its folder.
        cluster: Where it will be executed; threads and so speeds depend on it.

    Returns:
        The study as it is to be run.

    Raises:
        StudyError: Two variants are the same network.
        ValueError: Evaluation data is missing or unusable, or this machine lacks the devices.
        OSError: The disk has too little space, or the folder cannot be written.
    """
    check_inputs(study, cluster)
    check_disk(folder, disk_megabytes(study, check_networks(study)))
    if study.config.minutes is None or set(study.variants) <= set(study.config.steps_of):
        return study  # a study that is resumed has its steps
    threads = threads_each(runs_at_once(cluster, study.run_count))
    return with_steps(study, measure_speeds(study, threads, folder, store=True))


def check_inputs(study: Study, cluster: ClusterConfig) -> None:
    """Check the images of every variant and the devices of this machine: what takes no network.

    Raises:
        ValueError: Images are missing, damaged, or shared by training and evaluation; or this machine lacks the
            devices.
    """
    base = study.run_config(study.base_name)
    check_sets(base.evaluate, base.model.scale)  # the same for all variants
    for config in {config.data: config for config in map(study.run_config, study.variants)}.values():
        for use, source in (("train", config.data.train), ("validation", config.data.validation)):
            for photograph in find_images(source, split=use):
                image_size(photograph.path)
        check_overlap(config)
    if not (cluster.scheduler or cluster.slurm):
        for name in study.variants:
            check_devices(study.run_config(name).train)


def estimate_cost(
    study: Study, folder: Path, cluster: ClusterConfig, say: Callable[[str], None] = lambda _: None
) -> StudyCost:
    """What is left to do of a study, and what it would cost on this machine. Nothing is trained or written.

    What costs least is checked first, and only what is to be trained is timed.

    Args:
        study: The study.
        folder: Its folder, which need not exist.
        cluster: Where it would be executed.
        say: Told what is being done.

    Raises:
        StudyError: Two variants are the same network.
        ValueError: Images or devices are missing or unusable.
    """
    say("opening the images")
    check_inputs(study, cluster)
    say("building the network of every variant")
    parameters = check_networks(study)
    at_once = runs_at_once(cluster, study.run_count)
    threads = threads_each(at_once)
    study = stored_steps(study, folder)
    if study.config.minutes is not None and not set(study.variants) <= set(study.config.steps_of):
        study = with_steps(study, measure_speeds(study, threads, folder, store=False, say=say))
    plan = plan_study(study, folder, Path(study.config.notebook))
    runs = plan.runs
    finished = {run.label: record for run in runs if (record := run.record())}
    standing = read_standing(plan, finished)
    spared = {run.label for run in standing.spared if run.label not in finished} if standing else set()
    trained = {
        run.label: source
        for run in runs
        if run.label not in finished and run.label not in spared and (source := trained_elsewhere(run, folder))
    }
    known = {run.variant: record for run in runs if (record := finished.get(run.label))}
    known |= {run.variant: trained[run.label].record for run in runs if run.label in trained}
    left = dict.fromkeys(run.variant for run in runs if run.label not in {*finished, *spared, *trained})
    speeds = measure_speeds(study, threads, folder, store=False, names=left, say=say)
    speeds |= {name: recorded_speed(record) for name, record in known.items() if name not in left}
    counts = [Counter(run.variant for run in runs if run.label in some) for some in (trained, finished, spared)]
    origins = {label: source.study for label, source in trained.items()}
    say("counting multiply-adds")
    return StudyCost(at_once, estimate(study, parameters, speeds, *counts), origins)


def shorten(study: Study) -> Study:
    """The smoke test of a study: one seed and four steps per variant.

    Variants that differ in their number of steps stay different runs: the next longer ones get five steps, and so on.
    """
    lengths = {name: study.run_config(name).train.steps for name in study.variants}
    ranks = sorted(set(lengths.values()))
    steps = {name: _SMOKE_STEPS + ranks.index(length) for name, length in lengths.items()}
    varied = {key for variant in study.variants.values() for key in variant.delta.get("train", {})}
    short: dict[str, Any] = {
        "validate_every": _SMOKE_STEPS,
        "checkpoint_every": _SMOKE_STEPS,
        "warmup_steps": 0,
        "checkpoints": [],
    }
    base = study.config.base
    train = {**base.get("train", {}), **{key: value for key, value in short.items() if key not in varied}}
    return study.override(
        base={**base, "train": train}, seeds=study.config.seeds[:1], until=None, minutes=None, steps_of=steps
    )


def check_networks(study: Study) -> dict[str, int]:
    """Build the network of every variant and trained reference.

    Returns:
        The number of parameters of each.

    Raises:
        StudyError: Two variants with the same training have the same number of parameters and, from the same seed, the
            same output. The axis in which they differ then has no effect, and hours would be spent on a difference
            that cannot exist.
    """
    image = torch.rand(1, 3, *_PROBE, generator=torch.Generator().manual_seed(0))
    seen: list[tuple[str, RunConfig, torch.Tensor]] = []
    parameters: dict[str, int] = {}
    for name in study.run_names:
        config = study.run_config(name)
        model = build_network(config.model, seed=config.seed).eval()
        parameters[name] = count_parameters(model)
        with torch.inference_mode():
            output = model(image)
        for other, other_config, other_output in seen:
            same_training = config.override(model=other_config.model) == other_config
            if same_training and parameters[name] == parameters[other] and torch.equal(output, other_output):
                mine, theirs = config.model.to_dict(), other_config.model.to_dict()
                axes = ", ".join(key for key in mine if mine[key] != theirs[key])
                change = study.change(name) or "no changes"
                raise StudyError(
                    f"variants {name} ({change}) and {other} are the same network, with the same output: "
                    f"{axes} has no effect there; remove one of the two, or exclude it"
                )
        seen.append((name, config, output))
    return parameters


def check_disk(folder: Path, megabytes: float) -> None:
    """Raise ``OSError`` if the disk of ``folder``, which need not exist yet, has less than ``megabytes`` MB free."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free / 1e6
    if free < megabytes:
        raise OSError(
            f"the study needs about {megabytes:.0f} MB in {folder}, {free:.0f} MB are free: "
            "make room, or choose another --output"
        )
