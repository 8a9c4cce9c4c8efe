"""The operations of a network, counted once on a machine: three counters take two seconds, in each run of a study."""

from contextlib import suppress
from importlib import metadata

from asid.config import NetworkConfig, digest
from asid.data.cache import COUNTS, cache_folder
from asid.files import read_json, write_json
from asid.model.complexity import Complexity, measure_complexity
from asid.runs.identity import scores_code


def complexity_once(config: NetworkConfig) -> Complexity:
    """:func:`asid.model.complexity.measure_complexity`, or what it returned before for this network.

    The file is named by a hash of everything that the counts depend on, and lies in the folder of
    :mod:`asid.data.cache`.
    """
    folder = cache_folder()
    if folder is None:
        return measure_complexity(config)
    versions = [metadata.version(package) for package in ("torch", "ptflops", "fvcore")]
    path = folder / f"{COUNTS}{digest([config.to_dict(), scores_code(), versions])}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):  # not there, or damaged
        content = read_json(path)
        return Complexity(**{**content, "output": tuple(content["output"])})
    complexity = measure_complexity(config)
    with suppress(OSError):  # no room on the disk, or another run has written it
        write_json(path, complexity.to_dict())
    return complexity
