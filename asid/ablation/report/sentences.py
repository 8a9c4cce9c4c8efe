"""What a study's numbers mean and rest on, a sentence each."""

import math
from collections.abc import Sequence

from asid.ablation.report.results import StudyResults, field_label
from asid.ablation.report.tables import COVERAGE, OTHER_SEEDS, OTHER_VERDICT, other_seeds, show_interval, show_p
from asid.ablation.statistics.fidelity import Fidelity
from asid.ablation.statistics.paired import can_reach, smallest_p
from asid.ablation.statistics.scores import LEVEL, Statistics
from asid.ablation.study.references import REFERENCES
from asid.ablation.study.variants import format_value
from asid.config import PlainCNNConfig
from asid.plots.style import signed
from asid.runs.identity import set_name

_NARROWER = f"{2 * LEVEL - 1:.0%}".replace("%", " %")
_TITLES = {
    "better": "Better than {base}",
    "worse": "Worse than {base}",
    "equivalent": "Equivalent to {base} within ±{margin:g} dB",
    "undecided": "Undecided, the change may be noise",
    "one seed": "One seed shared with {base}, no verdict",
    "waiting": "No verdict before the first look",
}
_SPENDING = {"pocock": "Pocock's", "obrien-fleming": "O'Brien and Fleming's"}


def alpha(results: StudyResults) -> str:
    """The level of the family of tests, as text."""
    return f"{results.plan.study.until.alpha if results.plan.study.until else 1 - LEVEL:g}"


def conclude(results: StudyResults) -> list[str]:
    """What the numbers say: what the study cannot show, verdicts, and the noise behind them."""
    sentences = overview(results)
    for data, statistics in results.statistics.items():
        where = f"{data}: " if len(results.statistics) > 1 else ""
        sentences += [where + sentence for sentence in conclude_set(results, statistics)]
    return sentences


def overview(results: StudyResults) -> list[str]:
    """What holds for the whole study: its looks, and what it cannot show."""
    return [*_looks(results), *limits(results)]


def _looks(results: StudyResults) -> list[str]:
    """At which look verdicts fell, and the runs that were not needed; empty for a study without looks."""
    found = results.standing
    if found is None:
        return []
    looks = found.until.looks
    fell = {look: [name for name in found.decided if found.looks[name] == look] for look in range(1, len(looks) + 1)}
    at = [f"look {look} ({looks[look - 1]} seeds): {', '.join(names)}" for look, names in fell.items() if names]
    last = [name for name in found.of_variant if name not in (*found.decided, *found.open)]
    declared = "declared before the first run"
    if late := results.plan.finished_before_looks:
        runs, these = ("run", "it") if late == 1 else ("runs", "these")
        declared = f"declared after {late} {runs}: its error rates hold only if nobody had looked at {these}"
    sentences = [
        f"Looks at {_list(looks)} seeds, {declared}.",
        f"Verdicts on all evaluation sets fell at {'; '.join(at)}." if at else "",
        f"Open: {', '.join(found.open)}." if found.open else "",
        f"Undecided at the last look: {', '.join(last)}." if last else "",
    ]
    total, spared = len(results.plan.runs), len(found.spared)
    return [
        " ".join(filter(None, sentences)),
        f"{total - spared} of {total} runs are enough{' so far' if found.open else ''}: {spared} "
        f"({spared / total:.0%}) are saved.",
    ]


