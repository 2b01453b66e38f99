"""A call's work: how often it does what costs time, and the bytes of constants that it reads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import add, attrgetter
from typing import Any


@dataclass(frozen=True)
class Work:
    """The work of a call, by kind; `oplib/plan/cycles.py` has the cycles of each.

    Args:
        products: multiply-accumulates whose inputs are in a tile.
        paired_products: multiply-accumulates whose inputs are read in pairs.
        outputs: outputs of a product that are requantised and stored.
        packed_inputs: inputs written into a tile.
        packed_bytes: keys and values written in the layout of weights.
        norm_elements: elements normalised.
        scores: scores of attention, requantised and taken through the softmax.
        elements: elements of an operator that works element by element.
        epilogue_elements: elements of such an operator in the epilogue of a product.
        bytes_read: bytes of constants that leave their memory. Every panel of tokens reads them
            again; within a panel they come from the data cache.
        bytes_reread: bytes that leave it in addition where there is no such cache.
    """

    products: float = 0
    paired_products: float = 0
    outputs: float = 0
    packed_inputs: float = 0
    packed_bytes: float = 0
    norm_elements: float = 0
    scores: float = 0
    elements: float = 0
    epilogue_elements: float = 0
    bytes_read: int = 0
    bytes_reread: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, _COUNTS(self), _COUNTS(other)))

    def times(self, count: int) -> Work:
        """Return the work of `count` repetitions."""
        return self if count == 1 else Work(*(count * number for number in _COUNTS(self)))

    @property
    def bytes_loaded(self) -> int:
        """Bytes of constants that the core loads, from a cache or not."""
        return self.bytes_read + self.bytes_reread

    def reading(self, bytes_read: int) -> Work:
        """Return this work if so many of the bytes that the core loads leave their memory."""
        counts: Any = (*self.units, bytes_read, self.bytes_loaded - bytes_read)
        return Work(*counts)

    @property
    def units(self) -> tuple[float, ...]:
        """The numbers of :data:`UNITS`, in their order."""
        return _COUNTS(self)[: len(UNITS)]


_NAMES = tuple(field.name for field in fields(Work))
_COUNTS = attrgetter(*_NAMES)
UNITS = _NAMES[:-2]
"""Names of the kinds of work that take cycles of the core."""
