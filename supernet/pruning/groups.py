"""Groups of weights that structured pruning keeps or removes as a whole, as numbers without torch.

A head, a hidden unit and a rank component (a column of V with a row of U) are channels of the
network: what remains without some of them is a smaller network. A block is its own group: the
residual stream passes it by. Single channels of queries and keys are none, since those of all heads
must have one width.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from mcuformer.subnet import LINEARS, BlockConfig, LinearName, Ranks, SubnetConfig, ratio_of_hidden

Kind = Literal["head", "hidden", "rank", "block"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


class GroupSet(NamedTuple):
    """The groups of one kind in one place.

    Args:
        kind: what a group is.
        block: number of the block.
        linear: layer whose rank components the groups are; None for the other kinds.
        size: number of groups: heads, hidden units, the rank, or one block.
    """

    kind: Kind
    block: int
    linear: LinearName | None
    size: int


Masks = Mapping[GroupSet, Bools]
"""Which groups are kept, (size,) for each set; a set that is not there is kept as a whole."""


def group_sets(subnet: SubnetConfig) -> tuple[GroupSet, ...]:
    """Return all groups of a network."""
    return tuple(_group_sets(subnet))


def _group_sets(subnet: SubnetConfig) -> Iterator[GroupSet]:
    for index, block in enumerate(subnet.blocks):
        yield GroupSet("block", index, None, 1)
        yield GroupSet("head", index, None, block.num_heads)
        yield GroupSet("hidden", index, None, subnet.hidden_dim(index))
        for name in LINEARS:
            rank = subnet.rank(index, name)
            if rank is not None:
                yield GroupSet("rank", index, name, rank)


def kept_subnet(subnet: SubnetConfig, masks: Masks) -> SubnetConfig:
    """Return the shape of a network without the groups that are not kept.

    Every low-rank layer has a rank of its own in it, because the ratio would give another one in
    the smaller layer.

    Args:
        subnet: shape of the whole network, without full-rank factors.
        masks: kept groups; of every set in a kept block at least one, and at least one block.
    """
    counts = {group_set: int(kept.sum()) for group_set, kept in masks.items()}
    return subnet.model_copy(update={"blocks": tuple(_kept_blocks(subnet, counts))})


def _kept_blocks(subnet: SubnetConfig, counts: Mapping[GroupSet, int]) -> Iterator[BlockConfig]:
    """Yield the blocks with so many groups of each set."""
    sets: dict[int, list[GroupSet]] = {}
    for group_set in group_sets(subnet):
        sets.setdefault(group_set.block, []).append(group_set)
    for index, block in enumerate(subnet.blocks):
        kept = {(s.kind, s.linear): counts.get(s, s.size) for s in sets[index]}
        if not kept["block", None]:
            continue
        hidden = kept["hidden", None]
        whole = hidden == subnet.hidden_dim(index)
        ranks = {name: count for (kind, name), count in kept.items() if kind == "rank"}
        change = {
            "num_heads": kept["head", None],
            "mlp_ratio": block.mlp_ratio if whole else ratio_of_hidden(hidden, subnet.embed_dim),
            "ranks": Ranks.parse(ranks),
        }
        yield BlockConfig(**(dict(block) | change))


def choose(
    subnet: SubnetConfig, importance: Mapping[GroupSet, Floats], kinds: Sequence[Kind], share: float
) -> Masks:
    """Return the masks that remove the least important groups, over all kinds and blocks at once.

    As many are removed, in the order of importance, as make the network lack `share` of its
    parameters, counted as :attr:`SubnetConfig.num_params` of what is left. Where that takes a whole
    block as the last one, which would be far too much, single groups go instead if they suffice.
    The most important group of every set stays, and so does the most important block.

    Args:
        subnet: shape of the whole network.
        importance: value of every group by set, (size,).
        kinds: kinds of groups that may be removed.
        share: from 0 to :func:`largest_share`.
    """
    sets = [group_set for group_set in group_sets(subnet) if group_set.kind in kinds]
    starts = np.cumsum([0, *(group_set.size for group_set in sets)])
    values = np.concatenate([importance[group_set] for group_set in sets])
    stays = np.zeros(len(values), bool)
    for group_set, start in zip(sets, starts, strict=False):
        if group_set.kind != "block":
            stays[start + int(np.argmax(importance[group_set]))] = True
    blocks = [int(start) for s, start in zip(sets, starts, strict=False) if s.kind == "block"]
    if blocks:
        stays[max(blocks, key=lambda position: values[position])] = True
    order = np.argsort(values, kind="stable")
    order = order[~stays[order]]

    target = (1.0 - share) * subnet.num_params

    def masks(order: Ints, count: int) -> Masks:
        kept = np.ones(len(values), bool)
        kept[order[:count]] = False
        return dict(zip(sets, np.split(kept, starts[1:-1]), strict=True))

    def enough(order: Ints, count: int) -> bool:
        return kept_subnet(subnet, masks(order, count)).num_params <= target

    while True:
        # more groups never leave more parameters, so that bisection finds the least count
        count = bisect_left(range(len(order)), True, key=partial(enough, order))
        without = np.delete(order, count - 1) if count else order
        if not count or order[count - 1] not in blocks or not enough(without, len(without)):
            return masks(order, count)
        order = without


def even_importance(subnet: SubnetConfig) -> Mapping[GroupSet, Floats]:
    """Return an importance by which every set loses the same part of its groups, blocks the last.

    It stands for the unknown importance of a network that is not trained yet.
    """
    return {
        s: np.ones(s.size) if s.kind == "block" else np.arange(s.size) / s.size
        for s in group_sets(subnet)
    }


def largest_share(subnet: SubnetConfig, kinds: Sequence[Kind]) -> float:
    """Return the share of a network's parameters that :func:`choose` can always remove.

    That is all groups but one of each set and, if blocks may go, all blocks but one; where blocks
    differ, the most important may be the largest.
    """
    first = {
        s: np.arange(s.size) == 0
        for s in group_sets(subnet)
        if s.kind in kinds and s.kind != "block"
    }
    if "block" not in kinds:
        return 1.0 - kept_subnet(subnet, first).num_params / subnet.num_params
    blocks = [group_set for group_set in group_sets(subnet) if group_set.kind == "block"]
    left = max(
        kept_subnet(subnet, first | {s: np.array([s == kept]) for s in blocks}).num_params
        for kept in blocks
    )
    return 1.0 - left / subnet.num_params
