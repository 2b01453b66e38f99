"""A model of a call's work: instructions executed and constants read.

The model ranks variants of a schedule; it is not a measurement. Its constants are rounded counts of
instructions on a Cortex-M7 from ``tools/bench_kernels.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

PER_MAC = 0.87  # inputs in a tile
PER_MAC_UNTILED = 1.6  # inputs read in pairs
PER_OUTPUT = 7.0  # requantise and store an output of a product
PER_PACKED_INPUT = 1.2  # write an input into a tile
PER_PACKED_BYTE = 9.0  # write a key or value in the layout of weights
PER_NORM_ELEMENT = 12.0
PER_SCORE = 8.5  # requantisation and softmax
PER_ELEMENT = 8.0  # an operator that works element by element
PER_EPILOGUE_ELEMENT = 3.0  # such an operator in the epilogue of a product


@dataclass(frozen=True)
class Work:
    """The modelled work of a call.

    Args:
        instructions: number of instructions executed.
        bytes_read: bytes of constants read from flash. Every panel of tokens reads them again;
            within a panel they come from the data cache.
    """

    instructions: float = 0.0
    bytes_read: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.instructions + other.instructions, self.bytes_read + other.bytes_read)
