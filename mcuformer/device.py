"""Microcontrollers, budgets and what a network costs on them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mcuformer.errors import BudgetError
from mcuformer.subnet import PositiveInt
from mcuformer.value import Value

Core = Literal["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7"]
ByteCount = Annotated[int, Field(ge=0)]


class MemoryRegion(Value):
    """A contiguous memory of the chip; `origin` is its address."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    kind: Literal["flash", "sram"]
    origin: ByteCount
    size_bytes: PositiveInt


class Emulation(Value):
    """A QEMU machine that is this very chip, with its own memory map and clock."""

    machine: str
    clock_hz: PositiveInt


class Device(Value):
    """A microcontroller: one YAML, no Python.

    Args:
        core: names the compiler's target and the emulated core.
        regions: the chip's memory map. Code goes to `code_region`, the arena to `arena_region`,
            static data and stack to `data_region`.
        weights_region: memory-mapped flash that holds the weights, for instance outside the chip;
            null is `code_region`.
        fast_code_region: memory (ITCM) that inner kernels are copied to at start-up; null leaves
            them in `code_region`. It holds code alone and is not counted as SRAM.
        stack_reserve_bytes: linked as the stack and counted in admission.
        emulation: the QEMU machine of this very chip; without one the regions' sizes are
            emulated on a generic board of the same core.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    description: str = ""
    core: Core
    clock_hz: PositiveInt
    regions: Annotated[tuple[MemoryRegion, ...], Field(min_length=2)]
    code_region: str
    arena_region: str
    data_region: str
    weights_region: str | None = None
    fast_code_region: str | None = None
    stack_reserve_bytes: PositiveInt
    emulation: Emulation | None = None

    @model_validator(mode="after")
    def _check(self) -> Device:
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise ValueError("regions must have different names")
        ends = sorted((r.origin, r.origin + r.size_bytes, r.name) for r in self.regions)
        for before, after in pairwise(ends):
            if before[1] > after[0]:
                raise ValueError(f"regions {before[2]} and {after[2]} overlap")
        for field, kind in (
            ("code_region", "flash"),
            ("arena_region", "sram"),
            ("data_region", "sram"),
            ("weights_region", "flash"),
            ("fast_code_region", "sram"),
        ):
            name = getattr(self, field)
            if name is None:
                continue
            match = [region for region in self.regions if region.name == name]
            if not match or match[0].kind != kind:
                known = [region.name for region in self.regions if region.kind == kind]
                raise ValueError(f"{field} {name!r} names no {kind} region; these are {known}")
        if self.stack_reserve_bytes % 8 != 0:
            raise ValueError("stack_reserve_bytes must be a multiple of 8")
        if self.stack_reserve_bytes >= self.region(self.data_region).size_bytes:
            raise ValueError(f"stack_reserve_bytes must leave room in region {self.data_region}")
        return self

    def region(self, name: str) -> MemoryRegion:
        """Return the region called `name`."""
        return next(region for region in self.regions if region.name == name)

    @property
    def sram_bytes(self) -> int:
        """SRAM that a firmware can use: the arena's region and the data region."""
        used = {self.arena_region, self.data_region}
        return sum(region.size_bytes for region in self.regions if region.name in used)

    @property
    def flash_regions(self) -> tuple[str, ...]:
        """Names of the flash that a firmware uses: for code, and for weights if apart."""
        weights = self.weights_region
        return (self.code_region,) if weights is None else (self.code_region, weights)

    @property
    def used_regions(self) -> tuple[str, ...]:
        """Names of all memory that a firmware uses, each once."""
        fast = () if self.fast_code_region is None else (self.fast_code_region,)
        return tuple(
            dict.fromkeys((*self.flash_regions, self.arena_region, self.data_region, *fast))
        )

    @property
    def flash_bytes(self) -> int:
        """Flash that a firmware can use."""
        return sum(self.region(name).size_bytes for name in dict.fromkeys(self.flash_regions))

    def milliseconds(self, instructions: float) -> float:
        """Estimate the time of instructions at the device's clock: one a cycle, no wait states.

        An emulator counts instructions, not cycles; a Cortex-M7 may issue two in a cycle, and slow
        flash may stall any core.
        """
        return instructions / self.clock_hz * 1e3


class BudgetConfig(Value):
    """What a user allows; ``null`` means all that the device has."""

    sram_bytes: PositiveInt | None = None
    flash_bytes: PositiveInt | None = None


class Budget(Value):
    """Hard limits on whole-firmware memory, in bytes.

    Args:
        arena_bytes, code_bytes, weights_bytes: sizes of the regions that each must fit.
    """

    sram_bytes: PositiveInt
    flash_bytes: PositiveInt
    arena_bytes: PositiveInt
    code_bytes: PositiveInt
    weights_bytes: PositiveInt

    @classmethod
    def of(cls, config: BudgetConfig, device: Device) -> Budget:
        """Resolve a configured budget on `device`.

        Raises:
            BudgetError: a budget beyond what the device has.
        """
        limits = {}
        for field in ("sram_bytes", "flash_bytes"):
            wanted, limit = getattr(config, field), getattr(device, field)
            if wanted is not None and wanted > limit:
                raise BudgetError(
                    f"beyond the memory of {device.name}",
                    where=f"budget.{field}",
                    got=wanted,
                    expected=f"at most {limit}",
                )
            limits[field] = limit if wanted is None else wanted
        return cls(
            **limits,
            arena_bytes=device.region(device.arena_region).size_bytes,
            code_bytes=device.region(device.flash_regions[0]).size_bytes,
            weights_bytes=device.region(device.flash_regions[-1]).size_bytes,
        )


class Footprint(Value):
    """Bytes that a subnet's firmware takes, as the exporter's planner says before linking.

    SRAM = arena + static data + stack reserve; flash = weights (with tables and requantisation
    constants) + code.
    """

    arena_bytes: ByteCount
    static_bytes: ByteCount
    stack_bytes: ByteCount
    weights_bytes: ByteCount
    code_bytes: ByteCount

    @property
    def sram_bytes(self) -> int:
        """Whole-firmware SRAM."""
        return self.arena_bytes + self.static_bytes + self.stack_bytes

    @property
    def flash_bytes(self) -> int:
        """Whole-firmware flash."""
        return self.weights_bytes + self.code_bytes

    def exceeds(self, budget: Budget) -> tuple[bool, bool]:
        """Return whether (SRAM, flash) go beyond the budget."""
        over_sram = self.sram_bytes > budget.sram_bytes or self.arena_bytes > budget.arena_bytes
        over_flash = self.flash_bytes > budget.flash_bytes
        over_region = (
            self.code_bytes > budget.code_bytes or self.weights_bytes > budget.weights_bytes
        )
        return over_sram, over_flash or over_region

    def admissible(self, budget: Budget) -> bool:
        """Tell whether both limits hold."""
        return not any(self.exceeds(budget))
