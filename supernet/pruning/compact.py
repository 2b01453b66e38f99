"""The matrices of groups: merging full-rank factors, and cutting a smaller network out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mcuformer.subnet import LINEARS, LinearName, SubnetConfig
from supernet.pruning.groups import GroupSet, Masks, group_sets, kept_subnet
from supernet.vit import Vit

Channels = tuple[Tensor | None, Tensor | None]  # kept rows and columns; None keeps all
PATHS: dict[LinearName, str] = {
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def first_matrix(subnet: SubnetConfig, index: int, name: LinearName) -> str:
    """Return the path of the matrix of a linear layer that reads its input: V, or the only one."""
    path = f"blocks.{index}.{PATHS[name]}"
    return path if subnet.rank(index, name) is None else f"{path}.v"


def last_matrix(subnet: SubnetConfig, index: int, name: LinearName) -> str:
    """Return the path of the matrix of a linear layer that gives its output: U, or the only one."""
    path = f"blocks.{index}.{PATHS[name]}"
    return path if subnet.rank(index, name) is None else f"{path}.u"


def writing_matrix(subnet: SubnetConfig, channels: GroupSet) -> str:
    """Return the path of the matrix whose rows give heads, hidden units or rank components."""
    if channels.linear is not None:
        return first_matrix(subnet, channels.block, channels.linear)
    return last_matrix(subnet, channels.block, "qkv" if channels.kind == "head" else "fc1")


def reading_matrix(subnet: SubnetConfig, channels: GroupSet) -> str:
    """Return the path of the matrix that reads heads, hidden units or rank components.

    Its columns are theirs, in order and in equal parts, so that zeros in some columns have the
    effect of leaving the group out.
    """
    if channels.linear is not None:
        return last_matrix(subnet, channels.block, channels.linear)
    return first_matrix(subnet, channels.block, "proj" if channels.kind == "head" else "fc2")


@torch.no_grad()
def merge(vit: Vit) -> Vit:
    """Return the network as it is deployed, with factors of full rank multiplied out."""
    subnet, weights = vit.subnet, dict(vit.state_dict())
    for index in range(subnet.depth):
        for name in LINEARS:
            if subnet.rank(index, name) is not None and subnet.merged.rank(index, name) is None:
                path = f"blocks.{index}.{PATHS[name]}"
                v, u = weights.pop(f"{path}.v.weight"), weights.pop(f"{path}.u.weight")
                weights[f"{path}.weight"] = u @ v
                if f"{path}.u.bias" in weights:
                    weights[f"{path}.bias"] = weights.pop(f"{path}.u.bias")
    merged = _unfilled(vit, subnet.merged, range(subnet.depth))
    merged.load_state_dict(weights)
    return merged


@torch.no_grad()
def compact(vit: Vit, masks: Masks) -> Vit:
    """Return the smaller network that computes what `vit` does without the groups not kept.

    Args:
        vit: network without full-rank factors; entries of its state that a plain network does not
            have are ignored.
        masks: kept groups; of every set in a kept block at least one, and at least one block.
    """
    subnet, weights = vit.subnet, vit.state_dict()
    gone = {s.block for s, kept in masks.items() if s.kind == "block" and not kept.all()}
    blocks = [index for index in range(subnet.depth) if index not in gone]
    kept_channels: dict[str, Channels] = {}
    for index in blocks:
        kept_channels |= _kept_channels(subnet, index, masks)
    small = _unfilled(vit, kept_subnet(subnet, masks), blocks)
    for name, target in small.state_dict().items():
        source = name
        if name.startswith("blocks."):
            _, number, rest = name.split(".", maxsplit=2)
            source = f"blocks.{blocks[int(number)]}.{rest}"
        rows, columns = kept_channels.get(source.rpartition(".")[0], (None, None))
        tensor = weights[source] if rows is None else weights[source][rows]
        target.copy_(tensor if columns is None or tensor.dim() == 1 else tensor[:, columns])
    return small


def _kept_channels(subnet: SubnetConfig, index: int, masks: Masks) -> dict[str, Channels]:
    """Return the kept rows and columns of each matrix of a block, by path."""
    channels: dict[tuple[str, LinearName | None], Tensor] = {}
    for group_set in group_sets(subnet):
        if group_set.block == index and group_set in masks:
            kept = torch.from_numpy(masks[group_set])
            if group_set.kind == "head":
                kept = kept.repeat_interleave(subnet.blocks[index].head_dim)
            channels[group_set.kind, group_set.linear] = kept
    heads, hidden = channels.get(("head", None)), channels.get(("hidden", None))
    outer: dict[LinearName, Channels] = {
        "qkv": (None if heads is None else heads.repeat(3), None),
        "proj": (None, heads),
        "fc1": (hidden, None),
        "fc2": (None, hidden),
    }
    kept_parts = {}
    for name, (rows, columns) in outer.items():
        first, last = first_matrix(subnet, index, name), last_matrix(subnet, index, name)
        if first == last:
            kept_parts[first] = (rows, columns)
        else:
            rank = channels.get(("rank", name))
            kept_parts[first], kept_parts[last] = (rank, columns), (rows, rank)
    return kept_parts


def _unfilled(vit: Vit, subnet: SubnetConfig, blocks: Sequence[int]) -> Vit:
    """Return a network of the shape `subnet`, whose weights are still to be filled in.

    Args:
        vit: network that padding, stochastic depth, mode and device are taken from.
        subnet: shape of the new network.
        blocks: number in `vit` of every block.
    """
    built = Vit(subnet, vit.pad_value)
    for block, index in zip(built.blocks, blocks, strict=True):
        block.drop_prob = vit.blocks[index].drop_prob
    return built.train(vit.training).to(vit.head.weight.device)
