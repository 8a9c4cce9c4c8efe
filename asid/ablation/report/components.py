"""What a study says of the components of its network: dB lost by networks that were trained without them."""

from asid.ablation.report.results import StudyResults
from asid.ablation.study.components import COMPONENTS, take_out
from asid.config import ModelConfig


def lost_without(results: StudyResults, data: str | None = None) -> dict[str, float]:
    """The dB that training without each component costs, for those that a study took out alone.

    Args:
        results: A study, e.g. that of ``ablations/components.yaml``.
        data: The evaluation set; by default the mean over all.

    Returns:
        PSNR of the base minus that of the network without the component, paired by seed, by component.
    """
    table = results.table if data is None else results.rows(data)
    change = table.groupby("variant")["delta"].mean()
    configs = {name: results.runs_of(name)[0].config for name in results.variants}
    base = configs.get(results.plan.base)
    if base is None or not isinstance(base.model, ModelConfig):
        return {}
    lost = {}
    for component in COMPONENTS:
        try:
            without = base.override(model=base.model.override(**take_out(base.model, [component])).to_dict())
        except ValueError:  # the base does not have it
            continue
        variants = [name for name, config in configs.items() if config.override(seed=base.seed) == without]
        if variants:
            lost[component] = -float(change[variants[0]])
    return lost
