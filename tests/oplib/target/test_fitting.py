"""The export holds the search's promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError, InternalError
from mcuformer.subnet import SubnetConfig
from oplib.export import staging_lines
from oplib.ops.work import Work
from oplib.plan.footprint import PlannedCost
from oplib.target import target
from oplib.target.fitting import fitting_schedule
from oplib.target.target import Target

Devices = Callable[[str], Device]


def test_a_plan_that_breaks_the_footprints_promise_is_refused(
    small_subnet: SubnetConfig, stm32f100: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Target(stm32f100)
    whole, scheduled = fitting_schedule(here, small_subnet)
    cost = whole.footprint
    assert cost.arena_bytes == scheduled.plan.arena_bytes
    planned = PlannedCost(cost.arena_bytes - 8, 0, cost.weights_bytes, cost.code_bytes, Work())
    monkeypatch.setattr(target, "planned_cost", lambda *_: planned)
    with pytest.raises(InternalError, match=rf"got {cost.arena_bytes}, expected {planned.arena}"):
        fitting_schedule(here, small_subnet)


def test_a_network_that_does_not_fit_is_refused(
    small_subnet: SubnetConfig, stm32f100: Device
) -> None:
    with pytest.raises(BudgetError, match=r"^budget: the network does not fit .* at most 1200 "):
        fitting_schedule(Target(stm32f100, BudgetConfig(sram_bytes=1200)), small_subnet)


def test_a_region_that_overflows_is_named(small_subnet: SubnetConfig, device: Devices) -> None:
    """The image of 64 pixels and the stack need more, whatever the CCM has left."""
    chip = device("stm32f405")
    regions = [r.dump() | ({"size_bytes": 1064} if r.name == "sram" else {}) for r in chip.regions]
    small = Device.parse(chip.dump() | {"regions": regions})
    line = r"^budget: the network does not fit .*, \d{4} in region sram, expected .* 1064 in region"
    with pytest.raises(BudgetError, match=line):
        fitting_schedule(Target(small), small_subnet)


def test_a_network_that_is_too_slow_is_refused(
    small_subnet: SubnetConfig, stm32f100: Device
) -> None:
    fastest = Target(stm32f100).cost(small_subnet).ms_high
    line = rf"^budget\.milliseconds: .* \(got {fastest:g} ms \(modelled\), expected at most 0\.01\)"
    with pytest.raises(BudgetError, match=line):
        fitting_schedule(Target(stm32f100, BudgetConfig(milliseconds=0.01)), small_subnet)


def test_staged_weights_are_counted_and_not_built(
    small_subnet: SubnetConfig, stm32f100: Device
) -> None:
    """The largest factor is qkv's second, of rank 16 and 3 * 48 outputs."""
    budget = BudgetConfig(sram_bytes=6000, memory_model="staged")
    cost, scheduled = fitting_schedule(Target(stm32f100, budget), small_subnet)
    footprint = cost.footprint
    firmware = scheduled.plan.arena_bytes + footprint.static_bytes + footprint.stack_bytes
    assert footprint.sram_bytes == firmware + 16 * 144 <= 6000
    (line,) = staging_lines(footprint)
    assert line.endswith(f"the firmware reads them in flash and takes {firmware:,} bytes of SRAM")
    small = BudgetConfig(sram_bytes=2304, memory_model="staged")
    with pytest.raises(BudgetError, match=r"got \d{4} bytes of SRAM \(2304 staged weights\) and"):
        fitting_schedule(Target(stm32f100, small), small_subnet)
