"""What tiles cost each variant, and whether a verdict depends on them."""

import re
from pathlib import Path
from typing import Any

import pytest
from written_study import make_study, seeded

from asid.ablation.report.latex import to_latex
from asid.ablation.report.page import table_html, to_html
from asid.ablation.report.results import StudyResults, load_results
from asid.ablation.report.sentences import conclude, describe
from asid.ablation.report.tables import OTHER_VERDICT, to_text

CHANGES = {"grid": [0.10, 0.11, 0.09, 0.10, 0.12], "meso-only": [-0.2, -0.21, -0.19, -0.2, -0.2]}
COSTS = {"base": 0.04, "grid": 0.14, "meso-only": 0.01, "plain-cnn": 0.002}
SENTENCE = (
    "Tiles of 64, overlap 24, cost base 0.040 dB, and beyond that grid +0.100 dB, meso-only −0.030 dB. "
    "Verdicts that depend on them: grid (better, in tiles equivalent)."
)


def make(folder: Path, **plan: Any) -> StudyResults:
    cnn = {seed: {"ant": 29.0, "bee": 30.0} for seed in range(5)}
    more = {"more": lambda variant, _, psnr: {"psnr_in_tiles": psnr - COSTS[variant]}}
    more |= {"config": {"evaluate": {"also_tile": 64}}}
    return load_results(make_study(folder, seeded(CHANGES), plain_cnn=cnn, **more, **plan))


@pytest.mark.parametrize("plan", [{}, {"until": {"looks": [3, 5]}}], ids=["all seeds", "looks"])
def test_a_verdict_that_depends_on_tiles_is_named(plan: dict[str, Any], tmp_path: Path) -> None:
    results = make(tmp_path, **plan)
    table = results.table.set_index("variant")
    assert table["tile_cost"].dropna().to_dict() == pytest.approx(COSTS)
    assert (table["delta"] - table["delta_in_tiles"]).dropna().to_dict() == pytest.approx(
        {"grid": 0.1, "meso-only": -0.03}
    )
    assert table["verdict_in_tiles"].dropna().to_dict() == {"grid": "equivalent", "meso-only": "worse"}
    assert [sentence for sentence in conclude(results) if "Tiles" in sentence] == [SENTENCE]
    assert "PSNR lost in tiles of 64, overlap 24, against whole image" in " ".join(describe(results))


def test_every_table_shows_what_tiles_cost(tmp_path: Path) -> None:
    results = make(tmp_path)
    shown = dict(zip(results.table["variant"], to_text(results.table)["tile cost (dB)"], strict=True))
    assert shown == {"bicubic": "–", "base": "0.040", "grid": "0.140§", "meso-only": "0.010", "plain-cnn": "0.002"}
    latex = to_latex(results)
    assert r"0.140\S{} &" in latex
    assert r"\S{}: by the scores in tiles" in latex
    page = to_html(results, [], [])
    assert re.search(r"<td>[+−]0\.\d{3} equivalent</td>", page)
    assert "tile cost (dB)" in table_html(results.select(["grid"], "set_5"), "set_5")
    assert SENTENCE in " ".join(conclude(results.select(["base", "grid", "meso-only"], "set_5")))


def test_a_study_without_scores_in_tiles_says_nothing_of_them(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    assert results.in_tiles == {}
    assert not any("tile" in name for table in (results.table, results.scores) for name in table)
    for text in (to_text(results.table).to_string(), to_latex(results), to_html(results, [], [])):
        assert OTHER_VERDICT not in text
        assert "in tiles" not in text
