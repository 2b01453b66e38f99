"""Schedules of subnets: the graph, its kernel calls after the memory passes, and their plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Graph
from oplib.network.builder import build_graph
from oplib.ops.work import Work
from oplib.plan.arena import Plan, plan_memory
from oplib.plan.passes.decompose_patch_embed import decompose_patch_embed
from oplib.plan.passes.integrate_operators import integrate_operators
from oplib.plan.passes.overwrite_image import overwrite_image
from oplib.plan.passes.overwrite_tokens import overwrite_tokens
from oplib.plan.passes.stream_tokens import Variant, stream_tokens, streamable
from oplib.plan.passes.strip_input import strip_input
from oplib.plan.time_model import M7, TimeModel, work_of


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
    timing: TimeModel = M7,
) -> Schedule:
    """Return the schedule of a subnet; no weights are needed.

    Blocks have variants: each half streamed, with more or fewer heads at a time, or layer by layer.
    So has the patch embedding: tokens over the image or apart. Every block takes the variant with
    the least modelled time within the limit. Without a limit, or if no variant fits, the limit is
    the least peak that the network can have.

    Args:
        subnet: the network's shape.
        forms: forms of the integer operators and the passes that are on.
        arena_bytes: largest arena, as a budget leaves it; None asks for the least memory.
        timing: model of the time, by which variants are ranked.

    Raises:
        LoweringError: a pass cannot handle the network.
    """
    graph = build_graph(subnet, forms)
    chosen = choose(subnet, forms, arena_bytes, timing)
    over_image = any(choice.over_image for choice in chosen.values())
    variants = {index: chosen[block].variant for index, block in enumerate(subnet.blocks)}
    calls = _apply(graph, forms, variants, over_image=over_image)
    return Schedule(graph, calls, plan_memory(calls), subnet.key)


def choose(
    subnet: SubnetConfig, forms: Forms, arena_bytes: int | None, timing: TimeModel
) -> dict[BlockConfig, Choice]:
    """Return the variant of each distinct block; arguments as for :func:`schedule`.

    Raises:
        LoweringError: a pass cannot handle the network.
    """
    # The network's peak is that of its worst block (one_block). So the least possible peak is the
    # largest of the blocks' least ones, and a block that needs less may use up to the limit for
    # speed without raising the peak. Blocks can be chosen independently.
    candidates = {
        block: _ranked_choices(one_block(subnet, block), forms, timing) for block in subnet.blocks
    }
    least = max(min(choice.arena_bytes for choice in choices) for choices in candidates.values())
    limit = least if arena_bytes is None else max(least, arena_bytes)
    return {
        block: next(choice for choice in choices if choice.arena_bytes <= limit)
        for block, choices in candidates.items()
    }


def block_calls(subnet: SubnetConfig, forms: Forms, choice: Choice) -> Graph:
    """Return the calls of a subnet with one block, scheduled as chosen."""
    graph = build_graph(subnet, forms)
    return _apply(graph, forms, {0: choice.variant}, over_image=choice.over_image)


def one_block(subnet: SubnetConfig, block: BlockConfig) -> SubnetConfig:
    """Return the subnet with only one of its blocks.

    The residual stream is one buffer for the whole network, and everything else lives within one
    block. The largest sum of live bytes is therefore that of the worst block.
    """
    return subnet.model_copy(update={"blocks": (block,)})


@dataclass(frozen=True)
class Choice:
    """A variant of a network with one block, and its cost."""

    variant: Variant
    over_image: bool
    arena_bytes: int
    work: Work = field(compare=False)  # follows from the others; hashing it takes long


@lru_cache(maxsize=65536)
def _ranked_choices(subnet: SubnetConfig, forms: Forms, timing: TimeModel) -> tuple[Choice, ...]:
    """Return the variants of a network with one block, from the least modelled time on."""

    def rank(choice: Choice) -> tuple[float, int]:
        return timing.cost_of(choice.work), choice.arena_bytes

    return tuple(sorted(_block_choices(subnet, forms), key=rank))


@lru_cache(maxsize=65536)
def _block_choices(subnet: SubnetConfig, forms: Forms) -> tuple[Choice, ...]:
    graph = build_graph(subnet, forms)
    return tuple(
        Choice(variant, over_image, plan_memory(calls).arena_bytes, work_of(calls, calls.nodes))
        for variant, over_image, calls in _candidates(graph, forms)
    )


def _candidates(graph: Graph, forms: Forms) -> Iterator[tuple[Variant, bool, Graph]]:
    """Yield every variant of a network with one block: (block, whether over the image, calls)."""
    # All combinations are tried, at most 8 (heads + 1): a heuristic could miss the fastest that
    # fits. Linears without a tile differ only where some half stays layer by layer. They need less
    # memory and more time, so they matter when the tile alone breaks the limit.
    largest = streamable(graph, 0) if forms.passes.stream_tokens else {}
    groups = range(largest.get("attention", 0) + 1)
    mlps = (False, True) if "mlp" in largest else (False,)
    images = (False, True) if _can_overwrite_image(graph, forms) else (False,)
    for over_image, group, mlp in product(images, groups, mlps):
        for tiled in (True,) if group and mlp else (True, False):
            variant = Variant(group, mlp, tiled)
            yield variant, over_image, _apply(graph, forms, {0: variant}, over_image=over_image)


def _can_overwrite_image(graph: Graph, forms: Forms) -> bool:
    wanted = forms.passes.overwrite_tokens and forms.passes.stream_tokens
    whole = forms.passes.input == "image" and forms.patch_kernel is None
    return wanted and whole and overwrite_image(graph) is not None


def _apply(
    graph: Graph, forms: Forms, variants: Mapping[int, Variant], *, over_image: bool
) -> Graph:
    """Run the passes that are switched on."""
    graph = decompose_patch_embed(graph, forms.patch_kernel)
    if forms.passes.input == "strip":
        graph = strip_input(graph)
    graph = stream_tokens(graph, variants)
    if forms.passes.integrate_operators:
        graph = integrate_operators(graph)
    if forms.passes.overwrite_tokens:
        graph = overwrite_tokens(graph)
    placed = overwrite_image(graph) if over_image else None
    return graph if placed is None else placed
