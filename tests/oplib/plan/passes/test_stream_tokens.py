"""Halves of blocks as one call each."""

from __future__ import annotations

from typing import get_args

import pytest

from mcuformer.subnet import Activation, SubnetConfig
from oplib.forms import Forms
from oplib.network.builder import build_graph
from oplib.plan.passes.stream_tokens import Variant, stream_tokens, streamable


def test_a_block_becomes_two_calls(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    assert streamable(graph, 3) == {"attention": 3, "mlp": 1}
    calls = stream_tokens(graph, {3: Variant(group=1, mlp=True)})
    changed = [node for node in calls.nodes if node not in graph.nodes]
    assert [node.name for node in changed] == ["blocks.3.attn.block", "blocks.3.mlp.block"]
    leaves = [leaf for node in calls.nodes for leaf in node.leaves]
    assert leaves == list(graph.nodes)
    assert {node.overwrites for node in changed} == {0}


def test_half_a_block_and_none(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    calls = stream_tokens(graph, {0: Variant(group=0, mlp=True)})
    assert [n.name for n in calls.nodes if n not in graph.nodes] == ["blocks.0.mlp.block"]
    assert stream_tokens(graph, {0: Variant(group=0, mlp=False)}) == graph
    assert stream_tokens(graph, {}) == graph


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_streams(deit_tiny: SubnetConfig, activation: Activation) -> None:
    block = deit_tiny.blocks[0].model_copy(update={"activation": activation})
    graph = build_graph(deit_tiny.model_copy(update={"blocks": (block,)}))
    calls = stream_tokens(graph, {0: Variant(group=1, mlp=True)})
    mlp = next(node for node in calls.nodes if node.name == "blocks.0.mlp.block")
    assert mlp.parts["activation"].op == activation


@pytest.mark.parametrize(
    "change",
    [
        {"gelu": "sigmoid"},
        {"gelu": "polynomial"},
        {"low_rank": "int16"},
        {"residual": "int16"},
        {"softmax": "shift", "sqrt": "exact", "attention_weights": "int8"},
    ],
)
def test_every_form_streams(deit_tiny: SubnetConfig, change: dict[str, str]) -> None:
    low_rank = {"low_rank": ("qkv", "proj", "fc1", "fc2"), "rank_ratio": 0.5}
    graph = build_graph(deit_tiny.model_copy(update=low_rank), Forms(**change))
    assert streamable(graph, 0) == {"attention": 3, "mlp": 1}


def test_relative_positions_stream(deit_tiny: SubnetConfig) -> None:
    change = {"relative_position": 14, "class_token": True}
    graph = build_graph(deit_tiny.model_copy(update=change))
    assert streamable(graph, 0) == {"attention": 3, "mlp": 1}
    calls = stream_tokens(graph, {0: Variant(group=2, mlp=True)})
    block = next(node for node in calls.nodes if node.name == "blocks.0.attn.block")
    assert block.op == "attention_relative_block"
    assert block.parts["attention"].op == "attention_relative"


def test_heads_of_no_whole_quads_do_not_stream(deit_tiny: SubnetConfig) -> None:
    """The kernel packs four features of a key at a time; the MLP has no such rule."""
    block = deit_tiny.blocks[0].model_copy(update={"head_dim": 30})
    graph = build_graph(deit_tiny.model_copy(update={"blocks": (block,)}))
    assert streamable(graph, 0) == {"mlp": 1}
