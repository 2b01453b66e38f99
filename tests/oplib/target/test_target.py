"""Device, budget and forms as one value: every budget that can be met is met."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError
from mcuformer.run.presets import load
from mcuformer.space import SearchSpace
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.plan.schedule import schedule
from oplib.plan.time_model import weights_bytes, work_of
from oplib.target.target import Target

# of the emulated application, in bytes: the wrap counter of SysTick and, with strips, the open file
# that their rows are read from
STATIC = {"image": 4, "strip": 8}


def draw(space: SearchSpace, seed: int) -> SubnetConfig:
    rng = np.random.default_rng(seed)
    points = space.points()
    return space.sample(points[int(rng.integers(len(points)))], rng)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), image=st.sampled_from(["image", "strip"]))
def test_a_budget_that_can_be_met_is_met(
    digits_space: SearchSpace, stm32f746: Device, seed: int, image: str
) -> None:
    subnet = draw(digits_space, seed)
    forms = Forms(passes=Passes(input=image))
    rest = STATIC[image] + stm32f746.stack_reserve_bytes
    least = schedule(subnet, forms).plan.arena_bytes + rest
    for more in (0, 3, 4, *range(8, 600, 52)):
        limit = least + more
        target = Target(stm32f746, BudgetConfig(sram_bytes=limit), forms)
        assert target.schedule(subnet).plan.arena_bytes + rest <= limit
        assert target.cost(subnet).footprint.sram_bytes <= limit
        assert target.arena_bytes + rest == limit
    under = Target(stm32f746, BudgetConfig(sram_bytes=least - 1), forms)
    assert not under.admits(subnet)
    assert under.cost(subnet).footprint.sram_bytes == least


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_cost_by_blocks_is_the_whole_plans(
    digits_space: SearchSpace, stm32f100: Device, seed: int
) -> None:
    subnet = draw(digits_space, seed)
    for limit in (900, 4000, 8192):
        target = Target(stm32f100, BudgetConfig(sram_bytes=limit))
        cost, scheduled = target.cost(subnet), target.schedule(subnet)
        assert cost.footprint.arena_bytes == scheduled.plan.arena_bytes
        nodes = scheduled.calls.nodes
        assert cost.footprint.weights_bytes == weights_bytes(scheduled.calls, nodes)
        whole = target.timing.time(work_of(scheduled.calls, nodes))
        assert cost.time is not None
        assert whole is not None
        assert cost.time.ms_high == pytest.approx(whole.ms_high, abs=0.001)


def test_an_arena_is_limited_by_its_region() -> None:
    """An STM32F427 has 256 KB of SRAM, of which 192 KB are contiguous."""
    device = load("device", "stm32f427", Device)
    assert Target(device).limit.sram_bytes == 256 * 1024
    assert Target(device).arena_bytes == 192 * 1024


def test_a_target_beyond_the_device_does_not_exist(stm32f100: Device) -> None:
    with pytest.raises(BudgetError, match=r"budget\.sram_bytes: more than .*got 9000.*8192"):
        Target(stm32f100, BudgetConfig(sram_bytes=9000))


def test_equal_limits_have_one_identity(stm32f100: Device) -> None:
    """Targets share recovery points if their verdicts are equal, however they were written."""
    named = Target(stm32f100, BudgetConfig(sram_bytes=8192))
    assert named.identity() == Target(stm32f100).identity()
    less = Target(stm32f100, BudgetConfig(sram_bytes=8188))
    other = Target(stm32f100, forms=Forms(gelu="sigmoid"))
    assert less.identity() != named.identity() != other.identity()
