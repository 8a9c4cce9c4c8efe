"""docs/pareto.csv: each published number has a source; multiply-adds are counted again; ours are beside them."""

import math
import re
from types import ModuleType

import pytest
from paths import DOCS, load_script


@pytest.fixture(scope="module")
def pareto() -> ModuleType:
    return load_script("pareto")


def test_the_links_of_the_page_exist() -> None:
    page = (DOCS / "pareto.md").read_text(encoding="utf-8")
    assert all((DOCS / link).exists() for link in re.findall(r"\]\(([^)#]+)\)", page) if not link.startswith("http"))


def test_each_number_has_a_source_and_a_scale_that_it_can_have(pareto: ModuleType) -> None:
    table = pareto.load_table()
    assert (table[pareto.SOURCES] != "").all(axis=None)
    assert set(" ".join(table["unchecked"]).split()) <= {"training", "parameters_k", "macs_g", *pareto.SETS}
    assert not table.duplicated(["network", "scale"]).any()
    for column in pareto.SETS:
        cells = table.loc[table[column] != "", column].str.split("/", expand=True).astype(float)
        assert cells[0].between(24, 40).all()
        assert cells[1].between(0.7, 1).all()
    for _, rows in table.groupby("network"):  # harder at each scale
        assert rows.sort_values("scale")[pareto.SHOWN].map(pareto.psnr_of).is_monotonic_decreasing


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_multiply_adds_from_layers_equal_the_published_ones(pareto: ModuleType, scale: int) -> None:
    table = pareto.load_table().query("scale == @scale").set_index("network")["macs_g"].astype(float)
    for network in table.index.intersection(["SRCNN", "CARN", "IMDN", "SAFMN", "ShuffleMixer"]):
        assert math.isclose(pareto.recounted(network, scale), table[network], rel_tol=0.012), network


def test_the_products_of_attention_are_counted(pareto: ModuleType) -> None:
    assert math.isclose(pareto.recounted("SwinIR-light", 4), 63.6, rel_tol=0.02)  # SFMformer, arXiv 2608.17966, table 1


def test_ours_are_drawn_and_what_was_not_checked_is_marked(pareto: ModuleType) -> None:
    shown = pareto.points(2).set_index("name")
    assert shown.loc["asid, ours", "parameters"] == pytest.approx(297.516)
    assert not shown.loc["SAFMN", "checked"], "its PSNR on Set5"
    assert not shown.loc["RFDN", "checked"], "its training set; its multiply-adds are counted"
    assert shown.loc["SwinIR-light", "checked"]
    assert shown.loc["IMDN", "macs"] == pareto.recounted("IMDN", 2)
