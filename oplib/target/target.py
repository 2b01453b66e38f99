"""Device, budget and operator forms as one value: cost of a subnet, and whether it fits.

The bytes of a whole firmware are added in :class:`mcuformer.cost.Footprint` and subtracted here,
and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mcuformer.cost import Cost, Footprint
from mcuformer.device import Budget, BudgetConfig, Device
from mcuformer.run.command import Settings
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.ops.work import Work
from oplib.plan.footprint import PlannedCost, planned_cost, static_bytes
from oplib.plan.schedule import Schedule, schedule
from oplib.plan.time_model import TimeModel
from oplib.target.board import LinkedSizes


@dataclass(frozen=True)
class Target:
    """The device that a network is made for, and what it may take of it.

    Args:
        device: the microcontroller.
        budget: memory and time that the user allows; null fields allow all that the device has.
        forms: forms of the integer operators, on which both depend.

    Raises:
        BudgetError: the budget exceeds the device, or limits a time that cannot be modelled.
    """

    device: Device
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    forms: Forms = DEFAULT_FORMS

    def __post_init__(self) -> None:
        """Resolve the budget, so that an impossible one is refused at once."""
        _ = self.limit

    @cached_property
    def limit(self) -> Budget:
        """The resolved budget."""
        return Budget.of(self.budget, self.device)

    @cached_property
    def arena_bytes(self) -> int:
        """Largest arena in bytes that the budget leaves, within the arena's memory region.

        The SRAM of a firmware with an empty arena (:attr:`Footprint.sram_bytes`) is what static
        data and stack take.
        """
        without_arena = self._footprint(PlannedCost(0, 0, 0, Work())).sram_bytes
        return max(0, min(self.limit.sram_bytes - without_arena, self.limit.arena_bytes))

    @cached_property
    def timing(self) -> TimeModel:
        """The device's model of time."""
        return TimeModel.of(self.device)

    def cost(self, subnet: SubnetConfig) -> Cost:
        """Return bytes and time of a subnet's firmware, according to the exporter's own planner."""
        core, limit = self.device.core, self.arena_bytes
        planned = planned_cost(subnet, core, self.forms, limit, self.timing)
        return Cost(
            footprint=self._footprint(planned),
            time=self.timing.time(planned.work),
            macs=subnet.macs,
        )

    def admits(self, subnet: SubnetConfig) -> bool:
        """Return whether a subnet's firmware fits the budget."""
        return self.cost(subnet).admissible(self.limit)

    def schedule(self, subnet: SubnetConfig) -> Schedule:
        """Return the schedule that the budget allows, whose bytes and time :meth:`cost` tells.

        Raises:
            LoweringError: a pass cannot handle the network.
        """
        return schedule(subnet, self.forms, self.arena_bytes, self.timing)

    def identity(self) -> dict[str, Any]:
        """Return everything that :meth:`cost` and :meth:`admits` depend on, as plain containers."""
        return {
            "device": self.device.dump(),
            "budget": self.limit.dump(),
            "forms": self.forms.dump(),
        }

    def _footprint(self, planned: PlannedCost) -> Footprint:
        """Return the planned bytes together with static data and the stack reserve."""
        return Footprint(
            arena_bytes=planned.arena,
            static_bytes=static_bytes(self.forms),
            stack_bytes=self.device.stack_reserve_bytes,
            weights_bytes=planned.weights,
            code_bytes=planned.code,
        )


class TargetSettings(Settings):
    """Settings of a command that works for a device.

    Args:
        device: the microcontroller.
        budget: memory and time that the network may take.
        forms: forms of the integer operators.
    """

    device: Device
    budget: BudgetConfig = BudgetConfig()
    forms: Forms = DEFAULT_FORMS

    @property
    def target(self) -> Target:
        """Device, budget and forms as one value.

        Raises:
            BudgetError: the budget exceeds the device, or limits a time that cannot be modelled.
        """
        return Target(self.device, self.budget, self.forms)


def built_footprint(linked: LinkedSizes, stack_bytes: int) -> Footprint:
    """Return the bytes of a built firmware.

    Args:
        linked: sizes from the linker.
        stack_bytes: stack as measured while it ran.
    """
    return Footprint(
        arena_bytes=linked.arena,
        static_bytes=linked.static,
        stack_bytes=stack_bytes,
        weights_bytes=linked.weights,
        code_bytes=linked.code,
    )
