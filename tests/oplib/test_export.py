"""The export holds the search's promise."""

from __future__ import annotations

import pytest

from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError, InternalError
from mcuformer.subnet import SubnetConfig
from oplib import export
from oplib.plan.footprint import PlannedBytes
from oplib.target import target
from oplib.target.target import Target


def test_a_plan_that_breaks_the_footprints_promise_is_refused(
    small_subnet: SubnetConfig, stm32f100: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Target(stm32f100)
    cost, scheduled = export.fitting_schedule(here, small_subnet)
    assert cost.arena_bytes == scheduled.plan.arena_bytes
    planned = PlannedBytes(cost.arena_bytes - 8, cost.weights_bytes, cost.code_bytes)
    monkeypatch.setattr(target, "planned_bytes", lambda *_: planned)
    with pytest.raises(InternalError, match=rf"got {cost.arena_bytes}, expected {planned.arena}"):
        export.fitting_schedule(here, small_subnet)


def test_a_network_that_does_not_fit_is_refused(
    small_subnet: SubnetConfig, stm32f100: Device
) -> None:
    with pytest.raises(BudgetError, match=r"^budget: the network does not fit .* at most 1200 "):
        export.fitting_schedule(Target(stm32f100, BudgetConfig(sram_bytes=1200)), small_subnet)
