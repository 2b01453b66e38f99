"""The model of time ranks schedules; flash traffic is counted."""

from __future__ import annotations

from mcuformer.subnet import SubnetConfig
from oplib.network.builder import build_graph
from oplib.plan.instructions import flash_bytes_read, modelled_instructions
from oplib.plan.passes.stream_tokens import Variant, stream_tokens


def test_instructions_follow_the_products(deit_tiny: SubnetConfig) -> None:
    """Between 0.9 and 1.3 per multiply-accumulate, as the kernels were measured to need."""
    assert 0.9 < modelled_instructions(build_graph(deit_tiny)) / deit_tiny.macs < 1.3


def test_more_heads_at_a_time_cost_fewer_instructions(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    costs = [
        modelled_instructions(stream_tokens(graph, {0: Variant(group, mlp=True)}))
        for group in (1, 2, 3)
    ]
    assert costs[0] > costs[1] > costs[2]


def test_untiled_rows_cost_more(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    untiled = stream_tokens(graph, {0: Variant(0, mlp=False, tiled=False)})
    assert modelled_instructions(untiled) > modelled_instructions(graph)
    # each of 49 tiles of four tokens reads a weight; one pass serves all pairs
    linears = 4 * 192 * 192 + 2 * 192 * 768  # q, k, v, proj, fc1 and fc2
    biases = 8 * (4 * 192 + 768 + 192)  # a bias and a multiplier per channel
    assert flash_bytes_read(graph) - flash_bytes_read(untiled) == (49 - 1) * (linears + biases)
