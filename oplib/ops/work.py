"""A model of a call's work: instructions executed and constants read.

The model ranks variants of a schedule; it is no measurement. Its constants are instructions on a
Cortex-M7, rounded, from ``tools/bench_kernels.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

PER_MAC = 0.87  # of inputs in a tile
PER_MAC_UNTILED = 1.6  # of inputs read in pairs
PER_OUTPUT = 7.0  # of a product: requantised and stored
PER_PACKED_INPUT = 1.2  # written into a tile
PER_PACKED_BYTE = 9.0  # of keys and values, written in the layout of weights
PER_NORM_ELEMENT = 12.0
PER_SCORE = 8.5  # requantisation and softmax
PER_ELEMENT = 8.0  # of an operator that works element by element
PER_EPILOGUE_ELEMENT = 3.0  # the same in the epilogue of a product


@dataclass(frozen=True)
class Work:
    """What a call does.

    Args:
        instructions: executed.
        bytes_read: constants read from flash; every tile of tokens reads them anew.
    """

    instructions: float = 0.0
    bytes_read: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.instructions + other.instructions, self.bytes_read + other.bytes_read)

    def times(self, count: int) -> Work:
        """Return the work of `count` repetitions."""
        return Work(self.instructions * count, self.bytes_read * count)
