"""The order of execution with the least peak of live bytes, over all orders of a graph.

Source: muNAS (Liberis, Dudziak and Lane, 2021), whose peak memory usage is this minimum. A state is
a set of computed nodes: it decides which tensors are live. The search goes backwards from the set
of all nodes, as muNAS does, and visits states in order of the peak on the way: Dijkstra's algorithm
with a maximum in place of the sum.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from mcuformer.errors import InternalError, PlanError
from oplib.graph import Graph, Node
from oplib.ops.add import Add
from oplib.ops.base import align
from oplib.ops.elementwise import Elementwise
from oplib.ops.registry import OPERATORS
from oplib.plan.arena import arena_tensors

MAX_STATES = 2**20  # all sets of 20 tensors


@dataclass(frozen=True)
class Counting:
    """What counts as live while a node runs, besides its inputs, its output and what waits.

    Weights never count. An output over an input that dies with it counts as the larger of the two.

    Args:
        image: whether the network's input counts.
        scratch: whether the working memory of kernels counts.
        overwriting: outputs that may take over an input that dies: those of additions and
            activations, or all that their kernels allow.
        aligned: whether every buffer is padded to the arena's alignment.
    """

    image: bool
    scratch: bool
    overwriting: Literal["elementwise", "all"]
    aligned: bool


# muNAS's additions accumulate into an input; its activations are part of the layer before.
MUNAS = Counting(image=False, scratch=False, overwriting="elementwise", aligned=False)
PLANNER = Counting(image=True, scratch=True, overwriting="all", aligned=True)


@dataclass(frozen=True)
class Order:
    """An order of execution.

    Args:
        graph: the graph with its nodes in that order.
        peak_bytes: the most bytes that are live at a node.
    """

    graph: Graph
    peak_bytes: int


def peak_over_orders(graph: Graph, counting: Counting, max_states: int = MAX_STATES) -> Order:
    """Return the order with the least peak, exactly.

    A stretch of 20 tensors between two moments with a single live one has at most 2^20 states, so
    it is always within the limit. Larger graphs are if the search visits fewer.

    Args:
        graph: nodes in any topological order. A node with `overwrites` runs after all others that
            read that input.
        counting: what counts as live.
        max_states: most sets of computed nodes that are visited.

    Raises:
        PlanError: there are more, with the peak of the graph's own order.
    """
    memory = _Memory(graph, counting)
    order = _search(memory, max_states)
    if order is None:
        raise PlanError(
            "too many orders of execution for an exact peak; none was chosen, and the graph's own "
            f"order peaks at {peak_in_order(graph, counting)} bytes",
            where=f"graph of {len(graph.nodes)} nodes",
            got=f"more than {max_states} sets of computed nodes",
            expected=f"at most {max_states}, all sets of {max_states.bit_length() - 1} tensors",
        )
    return memory.order(order)


def peak_in_order(graph: Graph, counting: Counting) -> int:
    """Return the most live bytes in the graph's own order; arguments as for peak_over_orders."""
    return _Memory(graph, counting).order(range(len(graph.nodes))).peak_bytes


class _State(NamedTuple):
    """A set of computed nodes; states are sorted by the bytes, then the nodes.

    Args:
        live: live bytes after the last of them.
        done: bit i is set if node i is computed.
    """

    live: int
    done: int


