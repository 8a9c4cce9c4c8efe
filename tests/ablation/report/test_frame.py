"""``asid.results`` and ``asid results query``: what the table says, and that its cache changes nothing but time."""

from pathlib import Path

import pandas as pd
import pytest
from command_line import Call
from written_study import BICUBIC, PSNR, edit_file, make_study

import asid
from asid.ablation.report import frame, record_cache
from asid.ablation.report.frame import COLUMNS, FIELD_COLUMNS, select
from asid.ablation.statistics.records import ReportError
from asid.data.cache import FOLDER_VARIABLE
from asid.files import RECORD


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two studies of three variants, two seeds and two images, and an empty cache."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    first = make_study(tmp_path / "a", plain_cnn={0: {"ant": 28.0, "bee": 29.5}}).parent
    make_study(first.parent / "b")

    def change(record: dict[str, object]) -> None:
        record["study"] = "other"
        record["config"]["model"]["attention_sharing"] = "none"  # type: ignore[index]

    for variant, seed in (("no_sharing", 0), ("no_sharing", 1)):
        edit_file(tmp_path / "b" / "results" / "runs" / f"{variant}-{seed}" / RECORD, change)
    return tmp_path


def test_all_results_are_one_tidy_table(studies: Path) -> None:
    table = asid.results(studies / "**")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * (3 * 2 * 2 + 2) + 2
    assert table.equals(asid.results(studies)), "a folder is all that is below it"
    assert asid.results(studies / "a").equals(asid.results(f"{studies}/[a]/results", f"{studies}/a"))
    psnr = asid.results(studies / "a").set_index(["variant", "seed", "image"])["psnr"]
    for variant, seeds in PSNR.items():
        for seed, images in seeds.items():
            assert {image: psnr[variant, seed, image] for image in images} == images
    row = table[table["study"] == "other"].iloc[0]
    assert (row["attention_sharing"], row["steps"], row["evaluate_border"], row["folder"]) == (
        "none",
        70,
        "symmetric",
        str(studies / "b" / "results" / "runs" / "no_sharing-0"),
    )


def test_each_field_of_a_configuration_has_its_own_column() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert FIELD_COLUMNS["train", "precision"] == "train_precision", "evaluate has one, too"
    assert FIELD_COLUMNS["evaluate", "data"] == "evaluate_data", "data is the column of image sets"
    assert FIELD_COLUMNS["model", "attention_sharing"] == "attention_sharing"


def test_what_does_not_apply_is_missing(studies: Path) -> None:
    rows = asid.results(studies / "a").set_index(["variant", "image"])
    bicubic, cnn, base = rows.loc[("bicubic", "ant")], rows.loc[("plain-cnn", "ant")], rows.loc[("base", "ant")].iloc[0]
    assert bicubic["psnr"] == BICUBIC["ant"]
    assert bicubic[["seed", "attention_sharing", "steps", "parameters"]].isna().all()
    assert bicubic["scale"] == 2
    assert (cnn["network"], base["network"]) == ("plain-cnn", "asid")
    assert pd.isna(cnn["esa"])
    assert base["esa"] is True or base["esa"] == True  # noqa: E712  # a numpy or a Python truth value


def test_a_record_is_read_again_only_if_it_changed(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = asid.results(studies), []
    original = frame.read_record
    monkeypatch.setattr(frame, "read_record", lambda folder: read.append(folder) or original(folder))
    assert asid.results(studies).equals(before)
    assert read == []
    changed = studies / "a" / "results" / "runs" / "base-1"
    edit_file(changed / RECORD, lambda record: record["scores"][0].update(psnr=99.25))
    assert 99.25 in set(asid.results(studies)["psnr"])
    assert read == [changed]


@pytest.mark.parametrize("harm", ["deleted", "damaged", "off", "not writable"])
def test_the_cache_may_be_lost_at_any_time(harm: str, studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asid.results(studies)
    (file,) = (studies / "cache").iterdir()
    if harm == "deleted":
        file.unlink()
    elif harm == "damaged":
        file.write_bytes(b"no database" * 1000)
    elif harm == "off":
        monkeypatch.setenv(FOLDER_VARIABLE, "off")
    else:
        monkeypatch.setenv(FOLDER_VARIABLE, str(file / "below a file"))
    assert asid.results(studies).equals(before)
    if harm in ("deleted", "damaged"):
        monkeypatch.setattr(frame, "read_record", lambda _: pytest.fail("it was written again"))
        assert asid.results(studies).equals(before)


def test_what_is_gone_leaves_the_cache(studies: Path) -> None:
    asid.results(studies)
    gone = studies / "a" / "results" / "runs" / "base-1" / RECORD
    assert str(gone) in record_cache._load()
    gone.unlink()
    edit_file(studies / "b" / "results" / "runs" / "base-1" / RECORD, lambda record: record.update(study="new"))
    asid.results(studies)
    assert str(gone) not in record_cache._load()


def test_a_damaged_record_is_left_out_by_name(studies: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = studies / "a" / "results" / "runs" / "base-1" / RECORD
    damaged.write_text(damaged.read_text().replace("ant", "ape"))
    table = asid.results(studies)
    assert str(damaged.parent) not in set(table["folder"])
    assert str(damaged) in caplog.text
    with pytest.raises(ReportError, match=r"no finished run in .*nowhere"):
        asid.results(studies / "nowhere")


# Queries


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("attention_sharing == 'none' and seed < 1", 2),
        ("study != 'other' and variant == 'no_sharing'", 4),
        ("seed >= 0 and not esa", 0),
        ("network == 'plain-cnn'", 2),
        ("psnr > 31.2", 2),
    ],
)
def test_a_query_selects_rows(expression: str, count: int, studies: Path) -> None:
    assert len(select(asid.results(studies), expression)) == count


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("atention_sharing == 1", "did you mean 'attention_sharing'"),
        ("xyzzy > 1", "the columns are study, variant"),
        ("psnr + 1", "no condition"),
        ("seed = 1", "no condition"),
        ("psnr >", "invalid syntax"),
        ("1 == 1", "no condition"),
        ("", "expected, for example"),
        ("__import__('os').getcwd() == ''", "not a supported function"),
    ],
)
def test_a_bad_expression_is_one_clear_error(expression: str, words: str, studies: Path) -> None:
    with pytest.raises(ValueError, match=words) as error:
        select(asid.results(studies), expression)
    assert "\n" not in str(error.value)


def test_the_command_prints_and_writes(cli: Call, studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(studies)
    monkeypatch.setenv("COLUMNS", "150")
    ended = cli("results", "query", "attention_sharing == 'none'", "--in", "a", "--in", "b", "--csv", "found.csv")
    assert ended.status == 0
    assert "attention_sharing" in ended.out, "a column that the question names is shown"
    assert "4 scores of 2 runs; mean PSNR 30.75 dB" in ended.words
    written = pd.read_csv("found.csv")
    assert list(written.columns) == list(COLUMNS)
    assert sorted(written["psnr"]) == [30.0, 30.5, 31.0, 31.5]
    ended = cli("results", "query", "sed == 1", "--in", "a")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "psnr_uniform_maps" in cli("results", "columns").out.split()
