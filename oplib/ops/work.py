"""A model of a call's work: cycles of each core, and bytes of constants.

A constant is a number of instructions times that of cycles per instruction. Instructions: fitted to
what ten small networks and five of ``tools/bench_network.py`` executed in the emulator, which they
give within 2.5 %. Cycles per instruction: 0.95 (M7), 1.385 (M4) and 1.70 (M3) by published pipeline
rules (LLVM's ARMScheduleM7.td; the technical reference manuals of M4 and M3), and 1.26 (M0+), which
is the product's loop by the manual's table, with a multiplier of one cycle. No chip was timed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.device import Core


@dataclass(frozen=True)
class Cycles:
    """Cycles on each core, without waiting for memory.

    Args:
        m0plus: cycles of a Cortex-M0+.
        m3: cycles of a Cortex-M3.
        m4: cycles of a Cortex-M4.
        m7: cycles of a Cortex-M7.
    """

    m0plus: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    m7: float = 0.0

    def __add__(self, other: Cycles) -> Cycles:
        return Cycles(
            self.m0plus + other.m0plus, self.m3 + other.m3, self.m4 + other.m4, self.m7 + other.m7
        )

    def __mul__(self, count: float) -> Cycles:
        return Cycles(self.m0plus * count, self.m3 * count, self.m4 * count, self.m7 * count)

    __rmul__ = __mul__

    def on(self, core: Core) -> float:
        """Return the cycles on one core."""
        match core:
            case "cortex-m0plus":
                return self.m0plus
            case "cortex-m3":
                return self.m3
            case "cortex-m4":
                return self.m4
            case "cortex-m7":
                return self.m7


# m0plus, m3, m4, m7
PER_MAC = Cycles(7.19, 3.40, 1.16, 0.794)  # inputs in a tile
PER_MAC_UNTILED = Cycles(22.6, 4.28, 2.32, 1.59)  # inputs read in pairs
PER_OUTPUT = Cycles(88.4, 42.9, 17.2, 11.8)  # requantise and store an output of a product
PER_PACKED_INPUT = Cycles(11.7, 6.8, 1.91, 1.31)  # write an input into a tile
PER_PACKED_BYTE = Cycles(36.3, 24.9, 22.6, 15.5)  # write a key or value in the layout of weights
PER_NORM_ELEMENT = Cycles(223.0, 56.7, 19.0, 13.0)
PER_SCORE = Cycles(128.0, 66.6, 24.2, 16.6)  # requantisation and softmax
PER_ELEMENT = Cycles(33.8, 30.5, 13.9, 9.54)  # an operator that works element by element
PER_EPILOGUE_ELEMENT = Cycles(12.9, 10.6, 3.47, 2.38)  # such an operator in a product's epilogue


@dataclass(frozen=True)
class Work:
    """The modelled work of a call.

    Args:
        cycles: cycles of the core.
        bytes_read: bytes of constants that leave their memory where a data cache holds what is read
            again at once; every tile of tokens reads weights again.
        bytes_reread: bytes read in addition where there is no such cache.
    """

    cycles: Cycles = Cycles()
    bytes_read: int = 0
    bytes_reread: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.cycles + other.cycles,
            self.bytes_read + other.bytes_read,
            self.bytes_reread + other.bytes_reread,
        )

    def times(self, count: int) -> Work:
        """Return the work of `count` repetitions."""
        return Work(self.cycles * count, self.bytes_read * count, self.bytes_reread * count)
