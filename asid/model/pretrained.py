"""From a name to a network."""

from collections.abc import Iterable
from pathlib import Path

import torch

from asid.model.base import Network
from asid.model.checkpoint import load_checkpoint
from asid.model.find import find_checkpoint
from asid.process import fit_threads


def load_model(model: str | Path, device: str = "auto") -> Network:
    """Load a trained network, in evaluation mode.

    Args:
        model: A checkpoint file (``.safetensors``, or a published ``.pth``), the folder of a run, or, as a text, the
            name of packaged weights such as ``"asid-tiny"``: see :func:`asid.model.find.find_checkpoint`.
        device: A PyTorch device such as ``"cpu"`` or ``"cuda:1"``; ``"auto"``: a GPU if there is one.

    Raises:
        FileNotFoundError: There is no such model.
        CheckpointError: The file cannot be read, or its tensors do not fit the network that it describes.
        ValueError: The device cannot be used.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    network = load_checkpoint(find_checkpoint(model))
    try:
        network = network.to(torch.device(chosen))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use the device {device}: {str(error).splitlines()[0]}") from None
    if chosen == "cpu":
        _fit_once(network)
    return network


_TRIAL_SIDE = 48
"""Side of the image on which numbers of threads are tried, in LR pixels."""


def fit_inference_threads(network: Network) -> int:
    """Set the number of CPU threads to what is fastest for applying ``network`` now, on a CPU.

    See :func:`asid.process.fit_threads`, also for what is returned.
    """
    return fit_threads(network, torch.zeros(1, 3, _TRIAL_SIDE, _TRIAL_SIDE))


_is_fitted = False


def _fit_once(network: Network) -> None:
    """Once in a process: panels load several networks."""
    global _is_fitted
    if not _is_fitted:
        _is_fitted = True
        fit_inference_threads(network)


def common_scale(models: Iterable[Network]) -> int:
    """The scale of networks that are compared with each other.

    Raises:
        ValueError: Their scales differ, or there are no networks.
    """
    scales = {model.config.scale for model in models}
    if len(scales) != 1:
        raise ValueError(f"expected networks of one scale, got scales {sorted(scales)}")
    return scales.pop()
