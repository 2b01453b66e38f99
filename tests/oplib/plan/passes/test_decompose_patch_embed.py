"""One large kernel as passes of small ones."""

from __future__ import annotations

import pytest

from mcuformer.errors import LoweringError
from mcuformer.subnet import SubnetConfig
from oplib.network.builder import build_graph
from oplib.ops.registry import OPERATORS
from oplib.plan.passes.decompose_patch_embed import decompose_patch_embed


def scratch(subnet: SubnetConfig, kernel: int | None) -> int:
    graph = decompose_patch_embed(build_graph(subnet), kernel)
    node = graph.nodes[0]
    return OPERATORS[node.op].scratch_bytes(node, graph.inputs_of(node))


def test_smaller_passes_need_less_memory(deit_tiny: SubnetConfig) -> None:
    sizes = [scratch(deit_tiny, kernel) for kernel in (None, 8, 4, 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 4 * 16 * 16 * 3 * 2  # a tile: four patches in int16
    assert sizes[-1] < sizes[0]


def test_only_the_patch_embedding_changes(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    assert decompose_patch_embed(graph, None) == graph
    found = decompose_patch_embed(graph, 4)
    assert found.nodes[0] != graph.nodes[0]
    assert found.nodes[1:] == graph.nodes[1:]


def test_passes_must_divide_the_patch(deit_tiny: SubnetConfig) -> None:
    message = r"forms\.patch_kernel: .*got 5, expected a divisor of 16"
    with pytest.raises(LoweringError, match=message):
        decompose_patch_embed(build_graph(deit_tiny), 5)
