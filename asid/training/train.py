"""Training with Lightning, counted in steps. A killed training resumes exactly; a finished one is not repeated."""

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.utilities import rank_zero_only
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from asid.config import RunConfig
from asid.data.cache import CachedImage
from asid.data.images import RGBImage
from asid.data.patches import PatchDataset, ResumableSampler, collate
from asid.data.resize import crop_to_multiple
from asid.data.sources import find_images
from asid.files import CHECKPOINT, WEIGHTS
from asid.model.base import Network
from asid.model.checkpoint import load_checkpoint, save_checkpoint
from asid.model.network import ASID
from asid.model.pretrained import fit_inference_threads, load_model
from asid.process import keep_freed_memory, set_threads
from asid.training.checkpoints import AtomicCheckpointIO, PartCheckpoints, StepCheckpoint, saved_execution
from asid.training.devices import check_devices, device_type
from asid.training.memory import StepOutOfMemoryError, is_out_of_memory, smaller_micro_batch
from asid.training.module import TrainingModule
from asid.training.ownership import check_weights, claim
from asid.training.recorder import HistoryRecorder
from asid.training.start import start_from, start_linear
from asid.training.strategy import strategy_of
from asid.training.threads import fit_training_threads

LOGGER = logging.getLogger(__name__)


def train(
    config: RunConfig, folder: str | Path, *, progress: bool = True, on_history: Callable[[Path], None] | None = None
) -> Network:
    """Train a network, and save it to ``folder``.

    An interrupted training resumes from its last checkpoint and ends with the weights that it would have had; a
    finished one is not repeated. If a step runs out of memory, the training resumes from its last checkpoint, or starts
    again, with each batch divided into micro-batches of half the size: the gradient is the same mean over the whole
    batch, up to the order of summation.

    Args:
        config: Configuration of the run; its evaluation does not matter here.
        folder: Folder of the training, created if it does not exist. It belongs to one training.
        progress: Whether to show progress bars.
        on_history: Called with ``folder`` whenever :func:`asid.training.history.read_history` has more to read: a
            hundred times, and after each validation.

    Returns:
        The trained network, on the CPU, in evaluation mode.

    Raises:
        ValueError: ``folder`` holds another training, or weights of one; or this machine lacks the devices.
        TrainingDivergedError: The loss is not finite; the message says what to change.
        MemoryError: A step does not fit into memory, not even patch by patch. On several devices, smaller micro-batches
            are not tried.
        ImageError: Photographs are missing, damaged or too small.
        FileNotFoundError: The pretrained weights are missing.
        CheckpointError: They are those of another network.
    """
    keep_freed_memory()
    folder = Path(folder)
    rank_zero_only(claim)(folder, config)
    if not (folder / WEIGHTS).exists():
        check_devices(config.train)
        job = Job(config, folder, _training_patches(config), _validation_pairs(config), progress, on_history)
        micro_batches, threads = saved_execution(job.checkpoint, config)
        if threads is None:
            fit_training_threads(config)
        else:  # numbers are added in the same order as before the interruption
            set_threads(threads)
        while True:
            try:
                fit(job, micro_batches)
                break
            except StepOutOfMemoryError:
                pass  # the error's traceback keeps the failed attempt in memory until here
            micro_batches = _divide_further(job, micro_batches)
    check_weights(folder, config)
    network = load_checkpoint(folder / WEIGHTS)  # evaluate what was saved
    if device_type(config.train.accelerator) == "cpu":
        fit_inference_threads(network)
    return network


@dataclass(frozen=True)
class Job:
    """One training: its configuration, its data, its folder, and who watches it."""

    config: RunConfig
    folder: Path
    patches: PatchDataset
    validation: list[tuple[CachedImage, CachedImage]]
    """LR and HR images, the HR images not cropped to a multiple of the scale."""
    progress: bool
    on_history: Callable[[Path], None] | None

    @property
    def checkpoint(self) -> Path:
        """The checkpoint from which it resumes, if that exists."""
        return self.folder / CHECKPOINT


def _training_patches(config: RunConfig) -> PatchDataset:
    return PatchDataset(
        find_images(config.data.train, split="train"),
        scale=config.model.scale,
        patch_size=config.data.patch_size,
        candidates=config.data.candidates,
        augment=config.data.augment,
        border=config.data.border,
        seed=config.seed,
    )


def _validation_pairs(config: RunConfig) -> list[tuple[CachedImage, CachedImage]]:
    photographs = find_images(config.data.validation)
    pairs = [(photograph.lr(config.model.scale, config.data.border), photograph.hr()) for photograph in photographs]
    for pair in pairs:  # a damaged one is found now, not after a thousand steps
        _read_pair(pair, config.model.scale)
    return pairs


def _read_pair(pair: tuple[CachedImage, CachedImage], scale: int) -> tuple[RGBImage, RGBImage]:
    lr, hr = (image.pixels() for image in pair)
    return lr, crop_to_multiple(hr, scale)


