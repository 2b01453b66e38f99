"""The schedule of a subnet: its graph after the memory passes, and its plan."""

from __future__ import annotations

from functools import lru_cache

from mcuformer.subnet import SubnetConfig
from oplib.graph import Graph
from oplib.memory import Plan, plan_memory
from oplib.passes.overwrite_tokens import overwrite_tokens
from oplib.vit import build_graph


@lru_cache(maxsize=4096)
def schedule(subnet: SubnetConfig) -> tuple[Graph, Plan]:
    """Return the scheduled graph of a subnet and its memory plan; no weights are needed."""
    graph = overwrite_tokens(build_graph(subnet))
    return graph, plan_memory(graph)