class _Memory:
    """The live bytes of a graph's nodes, in any order. Sets of nodes are bits of an integer."""

    def __init__(self, graph: Graph, counting: Counting) -> None:
        self.graph, self.counting = graph, counting
        nodes = graph.nodes
        self.sizes = {}
        for name in arena_tensors(graph):
            if counting.image or name != graph.input:
                size = graph.tensors[name].num_bytes
                self.sizes[name] = align(size) if counting.aligned else size
        self.writer = {graph.input: 0} | {node.output: 1 << i for i, node in enumerate(nodes)}
        self.readers = dict.fromkeys(self.writer, 0)
        for index, node in enumerate(nodes):
            for name in node.inputs:
                self.readers[name] |= 1 << index
        self.before = [self._before(index, node) for index, node in enumerate(nodes)]
        self.after = [0] * len(nodes)
        for index, before in enumerate(self.before):
            for other in _bits(before):
                self.after[other] |= 1 << index
        self.own = [self._output_and_scratch(node) for node in nodes]
        self.covers = [dict(self._covers(node)) for node in nodes]

    def _before(self, index: int, node: Node) -> int:
        """Return the nodes that must run directly before a node: its writers, and other readers."""
        before = 0
        for name in node.inputs:
            before |= self.writer[name]
        if node.overwrites is not None:
            before |= self.readers[node.inputs[node.overwrites]] & ~(1 << index)
        return before

    def _output_and_scratch(self, node: Node) -> int:
        """Return the bytes of a node that no order changes."""
        size = self.sizes[node.output]
        if self.counting.scratch:
            size += OPERATORS[node.op].scratch_bytes(node, self.graph.inputs_of(node))
        return size

    def _covers(self, node: Node) -> Iterator[tuple[str, int]]:
        """Yield the inputs that the output may take over, and how many of their bytes it covers."""
        operator, tensors = OPERATORS[node.op], self.graph.tensors
        target = tensors[node.output]
        wanted = self.counting.overwriting == "all" or isinstance(operator, Add | Elementwise)
        positions: Sequence[int] = operator.in_place if wanted else ()
        if node.overwrites is not None:
            positions = (node.overwrites,)
        for name in (node.inputs[position] for position in positions):
            fits = node.overwrites is not None or (
                node.inputs.count(name) == 1 and operator.can_overwrite(node, tensors[name], target)
            )
            if fits and name in self.sizes:
                covered = max(0, self.sizes[node.output] - node.below)
                yield name, min(self.sizes[name], covered)

    def end(self) -> _State:
        """Return the state after the last node."""
        return _State(self.sizes[self.graph.output], (1 << len(self.before)) - 1)

    def last(self, state: _State) -> list[int]:
        """Return the nodes that can be the last to have run."""
        return [i for i in _bits(state.done) if not self.after[i] & state.done]

    def undo(self, state: _State, index: int) -> tuple[int, _State]:
        """Return the live bytes while the last node runs, and the state before it."""
        node, output = self.graph.nodes[index], self.graph.output
        # with the last of its readers a tensor dies
        dead = {
            name
            for name in node.inputs
            if name in self.sizes and not self.readers[name] & ~state.done and name != output
        }
        covers = self.covers[index].items()
        covered = max((size for name, size in covers if name in dead), default=0)
        live = state.live + sum(self.sizes[name] for name in dead)
        if self.readers[node.output] or node.output == output:
            live -= self.sizes[node.output]
        return live + self.own[index] - covered, _State(live, state.done & ~(1 << index))

    def least(self) -> int:
        """Return a number of bytes below which no order can peak."""
        # While a node runs, a tensor is live in every order if its writer must run earlier and a
        # reader is the node itself or must run later. An input that must be read later is not
        # covered by the output.
        earlier: list[int] = []
        for before in self.before:  # the graph's own order is a topological one
            earlier.append(before)
            for index in range(len(earlier) - 1):
                if before >> index & 1:
                    earlier[-1] |= earlier[index]
        least = 0
        for index, own in enumerate(self.own):
            later = sum(1 << i for i, nodes in enumerate(earlier) if nodes >> index & 1)
            waiting = later | 1 << index
            live = sum(
                size
                for name, size in self.sizes.items()
                if (name == self.graph.input or self.writer[name] & earlier[index])
                and (name == self.graph.output or self.readers[name] & waiting)
            )
            covers = self.covers[index].items()
            covered = max(
                (size for name, size in covers if not self.readers[name] & later), default=0
            )
            least = max(least, live + own - covered)
        return least

    def order(self, indices: Sequence[int]) -> Order:
        """Return the order in which the nodes of these indices run."""
        peak, state = 0, self.end()
        for index in reversed(indices):
            live, state = self.undo(state, index)
            peak = max(peak, live)
        nodes = tuple(self.graph.nodes[index] for index in indices)
        return Order(replace(self.graph, nodes=nodes), peak)


def _bits(nodes: int) -> Iterator[int]:
    """Yield the members of a set of nodes."""
    while nodes:
        lowest = nodes & -nodes
        yield lowest.bit_length() - 1
        nodes ^= lowest


def _search(memory: _Memory, max_states: int) -> list[int] | None:
    """Return the indices of the nodes in the order with the least peak, None beyond the limit."""
    end, least = memory.end(), memory.least()
    peaks = {end.done: least}  # of the best known way from each set of nodes to the end
    ways: dict[int, tuple[int, ...]] = {}  # the nodes that are undone on the way to a set
    waiting = [(least, end.done.bit_count(), end)]  # of equal peaks, the shortest rest first
    visited = 0
    while waiting:
        peak, _, state = heapq.heappop(waiting)
        if state.done == 0:
            return _indices(ways, end.done)
        if peak > peaks[state.done]:
            continue
        visited += 1
        if visited > max_states:
            return None
        for indices, live, before in _moves(memory, state, peak):
            new = max(peak, live)
            if new < peaks.get(before.done, new + 1):
                peaks[before.done] = new
                ways[before.done] = indices
                heapq.heappush(waiting, (new, before.done.bit_count(), before))
    raise InternalError("a graph without a topological order", got=f"{len(memory.before)} nodes")


# nodes to undo, in order of execution; a bound of the live bytes while they run; the state before
_Move = tuple[tuple[int, ...], int, _State]


def _moves(memory: _Memory, state: _State, peak: int) -> list[_Move]:
    """Return the nodes to undo next."""
    moves: list[_Move] = []
    for index in memory.last(state):
        safe = _safe(memory, state, index, peak)
        if safe is not None:
            return [safe]
        live, before = memory.undo(state, index)
        moves.append(((index,), live, before))
    return moves


def _safe(memory: _Memory, state: _State, index: int, peak: int) -> _Move | None:
    """Return nodes, each needed by the next, that some best order runs last; None if unknown."""
    # Let f be the live bytes after a set of nodes, S the state, A the state before the path, with
    # f(A) <= f(S) < f of the states between. In any order, move the path to the end. A node that
    # completed the set P, with the part Q of the path in it, now completes P - Q. A tensor is live
    # if its writer is in the set and not all of its readers are, so f is submodular:
    # f(P - Q) <= f(P) + f(A) - f(A + Q) <= f(P). While the node runs, live bytes are f after it and
    # the inputs that die with it, less what its output covers. No more of them die than before the
    # move, and none is covered by more than its size: so no other node has more live bytes.
    path: list[int] = []
    now = state
    while index >= 0:
        live, now = memory.undo(now, index)
        path.insert(0, index)
        if live > peak:
            break
        if now.live <= state.live:
            return tuple(path), peak, now
        needed = memory.before[index]
        index = next((i for i in _bits(needed) if not memory.after[i] & now.done), -1)
    return None


def _indices(ways: Mapping[int, tuple[int, ...]], end: int) -> list[int]:
    """Return the nodes in order, from the ways that lead from the end to the empty set."""
    indices: list[int] = []
    done = 0
    while done != end:
        indices += ways[done]
        for index in ways[done]:
            done |= 1 << index
    return indices
