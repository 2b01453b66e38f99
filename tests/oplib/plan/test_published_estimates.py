"""Published numbers of the named estimators, and what the planner says of the same network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcuformer.device import Device
from mcuformer.run.presets import load
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import BlockConfig, SubnetConfig, build_block
from oplib.forms import Forms, Passes
from oplib.plan.published_estimates import (
    munas_peak_bytes,
    paper_criterion_bytes,
    released_code_bytes,
    released_num_params,
    staged_weights_bytes,
)
from oplib.target.target import Target

PAPER_NETWORK = SubnetConfig(
    img_size=240,
    patch_size=20,
    in_chans=3,
    num_classes=1000,
    embed_dim=216,
    rank_ratio=0.9,
    blocks=(BlockConfig(num_heads=4, head_dim=64, mlp_ratio=4.0),) * 14,
)


@pytest.fixture(scope="module")
def space_t() -> SearchSpace:
    return load("space", "t", SearchSpace)


def rho(space: SearchSpace, point: SpacePoint, limit: int) -> float:
    """Average over the three widths at the largest MLP ratio, as the published table does."""
    subnets = [space.subnet(point, dim, (build_block(4, 64, 4.0),)) for dim in space.embed_dim]
    return round(float(np.mean([released_code_bytes(s) <= limit for s in subnets])), 3)


def test_golden_rho_table(space_t: SearchSpace) -> None:
    """All 180 cells: 60 points under three budgets.

    The released code admits a width E where ``E (5 (n + 1) + 4 E r) <= limit``, n patches of 240
    pixels and MLP ratio 4. Solved for the rank ratio r at E = 216, 192 and 168, for instance 0.448,
    0.751 and more than 1 under 320 KiB in patches of 16, the table's last ratios are below.
    """

    # (KiB, patch): the largest rank ratio at which rho is still 1, 2/3 and 1/3; elsewhere it is 1
    last = {
        (320, 16): (0.4, 0.75, 0.95),
        (320, 20): (0.9, 0.95, 0.95),
        (256, 16): (0.0, 0.0, 0.6),
        (256, 20): (0.55, 0.8, 0.95),
        (256, 24): (0.8, 0.95, 0.95),
    }

    def expected(kib: int, ratio: float, patch: int) -> float:
        whole, two_thirds, third = last.get((kib, patch), (0.95, 0.95, 0.95))
        steps = ((whole, 1.0), (two_thirds, 0.667), (third, 0.333))
        return next((rho for limit, rho in steps if ratio <= limit), 0.0)

    points = space_t.points()
    assert len(points) == 60
    for kib in (256, 320, 512):
        for point in points:
            found = rho(space_t, point, kib * 1024)
            assert found == expected(kib, point.rank_ratio, point.patch_size), (kib, point)


def test_golden_paper_criterion() -> None:
    """MCUFormer, section 3.1: the largest factor plus the largest activation of a layer.

    The MLP's second factor has rank round(0.9 * 216) = 194 and 864 inputs; the hidden features of
    144 tokens and a class token are the largest activation.
    """
    assert paper_criterion_bytes(PAPER_NETWORK) == 194 * 864 + 145 * 864


@pytest.mark.parametrize(
    ("change", "merged", "weights"),
    [
        ({}, False, 194 * 864),  # fc1's second factor; qkv's is 194 * 768, proj is 256 * 216
        ({}, True, 216 * 864),  # 194 (216 + 864) weights of two factors are more than the matrix
        ({"rank_ratio": 0.25}, False, 256 * 216),  # factors of rank 54; proj has none
        ({"low_rank": ()}, False, 216 * 864),
        ({"rank_ratio": 1.0, "full_rank_factors": True}, False, 216 * 864),  # always multiplied out
    ],
)
def test_staged_weights(change: dict[str, Any], merged: bool, weights: int) -> None:
    """The largest matrix of a block, by hand; the head's 216 * 1000 do not count."""
    subnet = PAPER_NETWORK.model_copy(update=change)
    assert staged_weights_bytes(subnet, Forms(passes=Passes(merge_low_rank=merged))) == weights


def test_munas_peak(deit_tiny: SubnetConfig) -> None:
    """In an MLP: the stream, and a layer from 192 to 768 wide. The activation takes no tensor."""
    assert munas_peak_bytes(deit_tiny) == 196 * (192 + 192 + 768)


def test_an_arena_needs_contiguous_memory() -> None:
    """The paper's network with its whole layers in memory, as the paper schedules it."""
    device = load("device", "stm32f427", Device).model_copy(update={"fast_region": None})
    assert not Target(device).cost(PAPER_NETWORK).footprint.exceeds(Target(device).limit)[0]
    layered = Target(device, forms=Forms(passes=Passes(stream_tokens=False)))
    cost = layered.cost(PAPER_NETWORK).footprint
    assert cost.sram_bytes < device.sram_bytes
    assert cost.exceeds(layered.limit)[0]


# the subnet of four lines of the released logs: width 168, depth 12
LOGGED = tuple(build_block(3 if i < 7 else 4, 64, 3.5 if i < 7 else 4.0) for i in range(12))
STORED = (build_block(4, 64, 4.0),) * 14


@pytest.mark.parametrize(
    ("ratio", "patch_size", "embed_dim", "expected"),
    [
        (0.9, 16, 168, 8_481_116),
        (0.6, 16, 168, 5_379_268),
        (0.85, 20, 168, 7_977_612),
        (0.95, 28, 168, 9_270_868),
        (0.9, 16, 256, 16_818_120),
        (0.6, 16, 256, 10_751_136),
        (0.85, 20, 256, 15_837_088),
        (0.95, 28, 256, 18_276_576),
        (0.65, 28, 256, 12_097_480),
    ],
)
def test_released_counts(ratio: float, patch_size: int, embed_dim: int, expected: int) -> None:
    """Counts that the released code logged: subnets (width 168) and whole supernets (256)."""
    subnet = SubnetConfig(
        img_size=240,
        patch_size=patch_size,
        in_chans=3,
        num_classes=1000,
        embed_dim=embed_dim,
        rank_ratio=ratio,
        blocks=LOGGED if embed_dim == 168 else STORED,
    )
    assert released_num_params(subnet, 256) == expected
