"""An image in strips of rows, which the application hands over."""

from __future__ import annotations

import pytest

from mcuformer.errors import LoweringError
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.plan.arena import arena_tensors
from oplib.plan.passes.strip_input import strip_input
from oplib.plan.schedule import schedule


def test_the_image_leaves_the_arena(small_subnet: SubnetConfig) -> None:
    graph = build_graph(small_subnet)
    stripped = strip_input(graph)
    assert graph.input in arena_tensors(graph)
    assert set(arena_tensors(stripped)) == set(arena_tensors(graph)) - {graph.input}
    assert stripped.nodes[1:] == graph.nodes[1:]


CONVOLUTIONS = {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 8}


def test_strips_need_a_kernel_that_takes_them(small_subnet: SubnetConfig) -> None:
    forms = Forms(residual="int16", passes=Passes(input="strip"))
    with pytest.raises(LoweringError, match=r"forms\.passes\.input: .*strips.*strip, with"):
        schedule(small_subnet, forms)
    layers = Forms(passes=Passes(input="strip", stream_tokens=False))
    with pytest.raises(LoweringError, match=r"strip, with conv_pool.*stream_tokens=true"):
        schedule(SubnetConfig.parse(small_subnet.dump() | CONVOLUTIONS), layers)


@pytest.mark.parametrize("residual", ["int8", "int16"])
def test_convolutions_take_rows(small_subnet: SubnetConfig, residual: str) -> None:
    subnet = SubnetConfig.parse(small_subnet.dump() | CONVOLUTIONS)
    forms = Forms.parse({"residual": residual, "passes": {"input": "strip"}})
    assert "image" not in arena_tensors(schedule(subnet, forms).calls)
