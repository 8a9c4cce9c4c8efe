"""The comparison as a Markdown page."""

from collections.abc import Sequence

from asid.ablation.report.escape import markdown
from asid.ablation.report.results import StudyResults
from asid.ablation.report.sentences import conclude, describe, explain
from asid.ablation.report.tables import alignment, to_text


def to_markdown(results: StudyResults, figures: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """Write the comparison with the sentences that belong to it.

    Args:
        results: The study, or a selection of it.
        figures: Names of the figures to show.
        notes: Further sentences, e.g. why a figure is missing.
    """
    shown = to_text(results.table).map(markdown)
    table = shown.to_markdown(index=False, disable_numparse=True, colalign=alignment(shown.columns))
    groups = conclude(results), explain(results), [*describe(results), *notes]
    lists = ["\n".join(f"- {markdown(sentence)}" for sentence in sentences) for sentences in groups if sentences]
    images = [f"![{name}](figures/{name}.png)" for name in figures]
    return "\n\n".join([f"# {results.plan.name}", markdown(results.plan.question), table, *lists, *images]) + "\n"
