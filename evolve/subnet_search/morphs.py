"""Morphs of a subnet: the smallest changes of one gene, each to a neighbouring choice.

Source: muNAS (Liberis et al., 2021, section 4.1) and SpArSe (Fedorov et al., 2019, section 3.2),
with the genes of a vision transformer in place of a convolutional network's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evolve.subnet_search.problem import Problem
from mcuformer.space import SpacePoint
from mcuformer.subnet import RATIO_GENES, BlockConfig, SubnetConfig
from mcuformer.tokenizer import NUM_CONVS, Tokenizer

T = TypeVar("T")
RANKS = ("rank_ratio", "mlp_rank_ratio")  # axes of the space


@dataclass(frozen=True)
class Morph:
    """A changed subnet.

    Args:
        subnet: the subnet.
        preserving: whether it has weights with which it computes what its parent does: the parent's
            with hidden units, heads, ranks or a block besides that add nothing to the output.
    """

    subnet: SubnetConfig
    preserving: bool = False


def morphs(problem: Problem, parent: SubnetConfig) -> list[Morph]:
    """Return all morphs of a subnet in a fixed order, without repeats; they may exceed the limits.

    They change

    * the embedding width by one choice;
    * one gene of one block by one choice, an activation to any other;
    * the depth by one choice, by copies of one block or without some neighbouring ones;
    * the tokenizer by one convolution;
    * the point by one choice on one axis, to a point that is searched too.
    """
    distinct: dict[str, Morph] = {}
    for morph in _morphs(problem, parent):
        distinct.setdefault(morph.subnet.key, morph)
    return list(distinct.values())


def _morphs(problem: Problem, parent: SubnetConfig) -> Iterator[Morph]:
    space, point = problem.space, problem.space.point_of(parent)

    def built(
        *,
        to: SpacePoint = point,
        embed_dim: int = parent.embed_dim,
        blocks: tuple[BlockConfig, ...] = parent.blocks,
        tokenizer: Tokenizer = parent.tokenizer,
    ) -> SubnetConfig:
        return space.subnet(to, embed_dim, blocks, tokenizer)

    for embed_dim, _ in beside(space.embed_dim, parent.embed_dim):
        yield Morph(built(embed_dim=embed_dim))
    for depth, larger in beside(space.depth, parent.depth):
        for blocks in _resized(parent.blocks, depth):
            yield Morph(built(blocks=blocks), preserving=larger)
    # with an attention width of its own, heads share it and another number changes all of them
    grown = {"mlp_ratio", *RATIO_GENES.values(), *(["num_heads"] if space.qkv_dim is None else [])}
    for index, block in enumerate(parent.blocks):
        for gene, choices in space.block_genes.items():
            value = getattr(block, gene)
            steps = (
                [(other, False) for other in choices if other != value]
                if gene == "activation"
                else beside(choices, value)
            )
            for choice, larger in steps:
                changed = space.block({**space.genes_of(block), gene: choice})
                blocks = (*parent.blocks[:index], changed, *parent.blocks[index + 1 :])
                yield Morph(built(blocks=blocks), preserving=larger and gene in grown)
    tokenizers = sorted(space.tokenizer, key=NUM_CONVS.__getitem__)
    for tokenizer, _ in beside(tokenizers, parent.tokenizer):
        yield Morph(built(tokenizer=tokenizer))
    for axis, values in space.axes.items():
        for coordinate, larger in beside(values, getattr(point, axis)):
            to = point.model_copy(update={axis: coordinate})
            if to in problem.points:
                yield Morph(built(to=to), preserving=larger and axis in RANKS)


def beside(choices: Sequence[T], value: T) -> list[tuple[T, bool]]:
    """Return the neighbours of a choice, and whether each is the larger one.

    >>> beside((2, 3, 5), 3), beside((2, 3, 5), 5), beside((2,), 2)
    ([(2, False), (5, True)], [(3, False)], [])
    """
    index = choices.index(value)
    smaller = [(choices[index - 1], False)] if index > 0 else []
    return smaller + [(choice, True) for choice in choices[index + 1 : index + 2]]


def _resized(blocks: tuple[BlockConfig, ...], depth: int) -> Iterator[tuple[BlockConfig, ...]]:
    """Yield blocks in another number: one block repeated, or a run of neighbours left out."""
    more, fewer = depth - len(blocks), len(blocks) - depth
    if more > 0:
        for index, block in enumerate(blocks):
            yield (*blocks[:index], *(block,) * more, *blocks[index:])
    else:
        for index in range(depth + 1):
            yield (*blocks[:index], *blocks[index + fewer :])
