"""What a firmware takes of a device: memory and time."""

from __future__ import annotations

from mcuformer.device import Budget, SramShare, SramUse
from mcuformer.limits import ByteCount
from mcuformer.value import Value

NOT_MODELLED = "not modelled: the device file has no figures of the weights' memory"


class Footprint(Value):
    """Memory of a firmware, as the exporter's planner predicts it or the linker measures it.

    SRAM = arena + fast arena + staged weights + static data + stack; flash = weights + code.

    Args:
        arena_bytes: tensors and scratch buffers.
        fast_bytes: those in the fast arena, in a region of its own.
        static_bytes: static data.
        stack_bytes: stack, reserved or measured.
        weights_bytes: weights, tables and requantisation constants.
        code_bytes: code.
        staged_bytes: weights that are counted as if they were copied to the arena's region; 0 in
            every firmware, and in a plan unless ``budget.memory_model=staged``.
    """

    arena_bytes: ByteCount
    fast_bytes: ByteCount
    static_bytes: ByteCount
    stack_bytes: ByteCount
    weights_bytes: ByteCount
    code_bytes: ByteCount
    staged_bytes: ByteCount = 0

    @property
    def sram_bytes(self) -> int:
        """SRAM that counts against a budget."""
        return sum(self._sram_uses.values())

    @property
    def firmware_sram_bytes(self) -> int:
        """SRAM of the firmware, which reads its weights in flash."""
        return self.sram_bytes - self.staged_bytes

    @property
    def _sram_uses(self) -> dict[SramUse, int]:
        """Bytes of each use of SRAM."""
        return {
            "arena": self.arena_bytes + self.staged_bytes,
            "fast": self.fast_bytes,
            "data": self.static_bytes + self.stack_bytes,
        }

    @property
    def flash_bytes(self) -> int:
        """Flash of the whole firmware."""
        return self.weights_bytes + self.code_bytes

    def exceeds(self, budget: Budget) -> tuple[bool, bool]:
        """Return whether (SRAM, flash) exceed the budget, in sum or in a region of theirs."""
        over_sram = self.sram_bytes > budget.sram_bytes or bool(self.overflowing(budget))
        over_flash = self.flash_bytes > budget.flash_bytes
        over_region = (
            self.code_bytes > budget.code_bytes or self.weights_bytes > budget.weights_bytes
        )
        return over_sram, over_flash or over_region

    def held_by(self, share: SramShare) -> int:
        """Return the bytes of a firmware that lie in a region of SRAM."""
        return sum(self._sram_uses[use] for use in share.uses)

    def overflowing(self, budget: Budget) -> list[SramShare]:
        """Return the regions of SRAM that are too small for what they would hold."""
        return [share for share in budget.sram_shares if self.held_by(share) > share.size_bytes]


class ModelledTime(Value):
    """Time of an image by a model, as an interval.

    The core waits for its weights at best while it computes, and at worst apart from that.

    Args:
        cycles_modelled: cycles of the core, without waiting for memory.
        ms_cpu: these in milliseconds.
        ms_memory: milliseconds that the memory of the weights takes.
        ms_low: the larger of the two.
        ms_high: their sum.
    """

    cycles_modelled: int
    ms_cpu: float
    ms_memory: float
    ms_low: float
    ms_high: float

    @classmethod
    def of(cls, cycles: float, waits: float, clock_hz: int) -> ModelledTime:
        """Return the time of so many cycles of the core and of waiting for its memory."""
        cpu, memory = (round(1e3 * count / clock_hz, 4) for count in (cycles, waits))
        return cls(
            cycles_modelled=round(cycles),
            ms_cpu=cpu,
            ms_memory=memory,
            ms_low=max(cpu, memory),
            ms_high=round(cpu + memory, 4),
        )

    def describe(self) -> str:
        """Return the interval and both terms.

        >>> ModelledTime.of(2_000_000, 500_000, 1_000_000).describe()
        '2,000.0 to 2,500.0 ms (core 2,000.0, memory 500.0)'
        """
        interval = f"{self.ms_low:,.1f} to {self.ms_high:,.1f} ms"
        return f"{interval} (core {self.ms_cpu:,.1f}, memory {self.ms_memory:,.1f})"


class Cost(Value):
    """What a firmware takes of a device.

    Args:
        footprint: memory.
        time: modelled time of an image; null if the device's memory has no figures.
        macs: multiply-accumulates of an image.
    """

    footprint: Footprint
    time: ModelledTime | None
    macs: int

    @property
    def ms_high(self) -> float | None:
        """Upper end of the modelled time in milliseconds; None if it is not modelled."""
        return None if self.time is None else self.time.ms_high

    def too_slow(self, budget: Budget) -> bool:
        """Return whether the modelled time, or the work behind it, exceeds the budget."""
        limit, high = budget.milliseconds, self.ms_high
        late = limit is not None and (high is None or high > limit)
        return late or (budget.macs is not None and self.macs > budget.macs)

    def admissible(self, budget: Budget) -> bool:
        """Return whether the budget holds."""
        return not (any(self.footprint.exceeds(budget)) or self.too_slow(budget))
