"""Structs of a call: one for each part that has numbers, the call's own last."""

from __future__ import annotations

import pytest

from mcuformer.subnet import SubnetConfig
from oplib.codegen.model_c import emit_structs
from oplib.codegen.names import Names
from oplib.forms import Forms, Passes
from oplib.plan.param_structs import call_structs
from oplib.plan.schedule import schedule

LAYERED = Forms(passes=Passes(stream_tokens=False))


def structs(subnet: SubnetConfig, forms: Forms, name: str) -> list[tuple[str, str]]:
    calls = schedule(subnet, forms).calls
    node = next(node for node in calls.nodes if node.name == name)
    return [(found.node.name, found.ctype) for found in call_structs(calls, node, {})]


def test_a_plain_call_has_one(deit_tiny: SubnetConfig) -> None:
    assert structs(deit_tiny, LAYERED, "head") == [("head", "oplib_linear_s8_params")]


def test_a_table_is_a_field_of_the_layer_before(deit_tiny: SubnetConfig) -> None:
    """GELU has no struct of its own, in an epilogue and in a streamed MLP."""
    found = structs(deit_tiny, LAYERED, "blocks.0.mlp.fc1.table")
    assert found == [("blocks.0.mlp.fc1", "oplib_linear_s8_params")]
    names = [name for name, _ in structs(deit_tiny, Forms(), "blocks.0.mlp.block")]
    assert names == [
        "blocks.0.norm2",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
        "blocks.0.mlp.add",
        "blocks.0.mlp.block",
    ]


@pytest.mark.parametrize(
    ("gelu", "kernel"),
    [
        ("table", "NULL"),
        ("sigmoid", "oplib_tile_gelu_sigmoid_s8"),
        ("polynomial", "oplib_tile_gelu_polynomial_s8"),
    ],
)
def test_an_activation_without_a_table_is_a_part(
    deit_tiny: SubnetConfig, gelu: str, kernel: str
) -> None:
    calls = schedule(deit_tiny, Forms(gelu=gelu)).calls
    text = "\n".join(emit_structs(calls, {}, Names()))
    block = text[text.index("blocks_0_mlp_block = {") :]
    pointer = "NULL" if gelu == "table" else "&blocks_0_mlp_act"
    assert f".activation = {pointer},\n    .activation_kernel = {kernel},\n" in block


@pytest.mark.parametrize(("ratio", "factors"), [(1.0, 0), (0.5, 2)])
def test_factors_are_parts(deit_tiny: SubnetConfig, ratio: float, factors: int) -> None:
    subnet = deit_tiny.model_copy(update={"low_rank": ("qkv", "proj"), "rank_ratio": ratio})
    names = [name for name, _ in structs(subnet, Forms(), "blocks.0.attn.block")]
    assert sum(name.endswith((".qkv.v", ".proj.v")) for name in names) == factors
    assert names[-1] == "blocks.0.attn.block"
