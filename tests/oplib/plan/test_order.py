"""Least peaks against a published example, all permutations, an integer program and the planner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from mcuformer.errors import PlanError
from mcuformer.space import SearchSpace
from oplib.forms import Forms, Passes
from oplib.graph import NO_ATTRIBUTES, Graph, Node, TensorType
from oplib.network.builder import build_graph
from oplib.plan.arena import plan_memory
from oplib.plan.order import MUNAS, PLANNER, peak_in_order, peak_over_orders
from oplib.plan.passes.overwrite_tokens import overwrite_tokens
from oplib.plan.schedule import schedule

OPAQUE = "mean_pool"  # stands for any operator; muNAS's count asks it for nothing
WITH_IMAGE = replace(MUNAS, image=True)


def graph_of(sizes: Sequence[int], readers: Sequence[Sequence[int]], add: Sequence[int]) -> Graph:
    """Return a graph whose node i reads the tensors `readers[i]` and writes tensor i + 1.

    Tensor 0 is the network's input, the last one its output; the nodes in `add` are additions.
    """
    tensors = {f"t{index}": TensorType((size,)) for index, size in enumerate(sizes)}
    nodes = [
        Node(
            f"n{index}",
            "add" if index in add else OPAQUE,
            tuple(f"t{name}" for name in names),
            f"t{index + 1}",
            NO_ATTRIBUTES,
        )
        for index, names in enumerate(readers)
    ]
    return Graph(tensors, tuple(nodes), "t0", f"t{len(sizes) - 1}")


def reordered(graph: Graph, order: Sequence[int]) -> Graph:
    return replace(graph, nodes=tuple(graph.nodes[index] for index in order))


def test_the_example_of_munas() -> None:
    """Figure 1: 5,216 bytes from operator 1 to 7, 4,960 with the fifth in front of the third.

    Maps that have these peaks: 7x7x32, 7x7x64, 7x7x32, 4x4x32, three of 4x4x16, and two of them
    concatenated. Where the third operator runs, 7x7x64 + 7x7x32 + 4x4x32 bytes are live; where the
    fifth runs, 7x7x64 + 7x7x32 + 4x4x16.
    """
    sizes = [7 * 7 * 32, 7 * 7 * 64, 7 * 7 * 32, 4 * 4 * 32, 256, 256, 256, 512]
    graph = graph_of(sizes, [(0,), (1,), (2,), (3,), (1,), (5,), (4, 6)], add=())
    assert peak_in_order(graph, WITH_IMAGE) == 5216
    assert peak_in_order(reordered(graph, [0, 1, 4, 2, 3, 5, 6]), WITH_IMAGE) == 4960
    best = peak_over_orders(graph, WITH_IMAGE)
    assert best.peak_bytes == 4960
    assert peak_in_order(best.graph, WITH_IMAGE) == 4960


def live_by_definition(graph: Graph, *, image: bool) -> int:
    """Return the peak of muNAS's working sets, from the position of each tensor's uses."""
    nodes = graph.nodes
    peak = 0
    for step, node in enumerate(nodes):
        total = 0
        for name, kind in graph.tensors.items():
            written = [i for i, other in enumerate(nodes) if other.output == name]
            first = written[0] if written else 0
            last = max([first, *(i for i, other in enumerate(nodes) if name in other.inputs)])
            last = len(nodes) if name == graph.output else last
            if first <= step <= last and (image or name != graph.input):
                total += kind.num_bytes
        dying = [
            name
            for name in node.inputs
            if not any(name in other.inputs for other in nodes[step + 1 :])
            and name != graph.output
            and node.inputs.count(name) == 1
            and graph.tensors[name] == graph.tensors[node.output]
            and (image or name != graph.input)
        ]
        if node.op == "add" and dying:
            total -= graph.tensors[node.output].num_bytes
        peak = max(peak, total)
    return peak


def topological_orders(graph: Graph, done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    known = {graph.input} | {graph.nodes[index].output for index in done}
    if len(done) == len(graph.nodes):
        yield done
    for index, node in enumerate(graph.nodes):
        if index not in done and known.issuperset(node.inputs):
            yield from topological_orders(graph, (*done, index))


@st.composite
def graphs(draw: st.DrawFn, most: int, sizes: Sequence[int], additions: bool) -> Graph:
    count = draw(st.integers(1, most))
    readers = [
        tuple(draw(st.lists(st.integers(0, index), min_size=1, max_size=3)))
        for index in range(count)
    ]
    drawn = [draw(st.sampled_from(sizes)) for _ in range(count + 1)]
    add = [i for i, names in enumerate(readers) if len(names) == 2] if additions else []
    return graph_of(drawn, readers, add)


@settings(deadline=None, max_examples=60)
@given(graph=graphs(7, (1, 2, 3, 5, 8), additions=True), image=st.booleans())
@example(graph=graph_of([2, 2, 2, 1], [(0,), (1, 0), (0, 1)], add=(1, 2)), image=True)
def test_no_order_is_better(graph: Graph, image: bool) -> None:
    """Every topological order of up to seven nodes; additions accumulate into a dying input."""
    counting = replace(MUNAS, image=image)
    orders = [reordered(graph, order) for order in topological_orders(graph)]
    peaks = [live_by_definition(order, image=image) for order in orders]
    found = peak_over_orders(graph, counting)
    assert found.peak_bytes == min(peaks)
    assert live_by_definition(found.graph, image=image) == min(peaks)
    assert found.graph.nodes in [order.nodes for order in orders]
    assert peak_in_order(graph, counting) == live_by_definition(graph, image=image)


def least_peak_by_program(graph: Graph) -> int:
    """Return the least peak of a graph without additions, by an integer program.

    Variables: x[i, k] = 1 if node i has run by step k; y[t, k] = 1 if tensor t is live at step k;
    the peak m. A tensor is live from the step of its writer to that of its last reader:
    y[t, k] >= x[writer, k] - x[reader, k - 1]. One node runs per step, after those whose outputs
    it reads.
    """
    nodes, names = graph.nodes, list(graph.tensors)
    count = len(nodes)
    num_x, num_y = count * count, len(names) * count
    writers = {node.output: index for index, node in enumerate(nodes)}
    rows, lower, upper = [], [], []

    def constrain(terms: dict[int, float], low: float, high: float) -> None:
        row = np.zeros(num_x + num_y + 1)
        for index, value in terms.items():
            row[index] += value
        rows.append(row)
        lower.append(low)
        upper.append(high)

    for step in range(count):
        constrain({i * count + step: 1 for i in range(count)}, step + 1, step + 1)
        live = {num_x + t * count + step: -graph.tensors[n].num_bytes for t, n in enumerate(names)}
        constrain({**live, num_x + num_y: 1}, 0, np.inf)
        for i, node in enumerate(nodes):
            if step:
                constrain({i * count + step: 1, i * count + step - 1: -1}, 0, 1)
            for name in node.inputs:
                if name in writers and step:
                    constrain({writers[name] * count + step - 1: 1, i * count + step: -1}, 0, 1)
                elif name in writers:
                    constrain({i * count: 1}, 0, 0)
        for t, name in enumerate(names):
            written = {writers[name] * count + step: -1.0} if name in writers else {}
            here = {num_x + t * count + step: 1.0, **written}
            start = -1.0 if not written else 0.0  # the input is there before all nodes
            ends = [i for i, node in enumerate(nodes) if name in node.inputs]
            if name == graph.output:
                constrain(here, -start, np.inf)
                continue
            for end in ends or [writers[name]] if written or ends else []:
                before = {end * count + step - 1: 1.0} if step else {}
                constrain({**here, **before}, -start, np.inf)
    objective = np.zeros(num_x + num_y + 1)
    objective[-1] = 1
    solution = milp(
        objective,
        constraints=LinearConstraint(np.array(rows), lower, upper),
        integrality=np.ones(len(objective)),
        bounds=Bounds(0, np.r_[np.ones(num_x + num_y), np.inf]),
    )
    return round(solution.fun)


@settings(deadline=None, max_examples=25)
@given(graph=graphs(8, (1, 2, 3, 5, 8), additions=False))
def test_an_integer_program_agrees(graph: Graph) -> None:
    assert peak_over_orders(graph, WITH_IMAGE).peak_bytes == least_peak_by_program(graph)


def fan(large: Sequence[int], small: Sequence[int]) -> Graph:
    """Return branches from the input: a large tensor, then a small one; all small ones are joined.

    Their order in the graph is the worst: one layer of the branches after the other.
    """
    count = len(large)
    readers = [(0,)] * count + [(1 + branch,) for branch in range(count)]
    joined = tuple(range(count + 1, 2 * count + 1))
    return graph_of([1, *large, *small, 1], [*readers, joined], add=())


def test_twenty_branches(rng: np.random.Generator) -> None:
    """Liu (1987): a branch at a time, from the one that frees most, is the least peak.

    A branch of a large tensor L and then a small one S peaks at L + S beside the small ones that
    wait, and frees L.
    """
    large, small = rng.integers(40, 100, 20), rng.integers(1, 30, 20)
    order = np.argsort(-large)
    waiting = list(accumulate(small[order]))
    expected = max(*(waiting + large[order]), waiting[-1] + 1)
    graph = fan([int(size) for size in large], [int(size) for size in small])
    assert peak_over_orders(graph, MUNAS).peak_bytes == expected
    assert peak_in_order(graph, MUNAS) > 2 * expected


def test_a_scheduled_overwriting_is_kept() -> None:
    """Node 2 writes 12 bytes over tensor 1 of 8, so node 1 reads it first and its 50 bytes wait.

    Were node 1 to run third, 8 + 1 + 50 bytes would be the peak.
    """
    graph = graph_of([1, 8, 50, 12, 1, 1], [(0,), (1,), (1,), (3,), (2, 4)], add=())
    nodes = [replace(n, overwrites=0 if i in (2, 3) else None) for i, n in enumerate(graph.nodes)]
    found = peak_over_orders(replace(graph, nodes=tuple(nodes)), MUNAS)
    assert found.peak_bytes == 50 + 12
    assert [node.name for node in found.graph.nodes] == ["n0", "n1", "n2", "n3", "n4"]


def test_a_graph_beyond_the_limit_is_refused() -> None:
    """The search for twelve branches visits more than four sets."""
    graph = fan(range(40, 52), range(12))
    own = peak_in_order(graph, MUNAS)
    with pytest.raises(PlanError, match=f"the graph's own order peaks at {own} bytes") as caught:
        peak_over_orders(graph, MUNAS, max_states=4)
    assert "expected at most 4" in str(caught.value)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), stream=st.booleans(), strip=st.booleans())
def test_the_planner_counts_the_same(
    digits_space: SearchSpace, seed: int, stream: bool, strip: bool
) -> None:
    """Before scheduling, and for scheduled calls, whose overwriting is fixed."""
    rng = np.random.default_rng(seed)
    points = digits_space.points()
    subnet = digits_space.sample(points[int(rng.integers(len(points)))], rng)
    graph = build_graph(subnet)
    assert peak_in_order(graph, PLANNER) == plan_memory(overwrite_tokens(graph)).lower_bound_bytes
    passes = Passes(stream_tokens=stream, input="strip" if strip else "image")
    calls = schedule(subnet, Forms(passes=passes)).calls
    assert peak_in_order(calls, PLANNER) == plan_memory(calls).lower_bound_bytes
