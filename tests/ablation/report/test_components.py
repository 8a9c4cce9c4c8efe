"""dB lost by networks trained without a component, from the records of a study."""

from pathlib import Path
from typing import Any

import pytest
from written_study import edit_file, make_study, seeded

from asid.ablation.report.components import lost_without
from asid.ablation.report.results import load_results
from asid.ablation.study.components import take_out
from asid.config import ModelConfig
from asid.files import RECORD, STUDY

CHANGES = {"without it": [-0.2, -0.21, -0.19], "other name": [-0.05, -0.05, -0.05], "wide": [0.1, 0.1, 0.1]}


def test_components_are_told_by_what_was_changed_not_by_names(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeded(CHANGES), sets=("set_5", "set_14"))
    fields = {
        "without it": take_out(ModelConfig(), ["esa"]),
        "other name": take_out(ModelConfig(), ["position-bias"]),
        "wide": {"num_features": 64},
    }

    def change(content: dict[str, Any]) -> None:
        if "runs" not in content:
            content["config"]["model"] |= fields.get(content["variant"], {})
            return
        for run in content["runs"]:
            run["config"]["model"] |= fields.get(run["variant"], {})

    for path in (folder / STUDY, *(folder / "runs").rglob(RECORD)):
        edit_file(path, change)
    results = load_results(folder)
    assert lost_without(results) == pytest.approx({"esa": 0.2, "position-bias": 0.05})
    assert lost_without(results, "set_14") == pytest.approx({"esa": 0.2, "position-bias": 0.05})
