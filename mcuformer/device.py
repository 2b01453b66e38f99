"""Microcontrollers, and budgets of what a firmware may take of one."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mcuformer.errors import BudgetError
from mcuformer.limits import (
    ADDRESS_END,
    CacheBytes,
    CpiScale,
    Hertz,
    LineBytes,
    Macs,
    Milliseconds,
    PositiveBytes,
    PositiveInt,
    WaitCycles,
)
from mcuformer.value import Value

Core = Literal["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7"]
SramUse = Literal["arena", "fast", "data"]  # data: static data and stack
Board = Literal["stm32f746g_disco", "nucleo_h743zi"]  # folders of oplib/runtime/boards
MemoryModel = Literal["flash", "staged"]  # where the weights are while a layer is computed
RegionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=32)]
MAX_REGIONS = 32
LINKER_WORDS = {"o", "org", "origin", "l", "len", "length"}  # a linker script's own, in MEMORY


class MemoryRegion(Value):
    """A contiguous memory of the chip.

    Args:
        name: name that the device refers to it by.
        kind: ``flash`` or ``sram``.
        origin: address of its first byte.
        size_bytes: size.
        line_bytes: bytes that arrive together; null if the memory's speed is not known.
        line_wait_cycles: cycles of the core that a line takes longer than a load without waiting.
    """

    name: RegionName
    kind: Literal["flash", "sram"]
    origin: Annotated[int, Field(ge=0, lt=ADDRESS_END)]
    size_bytes: PositiveBytes
    line_bytes: LineBytes | None = None
    line_wait_cycles: WaitCycles | None = None

    @model_validator(mode="after")
    def _check(self) -> MemoryRegion:
        if (self.line_bytes is None) != (self.line_wait_cycles is None):
            raise ValueError(
                f"region {self.name}: give line_bytes and line_wait_cycles, or neither"
            )
        if self.name in LINKER_WORDS:
            raise ValueError(f"{self.name!r} is a word of the linker's; name the region otherwise")
        if self.origin + self.size_bytes > ADDRESS_END:
            raise ValueError(f"region {self.name} ends beyond the 32-bit address space")
        return self

    @property
    def waits_per_byte(self) -> float | None:
        """Cycles that the core waits for a byte; None if they are not known."""
        if self.line_bytes is None or self.line_wait_cycles is None:
            return None
        return self.line_wait_cycles / self.line_bytes


class Emulation(Value):
    """A QEMU machine that models this chip, with the chip's memory map.

    Args:
        machine: QEMU's name for it.
        clock_hz: clock that QEMU gives the machine.
    """

    machine: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)
    ]  # no option of QEMU's
    clock_hz: Hertz


class Device(Value):
    """A microcontroller, described by one YAML file.

    Args:
        name: name of the device.
        description: one line about it.
        core: core, as the compiler and QEMU name it.
        clock_hz: clock at which times are estimated.
        regions: memory map of the chip.
        code_region: flash region of the code.
        arena_region: SRAM region of the arena, which holds the image, other tensors and scratch.
        data_region: SRAM region of static data and stack.
        fast_region: second SRAM region, close to the core (DTCM, CCM), of the fast arena, which
            holds the scratch for which it has room, or the residual stream, and never the image;
            null leaves all of it in the arena.
        weights_region: memory-mapped flash region of the weights, for instance outside the chip;
            null is `code_region`.
        fast_code_region: region (ITCM) that inner kernels are copied to at start-up; null leaves
            them in `code_region`. It holds nothing but code and does not count as SRAM.
        data_cache_bytes: size of the core's data cache, 0 without one.
        stack_reserve_bytes: size of the stack that is linked, and counted in admission.
        cpi_scale: factor on the modelled cycles of the core, for instance measured on a board
            (``tools/fit_time.py``).
        emulation: QEMU machine of this chip; null emulates the sizes of the regions on a generic
            board with the same core.
        board: board whose start-up on its vendor's library is exported beside the firmware; null
            is none.
    """

    without_effect: ClassVar[tuple[str, ...]] = ("board",)
    later: ClassVar[tuple[str, ...]] = ("cpi_scale",)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
    description: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)] = ""
    core: Core
    clock_hz: Hertz
    regions: Annotated[tuple[MemoryRegion, ...], Field(min_length=2, max_length=MAX_REGIONS)]
    code_region: RegionName
    arena_region: RegionName
    data_region: RegionName
    fast_region: RegionName | None = None
    weights_region: RegionName | None = None
    fast_code_region: RegionName | None = None
    data_cache_bytes: CacheBytes = 0
    stack_reserve_bytes: PositiveBytes
    cpi_scale: CpiScale = 1.0
    emulation: Emulation | None = None
    board: Board | None = None

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
            ("fast_region", "sram"),
            ("weights_region", "flash"),
            ("fast_code_region", "sram"),
        ):
            name = getattr(self, field)
            if name is None:
                continue
            match = [region for region in self.regions if region.name == name]
            if not match or match[0].kind != kind:
                known = [region.name for region in self.regions if region.kind == kind]
                raise ValueError(f"{field} {name!r} is not a {kind} region; these are {known}")
        if self.fast_region == self.arena_region:
            raise ValueError(
                f"fast_region {self.fast_region!r} holds the arena; null keeps both in one"
            )
        if self.fast_code_region in self.sram_uses.values():
            raise ValueError(f"fast_code_region {self.fast_code_region!r} holds data as well")
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
        """SRAM that a firmware can use: the sum of its regions, each counted once."""
        return sum(self.region(name).size_bytes for name in dict.fromkeys(self.sram_uses.values()))

    @property
    def sram_uses(self) -> dict[SramUse, str]:
        """Name of the region of each use of SRAM; without `fast_region`, `fast` has none."""
        uses: dict[SramUse, str] = {"arena": self.arena_region, "data": self.data_region}
        return uses if self.fast_region is None else uses | {"fast": self.fast_region}

    @property
    def flash_regions(self) -> tuple[str, ...]:
        """Names of the flash regions: the code's, then the weights' if given."""
        weights = self.weights_region
        return (self.code_region,) if weights is None else (self.code_region, weights)

    @property
    def used_regions(self) -> tuple[str, ...]:
        """Names of all regions that a firmware uses, each once."""
        fast = () if self.fast_code_region is None else (self.fast_code_region,)
        return tuple(dict.fromkeys((*self.flash_regions, *self.sram_uses.values(), *fast)))

    @property
    def flash_bytes(self) -> int:
        """Flash that a firmware can use: the sum of its regions."""
        return sum(self.region(name).size_bytes for name in dict.fromkeys(self.flash_regions))

    @property
    def waits_per_weight_byte(self) -> float | None:
        """Cycles that the core waits for a byte of weights; None if they are not known."""
        return self.region(self.flash_regions[-1]).waits_per_byte


class SoftBounds(Value):
    """Bounds that a search aims at and may exceed (muNAS: Liberis et al., 2021, section 4.2).

    Null is no bound, and the metric is then no objective.

    Args:
        error_percent: classification error.
        sram_bytes: SRAM of the whole firmware.
        flash_bytes: flash of the whole firmware.
        macs: multiply-accumulates of an image.
        milliseconds: modelled time of an image, at its upper end.
    """

    error_percent: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    sram_bytes: PositiveBytes | None = None
    flash_bytes: PositiveBytes | None = None
    macs: Macs | None = None
    milliseconds: Milliseconds | None = None


class BudgetConfig(Value):
    """Memory, work and time that a firmware may take.

    Args:
        sram_bytes: SRAM; null is all that the device has.
        flash_bytes: flash; null is all that the device has.
        weights_bytes: weights with their tables and constants, without code, as published sizes of
            networks count; null is all of their region.
        macs: multiply-accumulates of an image; null is no limit.
        milliseconds: modelled time of an image, at its upper end; null is no limit.
        soft: bounds that strategies with a scalarisation aim at; null takes those above.
        memory_model: ``flash`` counts the SRAM of the firmware, whose kernels read weights in
            flash; ``staged`` adds the largest weight matrix of a block, as if it were copied to
            SRAM (MCUFormer, section 3.1).
    """

    later: ClassVar[tuple[str, ...]] = ("memory_model", "weights_bytes")

    sram_bytes: PositiveBytes | None = None
    flash_bytes: PositiveBytes | None = None
    weights_bytes: PositiveBytes | None = None
    macs: Macs | None = None
    milliseconds: Milliseconds | None = None
    soft: SoftBounds | None = None
    memory_model: MemoryModel = "flash"


class SramShare(Value):
    """A region of SRAM, and what of a firmware it holds.

    Args:
        region: name of the region.
        size_bytes: its size.
        uses: what shares it.
    """

    region: RegionName
    size_bytes: PositiveBytes
    uses: tuple[SramUse, ...]


class Budget(Value):
    """Hard limits on the memory, the work and the time of a whole firmware.

    Args:
        sram_bytes: limit of both arenas, staged weights, static data and stack together.
        flash_bytes: limit of weights and code together.
        sram_shares: the regions of SRAM; none may overflow, whatever their sum is.
        code_bytes: size of the code's region.
        weights_bytes: limit of the weights, at most the size of their region.
        milliseconds: limit of the modelled time of an image, at its upper end; null is none.
        macs: limit of the multiply-accumulates of an image; null is none.
        memory_model: whether staged weights count, see :class:`BudgetConfig`.
    """

    later: ClassVar[tuple[str, ...]] = ("memory_model",)

    sram_bytes: PositiveInt
    flash_bytes: PositiveInt
    sram_shares: tuple[SramShare, ...]
    code_bytes: PositiveInt
    weights_bytes: PositiveInt
    milliseconds: Milliseconds | None = None
    macs: Macs | None = None
    memory_model: MemoryModel = "flash"

    @classmethod
    def of(cls, config: BudgetConfig, device: Device) -> Budget:
        """Resolve a configured budget on `device`.

        Raises:
            BudgetError: the budget exceeds the device's memory, or limits a time that cannot be
                modelled.
        """
        if config.milliseconds is not None and device.waits_per_weight_byte is None:
            raise BudgetError(
                f"the time is not modelled without line_bytes and line_wait_cycles of region "
                f"{device.flash_regions[-1]} of {device.name}",
                where="budget.milliseconds",
                got=config.milliseconds,
                expected="null",
            )
        limits, uses = {}, device.sram_uses
        sizes = {
            "sram_bytes": device.sram_bytes,
            "flash_bytes": device.flash_bytes,
            "weights_bytes": device.region(device.flash_regions[-1]).size_bytes,
        }
        for field, size in sizes.items():
            allowed = getattr(config, field)
            if allowed is not None and allowed > size:
                raise BudgetError(
                    f"more than {device.name} has",
                    where=f"budget.{field}",
                    got=allowed,
                    expected=f"at most {size}",
                )
            limits[field] = size if allowed is None else allowed
        return cls(
            **limits,
            sram_shares=tuple(
                SramShare(
                    region=name,
                    size_bytes=device.region(name).size_bytes,
                    uses=tuple(use for use, region in uses.items() if region == name),
                )
                for name in dict.fromkeys(uses.values())
            ),
            code_bytes=device.region(device.flash_regions[0]).size_bytes,
            milliseconds=config.milliseconds,
            macs=config.macs,
            memory_model=config.memory_model,
        )