def _list(numbers: Sequence[int]) -> str:
    """``3, 5 and 8``."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def limits(results: StudyResults) -> list[str]:
    """What the study cannot show: with maps that are hardly used, few seeds, different machines or threads."""
    return [
        *_unused_maps(results),
        *_few_seeds(results),
        *_different_machines(results),
        *_different_threads(results),
    ]


def _different_machines(results: StudyResults) -> list[str]:
    """Where runs were trained on different processors."""
    machines: dict[str, list[str]] = {}
    for record in (stored.record for stored in results.runs):
        made = record.provenance
        parts = [made.get(name) for name in ("gpu", "cpu", "capability")]
        machines.setdefault(", ".join(filter(None, parts)) or "unknown", []).append(
            f"{record.variant} seed {record.config.seed}"
        )
    if len(machines) < 2:
        return []
    named = "; ".join(f"{machine}: {', '.join(runs)}" for machine, runs in machines.items())
    return [
        "The runs were trained on different processors, which makes a seed another training: a change may come from "
        f"the machine ({named})."
    ]


def _different_threads(results: StudyResults) -> list[str]:
    """Where runs were trained with different numbers of CPU threads."""
    threads = sorted({n for stored in results.trained if (n := stored.record.execution.get("threads")) is not None})
    if len(threads) < 2:
        return []
    return [
        f"The runs were trained with different numbers of CPU threads ({', '.join(map(str, threads))}): their sums are "
        "added in another order, which can make hundredths of a dB. Use --threads for runs that are compared."
    ]


def _unused_maps(results: StudyResults) -> list[str]:
    """Where the base scores as well with uniform attention maps, within the margin."""
    of_base = results.table[(results.table["variant"] == results.plan.base) & results.table["map_use"].notna()]
    unused = of_base[of_base["map_use"] < results.plan.margin]
    if unused.empty:
        return []
    several = len(results.sets) > 1
    costs = ", ".join(
        f"{use:z.3f} dB".replace("-", "−") + (f" on {data}" if several else "")
        for data, use in zip(unused["data"], unused["map_use"], strict=True)
    )
    there = " there" if len(unused) < len(of_base) else ""
    return [
        f"The networks of this study hardly use their attention maps{there}: replacing them with uniform ones costs "
        f"{results.plan.base} {costs}, less than the margin of {results.plan.margin:g} dB. "
        f"The study cannot tell{there} whether attention may be shared."
    ]


def _few_seeds(results: StudyResults) -> list[str]:
    """What so few seeds cannot show."""
    if len(results.seeds) == 1:
        return [
            "One seed: no interval and no test over seeds, so no verdict. "
            "How much seeds differ is not known here: run three or more."
        ]
    tested = [r.n for statistics in results.statistics.values() for r in statistics.comparisons.values() if r.n > 1]
    seeds = max(tested, default=0)
    if not seeds or can_reach(seeds, 1 - LEVEL):
        return []
    enough = next(n for n in range(seeds, 100) if can_reach(n, 1 - LEVEL))
    return [
        f"{seeds} seeds are few: the exact sign-flip test, which supposes no distribution, cannot go below "
        f"p = {smallest_p(seeds):g} with them, whatever the data ({enough} seeds can reach {1 - LEVEL:g}). "
        "A verdict rests on the t-test: on seeds that vary normally."
    ]


def conclude_set(results: StudyResults, statistics: Statistics) -> list[str]:
    """What the numbers of one evaluation set say."""
    return [
        *_verdicts(results, statistics),
        *_interactions(results, statistics),
        *_tiles(results, statistics),
        *_noise(results, statistics),
        *_references(results, statistics),
        *_detectable(statistics),
        *_left_out(statistics),
    ]


def _verdicts(results: StudyResults, statistics: Statistics) -> list[str]:
    if len(results.seeds) == 1:
        return []
    groups: dict[str, list[str]] = {}
    for name, result in statistics.comparisons.items():
        groups.setdefault(result.verdict, []).append(f"{name} ({result.change:+z.3f} dB)".replace("(-", "(−"))
    titles = {
        verdict: title.format(base=results.plan.base, margin=results.plan.margin) for verdict, title in _TITLES.items()
    }
    verdicts = [f"{title}: {', '.join(groups[verdict])}." for verdict, title in titles.items() if verdict in groups]
    return [" ".join(verdicts)] if verdicts else []


def _interactions(results: StudyResults, statistics: Statistics) -> list[str]:
    """Whether two changes do together what they do alone, and what the scores vary with."""
    base, margin = results.plan.base, results.plan.margin
    meanings = {
        "better": "more than the sum of the two alone",
        "worse": "less than the sum of the two alone",
        "equivalent": f"the sum of the two alone, within ±{margin:g} dB",
        "undecided": "perhaps the sum of the two alone: undecided",
        "one seed": "against the sum of the two alone; one seed, no verdict",
    }
    sentences = []
    for name, result in statistics.interactions.items():
        tested = f" {show_interval(result.seeds.low, result.seeds.high)}, p {show_p(result.p_holm)}"
        change = f"{result.change:+z.3f} dB{tested if result.n > 1 else ''}".replace("-", "−")
        sentences.append(f"Interaction {name}, against {base}: {change}, {meanings[result.verdict]}.")
    for data, of_set in results.statistics.items():
        if of_set is statistics and (shares := results.variance(data)):
            listed = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
            sentences.append(f"Variance of PSNR, shares of its sum of squares: {listed}.")
    return sentences


def _tiles(results: StudyResults, statistics: Statistics) -> list[str]:
    """What tiles cost, and where a verdict depends on them."""
    data = next(name for name, of_set in results.statistics.items() if of_set is statistics)
    rows, base = results.rows(data).set_index("variant"), results.plan.base
    if data not in results.in_tiles or base not in rows.index:
        return []
    tiled = results.in_tiles[data].comparisons
    both = {name: (result, tiled[name]) for name, result in statistics.comparisons.items() if name in tiled}
    beyond = [f"{name} {signed(whole.change - cut.change)} dB" for name, (whole, cut) in both.items()]
    more = f", and beyond that {', '.join(beyond)}" if beyond else ""
    flipped = [
        f"{name} ({whole.verdict}, in tiles {cut.verdict})"
        for name, (whole, cut) in both.items()
        if whole.verdict != cut.verdict
    ]
    depend = f"Verdicts that depend on them: {', '.join(flipped)}." if flipped else "No verdict depends on them."
    config = results.config.evaluate
    cost = f"{rows['tile_cost'][base]:z.3f} dB".replace("-", "−")
    return [f"Tiles of {config.also_tile}, overlap {config.overlap}, cost {base} {cost}{more}. {depend}"]


def _noise(results: StudyResults, statistics: Statistics) -> list[str]:
    if math.isnan(statistics.noise):
        return []
    return [
        f"Noise floor: {results.plan.base} varies by {statistics.noise:.3f} dB from seed to seed "
        f"(SD of {statistics.base_seeds} trainings)."
    ]


def _references(results: StudyResults, statistics: Statistics) -> list[str]:
    """Where the trained references lie, which are not tested."""
    base, sentences = results.plan.base, []
    for name, reference in statistics.references.items():
        change = f"{reference.seeds.mean:+z.3f} dB"
        if reference.seeds.n > 1:
            change += f" {show_interval(reference.seeds.low, reference.seeds.high)}"
        sentences.append(
            f"Reference {name}, a {REFERENCES[name]} of the size of {base}: {change.replace('-', '−')} against {base}; "
            "no verdict."
        )
    return sentences


def _detectable(statistics: Statistics) -> list[str]:
    known = {name: result.detectable for name, result in statistics.comparisons.items()}
    sizes = [(size, name) for name, size in known.items() if not math.isnan(size)]
    if not sizes:
        return []
    (low, easiest), (high, hardest) = min(sizes), max(sizes)
    reach = f"{low:.3f} dB ({easiest})" + (f" to {high:.3f} dB ({hardest})" if len(sizes) > 1 else "")
    return [f"Smallest detectable difference, with a power of 80 % before adjustment: {reach}."]


def _left_out(statistics: Statistics) -> list[str]:
    if not statistics.left_out:
        return []
    return [f"Restored without error in some run, so left out of changes and tests: {', '.join(statistics.left_out)}."]


def explain(results: StudyResults) -> list[str]:
    """How the changes and their noise are computed; empty if nothing was tested."""
    family = max((statistics.family for statistics in results.statistics.values()), default=0)
    if not family:
        return []
    also = " and every interaction" if any(of_set.interactions for of_set in results.statistics.values()) else ""
    base, margin, level = results.plan.base, f"±{results.plan.margin:g} dB", alpha(results)
    change = f"Δ dB: mean change of PSNR against {base}, paired by seed. Interval: {COVERAGE}, "
    family_of = f"every variant{also} on every evaluation set: one family"
    if until := results.plan.study.until:
        sentences = [
            f"{change}Student's t over seeds at the look of the verdict, so for new trainings on these images; all "
            "intervals of a variant hold together over the looks (repeated confidence intervals), for each variant "
            "alone.",
            f"p: paired t-test over seeds, over all looks so far: the smallest level at which one of them finds a "
            f"change, where {_SPENDING[until.spending]} spending function (Lan and DeMets) divides the level among "
            f"{len(until.looks)} looks; Holm-adjusted for {family_of}. Better or worse: p below {level}. Equivalent: "
            f"two one-sided t-tests with the same spending put the change within {margin}. A verdict stays at the "
            "look at which it falls.",
        ]
    else:
        sentences = [
            f"{change}Student's t over seeds, so for new trainings on these images; for each variant alone.",
            f"p: paired t-test over seeds, Holm-adjusted for all {family} comparisons of this study, {family_of}. "
            f"Better or worse: p below {level}. Equivalent: two one-sided t-tests at {level} put the change within "
            f"{margin}, where the {_NARROWER} interval lies, too.",
        ]
    if any(other_seeds(results.table)):
        sentences.append(
            f"{OTHER_SEEDS}: PSNR and SSIM are means over other seeds than those of {base}; Δ dB is over the seeds "
            "that both have, so it is not their difference."
        )
    return sentences


def describe(results: StudyResults) -> list[str]:
    """What the numbers rest on: protocol, data, steps, seeds, costs, code, and what is missing."""
    record, config = results.first, results.config
    evaluated = [
        f"{data['source']} ({len(data['images'])} images, {data['manifest']})"
        for use, data in record.data.items()
        if use.startswith("evaluate")
    ]
    made_by = sorted({row.get("lr", "unknown") for row in record.scores})
    train = record.data["train"]
    records = [stored.record for stored in results.trained]
    steps = sorted({record.config.train.steps for record in records})
    commits = sorted(
        {
            str(made["commit"])
            for record in (stored.record for stored in results.runs)
            for made in (record.provenance, *record.later.values())
        }
    )
    width, height = results.output_size
    sentences = [
        f"Scale: ×{config.model.scale}. Protocol: {record.protocol}.",
        f"Evaluated on {', '.join(evaluated)}, {config.evaluate.describe()}; LR images: {', '.join(made_by)}.",
        f"Trained on {train['source']} ({len(train['images'])} images, {train['manifest']}) for "
        f"{', '.join(map(str, steps))} steps, batch {config.train.batch_size}, LR patches of {config.data.patch_size}; "
        f"{'seeds' if len(results.seeds) > 1 else 'seed'} {', '.join(map(str, results.seeds))}.",
        f"Multiply-adds for an output of {width}×{height}.",
        f"asid {record.provenance['asid']}, commit {', '.join(commits)}; torch {record.provenance['torch']}.",
    ]
    sentences.append("On another processor a seed is another training: its PSNR may differ from the first decimal on.")
    sentences += _describe_overlap(results)
    if "tile_cost" in results.table:
        sentences.insert(
            2,
            f"Tile cost: PSNR lost in tiles of {config.evaluate.also_tile}, overlap {config.evaluate.overlap}, against "
            f"{config.evaluate.describe()}; mean over seeds and images. "
            f"{OTHER_VERDICT}: by the scores in tiles the verdict would be another one.",
        )
    if results.table["map_use"].notna().any():
        sentences.insert(
            2,
            "Map use: PSNR lost when every spatial attention map is replaced with a uniform one, 1/T for each of the T "
            "pixels of a window; mean over seeds and images.",
        )
    if results.plan.profile:
        sentences.insert(0, f"Profile: {results.plan.profile}.")
    return [*sentences, *_describe_fidelity(results), *_describe_references(results), *_exceptions(results)]


def _describe_fidelity(results: StudyResults) -> list[str]:
    """Whether a part of the steps would have given the same answer."""
    found = results.fidelity
    if not found:
        return []
    sets = list(dict.fromkeys(part.data for part in found))
    by = "by the validation curves" if sets == [None] else "by the scores of the weights kept after parts of the steps"

    def at(part: Fidelity) -> str:
        return f"at {part.budget:.0%}" + (f" on {part.data}" if len(sets) > 1 else "")

    taus = [f"{part.tau:.2f} {at(part)}".replace("-", "−") for part in found]
    flipped = [f"{name} {at(part)} ({then} → {end})" for part in found for name, (then, end) in part.flipped.items()]
    verdicts = f"verdicts that were others then: {', '.join(flipped)}" if flipped else "no verdict was another one then"
    return [
        f"Fidelity, {by}: Kendall's τ of the variants with their order at the end is {', '.join(taus)} of the steps; "
        f"{verdicts}."
    ]


def _describe_overlap(results: StudyResults) -> list[str]:
    """Which images have more than one use."""
    data, sentences = results.first.data, []
    validation = data.get("validation", {}).get("manifest")
    same = [use for use in data if use.startswith("evaluate ") and data[use]["manifest"] == validation]
    if names := [set_name(data[use]["source"]) for use in same]:
        sentences.append(f"Validated on the images of {', '.join(names)}; no checkpoint is chosen by it.")
    if any(stored.record.config.data.allow_overlap for stored in results.runs):
        sentences.append(
            "data.allow_overlap: the training photographs were not compared with those of validation and evaluation, "
            "and may be among them; scores on such images say nothing about others."
        )
    return sentences


def _describe_references(results: StudyResults) -> list[str]:
    """How the trained references differ from the base in network and recipe."""
    base = next(run.config for run in results.plan.runs if run.variant == results.plan.base)
    sentences = []
    for name in results.trained_references:
        config = results.runs_of(name)[0].config
        assert isinstance(config.model, PlainCNNConfig)
        of_base = base.train.to_dict()
        recipe = [
            f"{field_label(field)} {format_value(value)}"
            for field, value in config.train.to_dict().items()
            if value != of_base[field] and value != {}
        ]
        own = f", but {', '.join(recipe)}" if recipe else ""
        sentences.append(
            f"Reference {name}: {config.model.num_blocks} residual blocks of {config.model.num_features} channels and "
            f"a bicubic skip; trained with the patches, steps, batches and seeds of {results.plan.base}{own}."
        )
    return sentences


def _exceptions(results: StudyResults) -> list[str]:
    """Runs of other studies, controls, and variants and runs that are not in the table."""
    sentences = [f"Trained by {study}, not again: {runs}." for study, runs in _taken_over(results).items()]
    if controls := [f"{control} for {variant}" for control, variant in results.plan.matched.items()]:
        sentences.append(
            f"Controls of matched size, the same change at the size of {results.plan.base}: {', '.join(controls)}."
        )
    rules: dict[str, list[str]] = {}
    for dropped in results.plan.dropped:
        rules.setdefault(dropped.rule, []).append(dropped.variant)
    sentences += [f"Dropped by the rule {rule}: {', '.join(variants)}." for rule, variants in rules.items()]
    if results.unused:
        sentences.append(f"Trained, but no look rests on it, so not used: {', '.join(results.unused)}.")
    if results.missing:
        sentences.append(f"Without a record, not in the table: {', '.join(results.missing)}.")
    return sentences


def _taken_over(results: StudyResults) -> dict[str, str]:
    """For each other study: the runs whose network it trained, as text."""
    seeds: dict[str, dict[str, list[int]]] = {}
    for record in (stored.record for stored in results.runs):
        if record.origin:
            seeds.setdefault(record.origin, {}).setdefault(record.variant, []).append(record.config.seed)
    return {
        study: "; ".join(f"{variant} seed {', '.join(map(str, numbers))}" for variant, numbers in variants.items())
        for study, variants in seeds.items()
    }
