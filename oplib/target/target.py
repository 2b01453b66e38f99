"""Device, budget and operator forms as one value: what a subnet costs there, and whether it fits.

Bytes of whole firmware are added and subtracted here and in no other module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mcuformer.device import Budget, BudgetConfig, Device, Footprint
from mcuformer.run.command import Settings
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.plan.footprint import PlannedBytes, planned_bytes, static_bytes
from oplib.plan.schedule import Schedule, schedule
from oplib.target.board import LinkedSizes


@dataclass(frozen=True)
class Target:
    """Where a network shall run and what it may take.

    Args:
        device: the microcontroller.
        budget: what the user allows of it; null fields mean all that the device has.
        forms: of the integer operators, which memory depends on.

    Raises:
        BudgetError: the budget is beyond what the device has.
    """

    device: Device
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    forms: Forms = DEFAULT_FORMS

    def __post_init__(self) -> None:
        """Resolve the budget, so that a target that exists is possible."""
        _ = self.limit

    @cached_property
    def limit(self) -> Budget:
        """The resolved budget."""
        return Budget.of(self.budget, self.device)

    @cached_property
    def arena_bytes(self) -> int:
        """Bytes of arena that the budget leaves, within the arena's region.

        SRAM is a sum (:attr:`Footprint.sram_bytes`); what it gives for an empty arena is what the
        rest of the firmware takes.
        """
        rest = self._footprint(PlannedBytes(0, 0, 0)).sram_bytes
        return max(0, min(self.limit.sram_bytes - rest, self.limit.arena_bytes))

    def cost(self, subnet: SubnetConfig) -> Footprint:
        """Return the bytes of a subnet's firmware, by the exporter's own planner."""
        planned = planned_bytes(subnet, self.device.core, self.forms, self.arena_bytes)
        return self._footprint(planned)

    def admits(self, subnet: SubnetConfig) -> bool:
        """Tell whether a subnet's firmware fits the budget."""
        return self.cost(subnet).admissible(self.limit)

    def schedule(self, subnet: SubnetConfig) -> Schedule:
        """Return the schedule that the budget allows: the one that :meth:`cost` counts.

        Raises:
            LoweringError: a pass does not take the network.
        """
        return schedule(subnet, self.forms, self.arena_bytes)

    def identity(self) -> dict[str, Any]:
        """Return what :meth:`cost` and :meth:`admits` depend on, as plain containers."""
        return {
            "device": self.device.dump(),
            "budget": self.limit.dump(),
            "forms": self.forms.dump(),
        }

    def _footprint(self, planned: PlannedBytes) -> Footprint:
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
        budget: what the network may take of it.
        forms: of the integer operators.
    """

    device: Device
    budget: BudgetConfig = BudgetConfig()
    forms: Forms = DEFAULT_FORMS

    @property
    def target(self) -> Target:
        """Device, budget and forms as one value.

        Raises:
            BudgetError: the budget is beyond what the device has.
        """
        return Target(self.device, self.budget, self.forms)


def built_footprint(linked: LinkedSizes, stack_bytes: int) -> Footprint:
    """Return the bytes of a firmware that was built.

    Args:
        linked: what the linker gave.
        stack_bytes: measured while it ran.
    """
    return Footprint(
        arena_bytes=linked.arena,
        static_bytes=linked.static,
        stack_bytes=stack_bytes,
        weights_bytes=linked.weights,
        code_bytes=linked.code,
    )
