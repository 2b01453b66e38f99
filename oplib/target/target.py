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
from oplib.network.low_rank import block_weights
from oplib.ops.work import Work
from oplib.plan.arena import ONE_ARENA, FastRoom
from oplib.plan.footprint import PlannedCost, planned_cost, static_bytes
from oplib.plan.published_estimates import staged_weights_bytes
from oplib.plan.schedule import Schedule, fast_sizes, least_arena, schedule
from oplib.plan.time_model import TimeModel
from oplib.target.board import LinkedSizes


@dataclass(frozen=True)
class Room:
    """What a schedule may take of both arenas.

    Args:
        arena_bytes: largest arena.
        fast: what the fast arena may hold.
    """

    arena_bytes: int
    fast: FastRoom


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
        """Bytes that the budget leaves for both arenas and for staged weights."""
        return max(0, self.limit.sram_bytes - self._empty.sram_bytes)

    @cached_property
    def arena_bytes(self) -> int:
        """Bytes that it leaves for the arena and staged weights, within the arena's region."""
        return self._room("arena")

    @cached_property
    def fast_bytes(self) -> int:
        """Largest fast arena in bytes that the budget leaves, within its memory region."""
        return self._room("fast")

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

    def staged_bytes(self, subnet: SubnetConfig) -> int:
        """Return the weights that the memory model counts in the arena's region."""
        if self.limit.memory_model == "flash":
            return 0
        return staged_weights_bytes(subnet, self.forms)

    def room(self, subnet: SubnetConfig) -> Room:
        """Return what a subnet's schedule may take of both arenas.

        The fast arena holds scratch, and the residual stream only of a network that does not fit
        otherwise. If nothing fits, the schedule is the one of least SRAM.
        """
        if self.fast_bytes == 0:
            return Room(max(0, self.arena_bytes - self.staged_bytes(subnet)), ONE_ARENA)
        for stream in (False, True):
            rooms = [room for room in self._rooms(subnet, stream) if self._holds(subnet, room)]
            if rooms:
                return min(rooms, key=lambda room: self._cycles(subnet, room))
        return self._rooms(subnet, stream=False)[-1]

    def _rooms(self, subnet: SubnetConfig, stream: bool) -> list[Room]:
        """Return the ways in which the budget can be divided between both arenas."""
        # In sum, both arenas are least if the fast one is: what only one call needs may then lie
        # where another call has something else. So if the budget is less than what the regions
        # leave, the fast arena gets either as much as the least arena leaves, if that is not
        # slower, or as little as the arena's region allows.
        staged = self.staged_bytes(subnet)
        arena, total = (max(0, size - staged) for size in (self.arena_bytes, self.planned_bytes))
        fast = min(self.fast_bytes, total)

        def least(size: int) -> int:
            return least_arena(subnet, self.forms, FastRoom(size, stream))

        def suffices(size: int) -> bool:
            return least(size) <= arena

        sizes = [size for size in fast_sizes(subnet, self.forms, stream=stream) if size <= fast]
        if not sizes:
            return []
        if arena + fast <= total:
            return [Room(arena, FastRoom(fast, stream))]
        # the first mostly does, and every other takes a while to plan
        index = 0 if suffices(sizes[0]) else bisect_left(sizes, True, 1, key=suffices)
        smallest, largest = sizes[min(index, len(sizes) - 1)], min(fast, total - least(fast))
        return [
            Room(min(arena, total - size), FastRoom(size, stream))
            for size in (largest, smallest)
            if size >= sizes[0]
        ]

    def _holds(self, subnet: SubnetConfig, room: Room) -> bool:
        return least_arena(subnet, self.forms, room.fast) <= room.arena_bytes

    def _cycles(self, subnet: SubnetConfig, room: Room) -> float:
        return self.timing.cost_of(self._planned(subnet, room).work)

    def _planned(self, subnet: SubnetConfig, room: Room) -> PlannedCost:
        limit, core = room.arena_bytes, self.device.core
        return planned_cost(subnet, core, self.forms, limit, self.timing, room.fast)

    @cached_property
    def timing(self) -> TimeModel:
        """The device's model of time."""
        return TimeModel.of(self.device)

    def cost(self, subnet: SubnetConfig) -> Cost:
        """Return bytes and time of a subnet's firmware, according to the exporter's own planner."""
        planned = self._planned(subnet, self.room(subnet))
        return Cost(
            footprint=self._footprint(planned, self.staged_bytes(subnet)),
            time=self.timing.time(planned.work),
            macs=subnet.merged.macs,
        )

    def admits(self, subnet: SubnetConfig) -> bool:
        """Return whether a subnet's firmware fits the budget.

        A network whose matrices alone exceed the flash, at a byte per weight, is not planned.
        """
        fits = block_weights(subnet, self.forms) <= self.limit.flash_bytes
        return fits and self.cost(subnet).admissible(self.limit)

    def schedule(self, subnet: SubnetConfig) -> Schedule:
        """Return the schedule that the budget allows, whose bytes and time :meth:`cost` tells.

        Raises:
            LoweringError: a pass cannot handle the network.
        """
        room = self.room(subnet)
        return schedule(subnet, self.forms, room.arena_bytes, self.timing, room.fast)

    def identity(self) -> dict[str, Any]:
        """Return everything that :meth:`cost` and :meth:`admits` depend on, as plain containers."""
        return {
            "device": self.device.content(),
            "budget": self.limit.content(),
            "forms": self.forms.dump(),
        }

    def _footprint(self, planned: PlannedCost, staged: int = 0) -> Footprint:
        """Return planned and staged bytes together with static data and the stack reserve."""
        return Footprint(
            arena_bytes=planned.arena,
            fast_bytes=planned.fast,
            static_bytes=static_bytes(self.forms, fast=self.device.fast_region is not None),
            stack_bytes=self.device.stack_reserve_bytes,
            weights_bytes=planned.weights,
            code_bytes=planned.code,
            staged_bytes=staged,
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
        fast_bytes=linked.fast,
        static_bytes=linked.static,
        stack_bytes=stack_bytes,
        weights_bytes=linked.weights,
        code_bytes=linked.code,
    )
