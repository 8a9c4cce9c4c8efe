"""Studies whose runs are executed in this process instead of in notebooks on a cluster, which starts four processes."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from asid.ablation.engine import runner
from asid.ablation.study.plan import PlannedRun
from asid.runs.run import train_and_score


class Here:
    """Stands in for the dispatcher."""

    def __init__(self, *_: object) -> None: ...

    def execute(self, pending: Sequence[PlannedRun]) -> Iterator[tuple[PlannedRun, str | None]]:
        for run in pending:
            train_and_score(run.config, run.folder, progress=False).write_record(run.study, run.variant)
            yield run, None


def run_here(patch: pytest.MonkeyPatch) -> None:
    """From now on ``run_study`` executes its runs in this process."""
    patch.setattr(runner, "Dispatcher", Here)
    patch.setattr(runner, "open_cluster", lambda *_: nullcontext(SimpleNamespace(dashboard_link="nowhere")))
