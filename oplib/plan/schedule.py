"""Schedules of subnets: the graph, its kernel calls after the memory passes, and their plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import product

from mcuformer.errors import InternalError
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Graph
from oplib.network.builder import build_graph
from oplib.ops.base import align
from oplib.ops.work import Work
from oplib.plan.arena import (
    ONE_ARENA,
    FastRoom,
    Plan,
    plan_memory,
    scratch_bytes,
    stream_bytes,
)
from oplib.plan.panels import Ladder, ladders, widen, widest
from oplib.plan.passes.decompose_patch_embed import decompose_patch_embed
from oplib.plan.passes.integrate_operators import integrate_operators
from oplib.plan.passes.overwrite_image import overwrite_image
from oplib.plan.passes.overwrite_tokens import overwrite_tokens
from oplib.plan.passes.stream_tokenizer import stream_tokenizer
from oplib.plan.passes.stream_tokens import Variant, stream_tokens, streamable
from oplib.plan.passes.strip_input import strip_input
from oplib.plan.time_model import DEFAULT_TIMING, TimeModel, least_work


@dataclass(frozen=True)
class Schedule:
    """A network's calls, in order, and their memory.

    Args:
        graph: one node per operator; the references run it and weights are named after its nodes.
        calls: one node per kernel call, after the passes.
        plan: memory plan of the calls.
        subnet: key of the subnet.
    """

    graph: Graph
    calls: Graph
    plan: Plan
    subnet: str


@lru_cache(maxsize=4096)
def schedule(
    subnet: SubnetConfig,
    forms: Forms = DEFAULT_FORMS,
    arena_bytes: int | None = None,
    timing: TimeModel = DEFAULT_TIMING,
    fast: FastRoom = ONE_ARENA,
) -> Schedule:
    """Return the schedule of a subnet; no weights are needed.

    Blocks have variants: each half streamed, with more or fewer heads at a time, or layer by layer.
    So has the patch embedding: tokens over the image or apart. Every call takes the widest panel of
    tokens within the limit, and every block the variant with the least modelled time. Without a
    limit, or if no variant fits, the limit is the least peak that the network can have.

    Args:
        subnet: the network's shape.
        forms: forms of the integer operators and the passes that are on.
        arena_bytes: largest arena, as a budget leaves it; None asks for the least memory.
        timing: model of the time, by which variants are ranked.
        fast: what the fast arena may hold.

    Raises:
        LoweringError: a pass cannot handle the network.
    """
    graph = build_graph(subnet, forms)
    chosen = choose(subnet, forms, arena_bytes, timing, fast)
    calls = _apply(graph, forms, [chosen[block] for block in subnet.blocks])
    return Schedule(graph, calls, plan_memory(calls, fast), subnet.key)


def choose(
    subnet: SubnetConfig,
    forms: Forms,
    arena_bytes: int | None,
    timing: TimeModel,
    fast: FastRoom = ONE_ARENA,
) -> dict[BlockConfig, Choice]:
    """Return the variant of each distinct block; arguments as for :func:`schedule`.

    Raises:
        LoweringError: a pass cannot handle the network.
    """
    # The network's peak is that of its worst block (one_block). So the least possible peak is the
    # largest of the blocks' least ones, and a block that needs less may use up to the limit for
    # speed without raising the peak. Blocks can be chosen independently.
    blocks = {block: one_block(subnet, block) for block in subnet.blocks}
    least = least_arena(subnet, forms, fast)
    limit = least if arena_bytes is None else max(least, arena_bytes)
    return {block: _best(single, forms, limit, timing, fast) for block, single in blocks.items()}


def least_arena(subnet: SubnetConfig, forms: Forms, fast: FastRoom) -> int:
    """Return the bytes of the smallest arena of a subnet, given what the fast arena may hold."""
    return max(
        min(_least_arenas(one, forms, fast).values())
        for one in (one_block(subnet, block) for block in dict.fromkeys(subnet.blocks))
    )


def fast_sizes(subnet: SubnetConfig, forms: Forms, *, stream: bool) -> list[int]:
    """Return the sizes of the fast arena at which the smallest arena changes, in order.

    These are the sizes of the calls' scratch with the least panels, behind the residual stream if
    `stream` puts that there; the first is without scratch. Empty where the stream cannot be there.
    """
    candidates = [
        candidate
        for block in dict.fromkeys(subnet.blocks)
        for candidate in _candidates(one_block(subnet, block), forms, stream)
    ]
    begin = max(candidate.stream_bytes for candidate in candidates)
    if stream and begin == 0:
        return []
    graphs = [candidate.calls for candidate in candidates]
    sizes = {align(scratch_bytes(graph, node)) for graph in graphs for node in graph.nodes}
    return [begin + size for size in sorted({0} | sizes)]


def block_calls(subnet: SubnetConfig, forms: Forms, choice: Choice) -> Graph:
    """Return the calls of a subnet with one block, scheduled as chosen."""
    return _apply(build_graph(subnet, forms), forms, [choice])


def one_block(subnet: SubnetConfig, block: BlockConfig) -> SubnetConfig:
    """Return the subnet with only one of its blocks.

    The residual stream is one buffer for the whole network, and everything else lives within one
    block. The largest sum of live bytes is therefore that of the worst block.
    """
    return subnet.model_copy(update={"blocks": (block,)})


@dataclass(frozen=True)
class Choice:
    """A variant of a network with one block.

    Args:
        variant: schedule of the block.
        over_image: whether the tokens overwrite the image.
        block_panels: panel of each call inside the block, as :func:`oplib.plan.panels.widen` takes.
        rest_panels: the same for the calls outside of the block.
        arena_bytes: the network's arena.
        work: the network's modelled work.
    """

    variant: Variant
    over_image: bool
    block_panels: tuple[int, ...]
    rest_panels: tuple[int, ...]
    arena_bytes: int
    work: Work = field(compare=False)  # follows from the others; hashing it takes long


@dataclass(frozen=True)
class _Candidate:
    """A variant of a network with one block, before its panels are chosen.

    Args:
        variant: schedule of the block.
        over_image: whether the tokens overwrite the image.
        calls: the calls with the least panels.
        stream_bytes: bytes of the residual stream in the fast arena; 0 if it is in the arena.
        least_work: no panels make the work smaller: every constant is read at least once.
    """

    variant: Variant
    over_image: bool
    calls: Graph
    stream_bytes: int
    least_work: Work

    @cached_property
    def ladders(self) -> tuple[Ladder, ...]:
        """The possible panels of each call."""
        return ladders(self.calls, stream_is_fast=self.stream_bytes > 0)

    def choice(self, limit: int, fast: FastRoom) -> Choice:
        """Return the variant with the widest panels whose live bytes are within a limit."""
        rungs = widest(self.ladders, limit, fast.num_bytes - self.stream_bytes)
        pairs = list(zip(self.calls.nodes, rungs, strict=True))
        return Choice(
            self.variant,
            self.over_image,
            tuple(rung.panel for node, rung in pairs if node.place is not None),
            tuple(rung.panel for node, rung in pairs if node.place is None),
            limit,
            sum((rung.work for rung in rungs), Work()),
        )


@lru_cache(maxsize=65536)
def _best(
    subnet: SubnetConfig, forms: Forms, limit: int, timing: TimeModel, fast: FastRoom
) -> Choice:
    """Return variant and panels of a network with one block: the least time within a limit."""

    def rank(choice: Choice) -> tuple[float, int]:
        return timing.cost_of(choice.work), choice.arena_bytes

    best: Choice | None = None
    arenas = _least_arenas(subnet, forms, fast)
    for candidate in _ranked_candidates(subnet, forms, timing, fast.stream):
        if best is not None and timing.cost_of(candidate.least_work) > timing.cost_of(best.work):
            break
        if arenas[candidate.variant, candidate.over_image] <= limit:
            choice = _placed(subnet, forms, candidate, limit, fast)
            best = choice if best is None else min(best, choice, key=rank)
    if best is None:
        raise InternalError("no variant of the block is within the limit", got=limit)
    return best


def _placed(
    subnet: SubnetConfig, forms: Forms, candidate: _Candidate, limit: int, fast: FastRoom
) -> Choice:
    """Return a candidate with panels whose plan is within the limit."""
    # A plan can exceed the bytes that are live at a time; then the panels make room for the excess.
    # With the least panels the plan fits, because the candidate's own does.
    room = limit
    while True:
        choice = candidate.choice(room, fast)
        arena_bytes = _arena_bytes(subnet, forms, choice, fast)
        if arena_bytes <= limit:
            return replace(choice, arena_bytes=arena_bytes)
        room -= arena_bytes - limit


@lru_cache(maxsize=65536)
def _arena_bytes(subnet: SubnetConfig, forms: Forms, choice: Choice, fast: FastRoom) -> int:
    return plan_memory(block_calls(subnet, forms, choice), fast).arena_bytes


@lru_cache(maxsize=65536)
def _ranked_candidates(
    subnet: SubnetConfig, forms: Forms, timing: TimeModel, stream: bool
) -> tuple[_Candidate, ...]:
    """Return every variant of a network with one block, from the least possible time."""

    def rank(candidate: _Candidate) -> float:
        return timing.cost_of(candidate.least_work)

    return tuple(sorted(_candidates(subnet, forms, stream), key=rank))


@lru_cache(maxsize=65536)
def _least_arenas(
    subnet: SubnetConfig, forms: Forms, fast: FastRoom
) -> dict[tuple[Variant, bool], int]:
    """Return the arena of every variant of a network with one block, with the least panels."""
    return {
        (candidate.variant, candidate.over_image): plan_memory(candidate.calls, fast).arena_bytes
        for candidate in _candidates(subnet, forms, fast.stream)
    }


@lru_cache(maxsize=65536)
def _candidates(subnet: SubnetConfig, forms: Forms, stream: bool) -> tuple[_Candidate, ...]:
    """Return every variant of a network with one block.

    Where `stream` puts the residual stream into the fast arena, it does not overwrite the image.
    """
    # All combinations are tried, at most 8 (heads + 1): a heuristic could miss the fastest that
    # fits. Linears without a tile differ only where some half stays layer by layer. They need less
    # memory and more time, so they matter when the tile alone breaks the limit.
    graph = build_graph(subnet, forms)
    largest = streamable(graph, 0) if forms.passes.stream_tokens else {}
    groups = range(largest.get("attention", 0) + 1)
    mlps = (False, True) if "mlp" in largest else (False,)
    over_image = not stream and _can_overwrite_image(graph, forms)
    images = (False, True) if over_image else (False,)
    candidates = []
    for over_image, group, mlp in product(images, groups, mlps):
        for tiled in (True,) if group and mlp else (True, False):
            variant = Variant(group, mlp, tiled)
            calls = _run_passes(graph, forms, {0: variant}, over_image=over_image)
            apart = stream_bytes(calls) if stream else 0
            candidates.append(_Candidate(variant, over_image, calls, apart, least_work(calls)))
    return tuple(candidates)


def _can_overwrite_image(graph: Graph, forms: Forms) -> bool:
    wanted = forms.passes.overwrite_tokens and forms.passes.stream_tokens
    whole = forms.passes.input == "image" and forms.patch_kernel is None
    return wanted and whole and overwrite_image(stream_tokenizer(graph)) is not None


def outside_blocks(choices: Collection[Choice]) -> tuple[bool, tuple[int, ...]]:
    """Return what the blocks' choices mean for the rest: tokens over the image, and panels."""
    over_image = any(choice.over_image for choice in choices)
    # Blocks that fit with another patch embedding say nothing about this one's panel.
    rest = zip(*(c.rest_panels for c in choices if c.over_image == over_image), strict=True)
    return over_image, tuple(min(panels) for panels in rest)


def _apply(graph: Graph, forms: Forms, choices: Sequence[Choice]) -> Graph:
    """Return the calls of a network, given the choice of each block."""
    over_image, rest_panels = outside_blocks(choices)
    variants = {index: choice.variant for index, choice in enumerate(choices)}
    calls = _run_passes(graph, forms, variants, over_image=over_image)
    outside = iter(rest_panels)
    inside = [iter(choice.block_panels) for choice in choices]
    panels = [next(outside if n.place is None else inside[n.place.block]) for n in calls.nodes]
    return widen(calls, panels)


def _run_passes(
    graph: Graph, forms: Forms, variants: Mapping[int, Variant], *, over_image: bool
) -> Graph:
    """Run the passes that are switched on."""
    graph = decompose_patch_embed(graph, forms.patch_kernel)
    if forms.passes.stream_tokens:
        graph = stream_tokenizer(graph)
    if forms.passes.input == "strip":
        graph = strip_input(graph)
    graph = stream_tokens(graph, variants)
    if forms.passes.integrate_operators:
        graph = integrate_operators(graph)
    if forms.passes.overwrite_tokens:
        graph = overwrite_tokens(graph)
    placed = overwrite_image(graph) if over_image else None
    return graph if placed is None else placed