def fit(job: Job, micro_batches: int) -> None:
    """Train from the last checkpoint, or from the start, and save the weights.

    Args:
        job: What to train.
        micro_batches: Equal parts into which each device's share of a batch is divided.

    Raises:
        StepOutOfMemoryError: A step ran out of memory, and smaller micro-batches may help.
    """
    settings = job.config.train
    module = TrainingModule(job.config)
    if not job.checkpoint.exists() and isinstance(module.model, ASID):  # RunConfig allows these for no other network
        if settings.pretrained:
            start_from(module.model, load_model(settings.pretrained, "cpu"), job.patches.sample())
        elif settings.start == "linear":
            start_linear(module.model, job.patches.sample(), job.config.data.border, job.config.seed)
    recorder = HistoryRecorder(job.folder, every=max(1, settings.steps // 100), on_history=job.on_history)
    checkpoint = StepCheckpoint(job.checkpoint, settings.checkpoint_every, settings.validate_every)
    callbacks: list[Callback] = [recorder, checkpoint]
    average = None
    if settings.ema_decay is not None:
        # Not the buffers: they hold indices of the position bias, and a mean of equal integers may differ from them.
        # All weights at once: Lightning's EMAWeightAveraging takes five operations for each.
        decay = get_ema_multi_avg_fn(settings.ema_decay)
        average = WeightAveraging(use_buffers=False, multi_avg_fn=decay)
        callbacks.append(average)
    callbacks.append(PartCheckpoints(job.folder, job.config, average))
    with _quiet_lightning():
        trainer = L.Trainer(
            max_steps=settings.steps,
            max_epochs=-1,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=strategy_of(settings),
            precision=settings.precision,
            accumulate_grad_batches=micro_batches,
            gradient_clip_val=settings.gradient_clip,
            val_check_interval=settings.validate_every * micro_batches,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,
            enable_progress_bar=job.progress,
            enable_model_summary=False,
            logger=False,
            plugins=[AtomicCheckpointIO()],
            callbacks=callbacks,
            default_root_dir=job.folder,
        )
        micro_batch = _micro_batch(settings.batch_size, trainer.world_size, micro_batches)
        # Lightning does not rewind a loader on resume; the sampler starts at the optimiser's step.
        sampler = ResumableSampler(
            lambda: range(
                trainer.global_step * settings.batch_size + trainer.global_rank,
                settings.steps * settings.batch_size,
                trainer.world_size,
            )
        )
        try:
            trainer.fit(
                module,
                DataLoader(
                    job.patches,
                    micro_batch,
                    sampler=sampler,
                    num_workers=settings.loader_workers,
                    collate_fn=collate,
                ),
                DataLoader(
                    job.validation,  # type: ignore[arg-type]  # a list will do
                    batch_size=None,
                    collate_fn=partial(_read_pair, scale=job.config.model.scale),
                ),
                ckpt_path=job.checkpoint if job.checkpoint.exists() else None,
                weights_only=True,
            )
        except RuntimeError as error:
            if not (is_out_of_memory(error) and module.training):  # smaller micro-batches do not help a validation
                raise
            if micro_batch > 1 and trainer.world_size == 1:
                raise StepOutOfMemoryError from error
            size = job.config.data.patch_size
            raise MemoryError(
                f"expected memory for a training step with {micro_batch} × {size}×{size} LR pixels on a device, "
                "got too little: lower data.patch_size, choose a smaller network (model.num_features, "
                "model.num_groups), run fewer trainings at a time (--workers), or, on several devices, "
                "lower train.batch_size"
            ) from error
    if trainer.is_global_zero:
        execution = {"micro_batch": micro_batch, "threads": torch.get_num_threads(), "resumed_at": recorder.resumed_at}
        save_checkpoint(module.model.cpu(), job.folder / WEIGHTS, run=job.config.to_dict(), execution=execution)
        job.checkpoint.unlink(missing_ok=True)
    trainer.strategy.barrier()  # the processes of the other devices read what the first has written


def _micro_batch(batch: int, devices: int, micro_batches: int) -> int:
    """Patches that a device holds at once."""
    if batch % (devices * micro_batches):
        raise ValueError(
            f"expected a train.batch_size that {devices} devices can share evenly, "
            f"in {micro_batches} micro-batches each, got {batch}"
        )
    return batch // (devices * micro_batches)


def _divide_further(job: Job, micro_batches: int) -> int:
    """The number of micro-batches to try after a step ran out of memory."""
    batch = job.config.train.batch_size
    micro_batch = batch // micro_batches
    smaller = smaller_micro_batch(batch, micro_batch)
    LOGGER.warning(
        "out of memory in a training step: trying again %s with micro-batches of %d instead of %d patches; "
        "the batch stays at %d",
        "from the last checkpoint" if job.checkpoint.exists() else "from the start",
        smaller,
        micro_batch,
        batch,
    )
    gc.collect()  # reference cycles keep the failed attempt alive
    torch.cuda.empty_cache()
    return batch // smaller


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's hints about devices, workers and folders; errors still show."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
