"""Outputs over inputs that die with them."""

from __future__ import annotations

from mcuformer.subnet import SubnetConfig
from oplib.network.builder import build_graph
from oplib.plan.passes.overwrite_tokens import overwrite_tokens


def test_what_dies_is_taken_over(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    calls = overwrite_tokens(graph)
    over = {
        node.name: node.inputs[node.overwrites]
        for node in calls.nodes
        if node.overwrites is not None
    }
    assert over["blocks.0.attn"] == "blocks.0.attn.q"  # never keys or values, which every row reads
    assert over["blocks.0.mlp.act"] == "blocks.0.mlp.fc1"
    assert over["blocks.0.mlp.fc1"] == "blocks.0.norm2"
    assert "blocks.0.norm1" not in over  # the residual stream lives on
    assert "blocks.0.attn.q" not in over  # k and v still read the norm
    assert over["blocks.0.attn.v"] == "blocks.0.norm1"
    assert "patch_embed" not in over
    for node in calls.nodes:
        if node.overwrites is not None:
            index = calls.nodes.index(node)
            assert calls.last_use(node.inputs[node.overwrites]) == index
