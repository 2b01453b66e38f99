"""GELU and residual addition in the epilogue of the layer before."""

from __future__ import annotations

import pytest

from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.builder import build_graph
from oplib.plan.passes.integrate_operators import integrate_operators


def names(nodes) -> list[str]:
    return [node.name for node in nodes]


def test_two_tensors_less_per_block(deit_tiny: SubnetConfig) -> None:
    """fc1 with its GELU, fc2 and proj with their additions: three calls less, no node lost."""
    graph = build_graph(deit_tiny)
    joined = integrate_operators(graph)
    assert len(joined.nodes) == len(graph.nodes) - 3 * deit_tiny.depth
    assert names(leaf for node in joined.nodes for leaf in node.leaves) == names(graph.nodes)
    first = [node for node in joined.nodes if len(node.leaves) > 1][:3]
    assert [names(node.leaves) for node in first] == [
        ["blocks.0.attn.proj", "blocks.0.attn.add"],
        ["blocks.0.mlp.fc1", "blocks.0.mlp.act"],
        ["blocks.0.mlp.fc2", "blocks.0.mlp.add"],
    ]
    written = {node.output for node in joined.nodes}
    assert not any(name.endswith(("attn.proj", "mlp.fc1", "mlp.fc2")) for name in written)


@pytest.mark.parametrize("forms", [Forms(gelu="sigmoid"), Forms(residual="int16")])
def test_forms_without_an_epilogue_stay(deit_tiny: SubnetConfig, forms: Forms) -> None:
    """A computed GELU is no table, and a residual of 16 bits is no int8 epilogue."""
    joined = integrate_operators(build_graph(deit_tiny, forms))
    parts = [names(node.leaves) for node in joined.nodes if len(node.leaves) > 1]
    kept = "mlp.act" if forms.gelu == "sigmoid" else ".add"
    assert parts
    assert not any(name.endswith(kept) for found in parts for name in found)
