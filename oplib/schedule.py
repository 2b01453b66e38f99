"""The schedule of a subnet: its graph after the memory passes, and its plan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from mcuformer.data import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Graph
from oplib.interpret import FloatModel
from oplib.memory import Plan, plan_memory
from oplib.operator import Array
from oplib.passes.overwrite_tokens import overwrite_tokens
from oplib.vit import build_graph, check_weights, node_params


@lru_cache(maxsize=4096)
def schedule(subnet: SubnetConfig, forms: Forms = DEFAULT_FORMS) -> tuple[Graph, Plan]:
    """Return the scheduled graph of a subnet and its memory plan; no weights are needed."""
    graph = overwrite_tokens(build_graph(subnet, forms))
    return graph, plan_memory(graph)


def float_model(
    subnet: SubnetConfig,
    weights: Mapping[str, Array],
    preprocessing: Preprocessing,
    where: str,
    forms: Forms = DEFAULT_FORMS,
) -> FloatModel:
    """Return the scheduled graph of a subnet with float weights.

    Args:
        weights: in timm's names.
        where: their source, for messages.
        forms: of the operators; they do not change the float numbers.

    Raises:
        ArtifactError: the weights are not this subnet's.
    """
    check_weights(subnet, weights, where)
    return FloatModel(
        schedule(subnet, forms)[0], node_params(subnet, weights, preprocessing), preprocessing
    )
