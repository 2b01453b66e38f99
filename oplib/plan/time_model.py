"""A model of time: cycles of the core, and its waits for the memory that holds the weights.

Every operator models its own work (:meth:`oplib.ops.base.Operator.work`); this module adds it up
and turns it into milliseconds on a device. Source of the figures: :mod:`oplib.plan.cycles`,
and the manuals that the device files name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mcuformer.cost import ModelledTime
from mcuformer.device import Core, Device
from oplib.graph import Graph, Node
from oplib.ops.fused import FusedOperator
from oplib.ops.registry import OPERATORS
from oplib.ops.work import Work
from oplib.plan.cycles import CYCLES

SMALLEST_CACHE = 4096  # bytes; holds two rows of weights


@dataclass(frozen=True)
class TimeModel:
    """What the time of a schedule depends on besides its work.

    Args:
        core: the core that computes.
        clock_hz: its clock.
        waits_per_byte: cycles that it waits for a byte of weights; None if that is not known.
        cached: whether a data cache keeps what is read again at once.
        cpi_scale: factor on the cycles of the core.
    """

    core: Core
    clock_hz: int
    waits_per_byte: float | None
    cached: bool
    cpi_scale: float = 1.0

    @classmethod
    def of(cls, device: Device) -> TimeModel:
        """Return the model of a device."""
        cached = device.data_cache_bytes >= SMALLEST_CACHE
        waits = device.waits_per_weight_byte
        return cls(device.core, device.clock_hz, waits, cached, device.cpi_scale)

    def cost_of(self, work: Work) -> float:
        """Return the cycles by which schedules are ranked: the upper end of the modelled time.

        Without figures of the memory it is the core's cycles alone.
        """
        return self._cycles(work) + self._waits(work)

    def time(self, work: Work) -> ModelledTime | None:
        """Return the modelled time of some work, or None without figures of the memory."""
        if self.waits_per_byte is None:
            return None
        return ModelledTime.of(self._cycles(work), self._waits(work), self.clock_hz)

    def _cycles(self, work: Work) -> float:
        """Return the cycles of the core without waiting."""
        pairs = zip(work.units, CYCLES[self.core], strict=True)
        return self.cpi_scale * sum(count * cycles for count, cycles in pairs)

    def _waits(self, work: Work) -> float:
        """Return the cycles spent waiting for weights."""
        read = work.bytes_read if self.cached else work.bytes_loaded
        return read * (self.waits_per_byte or 0.0)


DEFAULT_TIMING = TimeModel("cortex-m7", 216_000_000, 7 / 32, cached=True)
"""An STM32F746 with its weights in internal flash: ranks schedules where no device is given."""


def node_work(graph: Graph, node: Node) -> Work:
    """Return the modelled work of one call: its own, or that of all its parts."""
    operator = OPERATORS[node.op]
    if not isinstance(operator, FusedOperator):
        return operator.work(node, graph.tensors)
    tokens = graph.tensors[node.output].shape[0]
    total = Work()
    for role, part in node.parts.items():
        own, inputs = OPERATORS[part.op], graph.inputs_of(part)
        work = own.work(part, graph.tensors, inside=role not in operator.packs)
        work = work.times(operator.repeats(node, role))
        passes = operator.passes(node, role, tokens)
        if passes is not None:
            constants = sum(spec.num_bytes for spec in own.array_specs(part, inputs))
            work = work.reading(int(constants * passes))
        total += work
    return total


def work_of(graph: Graph, nodes: Iterable[Node]) -> Work:
    """Return the modelled work of some calls of a scheduled graph."""
    return sum((node_work(graph, node) for node in nodes), Work())


def weights_bytes(graph: Graph, nodes: Iterable[Node]) -> int:
    """Return the bytes of the nodes' constant arrays in flash, tables and multipliers included."""
    return sum(
        spec.num_bytes
        for node in nodes
        for part in node.leaves
        for spec in OPERATORS[part.op].array_specs(part, graph.inputs_of(part))
    )


def least_work(graph: Graph) -> Work:
    """Return the work of a graph whose panels are so wide that every constant is read once."""
    return work_of(graph, graph.nodes).reading(weights_bytes(graph, graph.nodes))


def flash_bytes_read(graph: Graph) -> int:
    """Return the bytes of constants that a scheduled graph reads; every panel reads them again."""
    return work_of(graph, graph.nodes).bytes_read
