from __future__ import annotations

import pytest

from mcuformer.cost import Cost, Footprint, ModelledTime
from mcuformer.device import Budget, BudgetConfig, Device

MEMORY = Footprint(
    arena_bytes=3000,
    fast_bytes=1000,
    static_bytes=4,
    stack_bytes=640,
    weights_bytes=70_000,
    code_bytes=15_000,
)


@pytest.mark.parametrize(
    ("limit", "fits"), [(None, True), (15.0, True), (14.9, False), (10.0, False)]
)
def test_a_time_limit_is_one_on_the_sum(stm32f100: Device, limit: float | None, fits: bool) -> None:
    """240,000 cycles and 120,000 of waiting at 24 MHz: 10 + 5 ms."""
    cost = Cost(footprint=MEMORY, time=ModelledTime.of(240_000, 120_000, 24_000_000), macs=5)
    assert cost.ms_high == 15.0
    budget = Budget.of(BudgetConfig(milliseconds=limit), stm32f100)
    assert cost.admissible(budget) == fits
    assert cost.too_slow(budget) == (not fits)


def test_memory_alone_refuses(stm32f100: Device) -> None:
    budget = Budget.of(BudgetConfig(sram_bytes=4096), stm32f100)
    assert not Cost(footprint=MEMORY, time=None, macs=5).admissible(budget)
    weights = [
        Budget.of(BudgetConfig(weights_bytes=limit), stm32f100) for limit in (None, 70_000, 69_999)
    ]
    cost = Cost(footprint=MEMORY, time=None, macs=5)
    assert [cost.admissible(budget) for budget in weights] == [True, True, False]
