"""What a pruning took away, as artefacts and messages tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcuformer.subnet import SubnetConfig
from supernet.pruning.settings import PruningConfig


def pruning_counts(
    settings: PruningConfig, before: SubnetConfig, after: SubnetConfig, nonzero: int
) -> dict[str, Any]:
    """Return what ``pruning.json`` tells.

    Args:
        settings: how the network was pruned.
        before: the whole network, as it would be deployed.
        after: what is left of it.
        nonzero: number of its parameters that are not zero.
    """
    return {
        "pruning": settings.dump(),
        "parameters_before": before.merged.num_params,
        "parameters": after.num_params,
        "nonzero_parameters": nonzero,
    }


def describe_pruning(content: Mapping[str, Any]) -> str:
    """Return in one line what ``pruning.json`` tells.

    >>> counts = {"parameters_before": 1200, "parameters": 600, "nonzero_parameters": 600}
    >>> describe_pruning({"pruning": {"name": "feedback"}, **counts})
    'pruned by feedback: 1,200 parameters became 600'
    >>> counts = {"parameters_before": 1200, "parameters": 1200, "nonzero_parameters": 300}
    >>> describe_pruning({"pruning": {"name": "sparse"}, **counts})
    'pruned by sparse: 300 of 1,200 parameters are not zero; the matrices keep their size'
    """
    before, after = content["parameters_before"], content["parameters"]
    method = f"pruned by {content['pruning']['name']}"
    if content["pruning"]["name"] != "sparse":
        return f"{method}: {before:,} parameters became {after:,}"
    nonzero = content["nonzero_parameters"]
    return (
        f"{method}: {nonzero:,} of {after:,} parameters are not zero; the matrices keep their size"
    )
