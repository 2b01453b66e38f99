"""Tokens over the image: the smallest distance below it at which they may begin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcuformer.errors import PlanError
from mcuformer.subnet import SubnetConfig
from oplib.network.builder import build_graph
from oplib.plan.arena import plan_memory
from oplib.plan.check_plan import check_plan
from oplib.plan.passes.overwrite_image import overwrite_image
from oplib.plan.passes.stream_tokenizer import stream_tokenizer
from oplib.plan.schedule import schedule


def test_the_distance_by_hand(deit_tiny: SubnetConfig, paper_subnet: SubnetConfig) -> None:
    """The first strip of patches is computed in pairs, for no tile fits above it.

    The last pair of a grid's first row is written up to ``grid * dim``, while its own pixels, from
    ``(grid - 2) * patch * channels`` on, are still read. What follows has the strips above.
    """
    for subnet, grid, dim, patch in ((deit_tiny, 14, 192, 16), (paper_subnet, 12, 216, 20)):
        below = grid * dim - (grid - 2) * patch * 3
        found = schedule(subnet)
        assert found.calls.nodes[0].below == below
        assert found.plan.arena_bytes == subnet.img_size**2 * 3 + below


def test_a_class_token_comes_first(deit_tiny: SubnetConfig) -> None:
    """It is one more token before all others, while the whole image is still needed."""
    subnet = deit_tiny.model_copy(update={"class_token": True})
    assert schedule(subnet).calls.nodes[0].below == 15 * 192 - 12 * 16 * 3


def test_one_step_closer_destroys_a_pixel(paper_subnet: SubnetConfig) -> None:
    calls = schedule(paper_subnet).calls
    node = calls.nodes[0]
    check_plan(calls, plan_memory(calls))
    closer = replace(node, below=node.below - 8)
    broken = replace(calls, nodes=(closer, *calls.nodes[1:]))
    with pytest.raises(PlanError, match=r"patch_embed: .*(replaced|in use)"):
        check_plan(broken, plan_memory(broken))


CONVOLUTIONS = {
    "img_size": 32,
    "patch_size": 4,
    "embed_dim": 128,
    "blocks": ({"num_heads": 1, "head_dim": 4, "mlp_ratio": 1.0},),
}
ROW = 32 * 3  # bytes of the image
CASES = {
    # Row 13 of the second convolution needs rows 0 to 29 of the first and begins the last of 8 rows
    # of tokens, while rows 29 to 31 of the image are still to come.
    "conv2": ({"tokenizer": "conv2", "stem_dim": 64}, 8 * 8 * 128 - 29 * ROW),
    # Stride 2: row 13 of 16 reads rows 25 to 27, while it begins the last row after a class token.
    "conv1": ({"tokenizer": "conv1", "class_token": True}, (1 + 8 * 8) * 128 - 25 * ROW),
}


@pytest.mark.parametrize("name", CASES)
def test_a_tokenizer_over_the_image(paper_subnet: SubnetConfig, name: str) -> None:
    change, below = CASES[name]
    subnet = SubnetConfig.parse(paper_subnet.dump() | CONVOLUTIONS | change)
    calls = overwrite_image(stream_tokenizer(build_graph(subnet)))
    assert calls is not None
    node = calls.nodes[0]
    assert (node.overwrites, node.below) == (0, below)
    check_plan(calls, plan_memory(calls))
    closer = replace(calls, nodes=(replace(node, below=below - 8), *calls.nodes[1:]))
    with pytest.raises(PlanError, match=r"tokenizer: .*(replaced|in use)"):
        check_plan(closer, plan_memory(closer))


@pytest.mark.parametrize(
    "change",
    [
        {"patch_size": 15},  # 225 pixels: patches reach beyond the image
        {"patch_size": 14, "in_chans": 1},  # rows of 14 bytes: no whole words
    ],
)
def test_where_it_cannot(deit_tiny: SubnetConfig, change: dict) -> None:
    assert overwrite_image(build_graph(deit_tiny)) is not None
    assert overwrite_image(build_graph(SubnetConfig.parse(deit_tiny.dump() | change))) is None
