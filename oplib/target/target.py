"""Device, budget and operator forms as one value: cost of a subnet, and whether it fits.

The bytes of a whole firmware are added in :class:`mcuformer.cost.Footprint` and subtracted here,
and nowhere else.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mcuformer.cost import Cost, Footprint
from mcuformer.device import Budget, BudgetConfig, Device, SramUse
from mcuformer.run.command import Settings
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.ops.work import Work
from oplib.plan.footprint import PlannedCost, planned_cost, static_bytes
from oplib.plan.schedule import Schedule, least_arena, schedule, scratch_sizes
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
    def planned_bytes(self) -> int:
        """Bytes that the budget leaves for the arena and scratch apart from it."""
        return max(0, self.limit.sram_bytes - self._empty.sram_bytes)

    @cached_property
    def arena_bytes(self) -> int:
        """Largest arena in bytes that the budget leaves, within the arena's memory region."""
        return self._room("arena")

    @cached_property
    def scratch_bytes(self) -> int:
        """Most scratch apart from the arena that the budget leaves, within its region."""
        return self._room("scratch")

    def _room(self, use: SramUse) -> int:
        """Return the bytes that one use of SRAM may take; none if the device has no region for it.

        The footprint of a firmware with nothing planned is what static data and stack take.
        """
        shares = [share for share in self.limit.sram_shares if use in share.uses]
        rooms = [share.size_bytes - self._empty.held_by(share) for share in shares]
        return max(0, min(self.planned_bytes, *rooms)) if rooms else 0

    @cached_property
    def _empty(self) -> Footprint:
        return self._footprint(PlannedCost(0, 0, 0, 0, Work()))

    def rooms(self, subnet: SubnetConfig) -> tuple[int, int]:
        """Return the largest arena, and the largest scratch apart from it, of a subnet's schedule.

        Both are what their regions leave, unless the budget is less than their sum.
        """
        # The sum is least without scratch apart: a call then needs its tensors and its scratch, but
        # no room for scratch that only another call has. So under such a budget either as little
        # is apart as the arena's region allows, or as much as the least arena leaves, if that is
        # not slower. Where nothing fits, the least sum tells what is needed.
        arena, apart, total = self.arena_bytes, self.scratch_bytes, self.planned_bytes
        if apart == 0 or arena + apart <= total:
            return arena, apart

        def least(scratch_room: int) -> int:
            return least_arena(subnet, self.forms, scratch_room)

        sizes = [size for size in (0, *scratch_sizes(subnet, self.forms)) if size <= apart]
        index = bisect_left(sizes, True, key=lambda size: least(size) <= arena)
        smallest = sizes[min(index, len(sizes) - 1)]
        largest = max(0, min(apart, total - least(apart)))
        options = [(min(arena, total - room), room) for room in (largest, smallest)]
        fitting = [option for option in options if least(option[1]) <= option[0]]
        return min(fitting, key=lambda rooms: self._rank(subnet, rooms), default=options[1])

    def _rank(self, subnet: SubnetConfig, rooms: tuple[int, int]) -> float:
        return self.timing.cost_of(self._planned(subnet, rooms).work)

    def _planned(self, subnet: SubnetConfig, rooms: tuple[int, int]) -> PlannedCost:
        arena, apart = rooms
        return planned_cost(subnet, self.device.core, self.forms, arena, self.timing, apart)

    @cached_property
    def timing(self) -> TimeModel:
        """The device's model of time."""
        return TimeModel.of(self.device)

    def cost(self, subnet: SubnetConfig) -> Cost:
        """Return bytes and time of a subnet's firmware, according to the exporter's own planner."""
        planned = self._planned(subnet, self.rooms(subnet))
        return Cost(footprint=self._footprint(planned), time=self.timing.time(planned.work))

    def admits(self, subnet: SubnetConfig) -> bool:
        """Return whether a subnet's firmware fits the budget."""
        return self.cost(subnet).admissible(self.limit)

    def schedule(self, subnet: SubnetConfig) -> Schedule:
        """Return the schedule that the budget allows, whose bytes and time :meth:`cost` tells.

        Raises:
            LoweringError: a pass cannot handle the network.
        """
        arena, apart = self.rooms(subnet)
        return schedule(subnet, self.forms, arena, self.timing, apart)

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
            scratch_bytes=planned.scratch,
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
        scratch_bytes=linked.scratch,
        static_bytes=linked.static,
        stack_bytes=stack_bytes,
        weights_bytes=linked.weights,
        code_bytes=linked.code,
    )
