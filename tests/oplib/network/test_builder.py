"""The graph of a subnet: which nodes, in timm's names, and their shapes."""

from __future__ import annotations

import pytest

from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.builder import build_graph


def test_a_block_in_order(small_subnet: SubnetConfig) -> None:
    """Three heads of 16 are 48 wide, the MLP is 1.5 times the width of 32, ranks are halves."""
    graph = build_graph(small_subnet)
    nodes = [node for node in graph.nodes if node.name.startswith("blocks.1.")]
    shapes = {node.name.removeprefix("blocks.1."): graph.tensors[node.output] for node in nodes}
    tokens = 9  # 8 pixels in patches of 3, padded
    assert {name: kind.shape for name, kind in shapes.items()} == {
        "norm1": (tokens, 32),
        "attn.qkv.v": (tokens, 16),
        "attn.q": (tokens, 48),
        "attn.k": (tokens, 48),
        "attn.v": (tokens, 48),
        "attn": (tokens, 48),
        "attn.proj": (tokens, 32),
        "attn.add": (tokens, 32),
        "norm2": (tokens, 32),
        "mlp.fc1.v": (tokens, 16),
        "mlp.fc1": (tokens, 48),
        "mlp.act": (tokens, 48),
        "mlp.fc2.v": (tokens, 16),
        "mlp.fc2": (tokens, 32),
        "mlp.add": (tokens, 32),
    }
    assert {kind.dtype for kind in shapes.values()} == {"int8"}


@pytest.mark.parametrize(
    ("change", "last"),
    [
        ({}, ["norm", "pool", "head"]),
        ({"fc_norm": True}, ["pool", "fc_norm", "head"]),
        ({"class_token": True, "global_pool": "token"}, ["pool", "norm", "head"]),
    ],
)
def test_the_norm_stands_where_timm_has_it(
    small_subnet: SubnetConfig, change: dict, last: list[str]
) -> None:
    graph = build_graph(SubnetConfig.parse(small_subnet.dump() | change))
    assert [node.name for node in graph.nodes[-3:]] == last
    assert graph.tensors[graph.output].shape == (10,)


def test_a_wide_residual_is_int16(small_subnet: SubnetConfig) -> None:
    graph = build_graph(small_subnet, Forms(residual="int16"))
    wide = {name for name, kind in graph.tensors.items() if kind.dtype == "int16"}
    blocks = {f"blocks.{index}.{half}.add" for index in (0, 1) for half in ("attn", "mlp")}
    assert wide == {"patch_embed", *blocks}
