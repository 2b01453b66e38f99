"""Start a network from the weights of a smaller one, so that both compute the same.

Source: Net2Net (Chen et al., 2016). SpArSe (Fedorov et al., 2019) starts its morphs in this way.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from mcuformer.errors import InternalError
from mcuformer.subnet import LINEARS, SubnetConfig
from supernet.vit import Vit

LAST_LAYERS = ("attn.proj", "mlp.fc2")  # their outputs are added to the tokens


@torch.no_grad()
def grow(vit: Vit, parent: SubnetConfig, weights: dict[str, Tensor]) -> None:
    """Set a network's weights to those of its parent; whatever it has besides adds nothing yet.

    New heads, hidden units and ranks keep the values that they were initialised with, and the
    weights that read them are 0; so are the last layers of new blocks. Two factors become a dense
    layer by their product.

    Args:
        vit: network to change; it is the parent with more heads, hidden units or ranks in any
            layer, and with more blocks anywhere. A pruned parent lacks some of each.
        parent: shape of the parent.
        weights: its weights by the names of :class:`Vit`.

    Raises:
        InternalError: the network is not a grown parent.
    """
    origins = _origins(vit.subnet, parent)
    for name, tensor in vit.state_dict().items():
        source = name
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            origin = origins[int(index)]
            if origin is None:
                if rest.startswith(LAST_LAYERS) and ".v." not in rest:
                    tensor.zero_()
                continue
            source = f"blocks.{origin}.{rest}"
        _copy(tensor, _weight(weights, source), name)


def _origins(subnet: SubnetConfig, parent: SubnetConfig) -> list[int | None]:
    """Return the parent's block of each block, None for a new one.

    Of all blocks that contain the parent's in their order, these are the last ones.
    """
    if subnet.depth == parent.depth:
        return list(range(parent.depth))
    origins: list[int | None] = [None] * subnet.depth
    wanted = parent.depth - 1
    for index in reversed(range(subnet.depth)):
        if wanted >= 0 and _contains(subnet, index, parent, wanted):
            origins[index], wanted = wanted, wanted - 1
    if wanted >= 0:
        raise InternalError("a network does not contain its parent's blocks", got=subnet.depth)
    return origins


def _contains(subnet: SubnetConfig, index: int, parent: SubnetConfig, other: int) -> bool:
    """Return whether a block of a network has at least the parts of a block of its parent."""
    block, old = subnet.blocks[index], parent.blocks[other]
    if (block.head_dim, block.activation) != (old.head_dim, old.activation):
        return False
    sizes: list[tuple[float, float]] = [
        (block.num_heads, old.num_heads),
        (subnet.hidden_dim(index), parent.hidden_dim(other)),
    ]
    for name in LINEARS:
        rank, old_rank = subnet.rank(index, name), parent.rank(other, name)
        if rank is not None:  # a dense layer takes the product of the parent's factors
            sizes.append((rank, inf if old_rank is None else old_rank))
    return all(size >= old_size for size, old_size in sizes)


def _weight(weights: dict[str, Tensor], name: str) -> Tensor:
    """Return the parent's weight of a name; of a layer that is dense now, the product."""
    path, _, kind = name.rpartition(".")
    if name not in weights and f"{path}.u.{kind}" in weights:
        u = weights[f"{path}.u.{kind}"]
        return u if kind == "bias" else u @ weights[f"{path}.v.weight"]
    if name not in weights:
        raise InternalError(f"the parent has no weight {name}")
    return weights[name]


def _copy(tensor: Tensor, old: Tensor, name: str) -> None:
    """Copy a weight into the leading block of a larger one; new inputs of a layer weigh 0."""
    if tensor.shape == old.shape:
        tensor.copy_(old)
        return
    sections = 3 if ".qkv." in name and ".v." not in name else 1  # query, key and value
    new, known = (t.reshape(sections, -1, *t.shape[1:]) for t in (tensor.clone(), old))
    if new.dim() != known.dim() or any(a < b for a, b in zip(new.shape, known.shape, strict=True)):
        raise InternalError(
            f"{name} does not contain the parent's", got=tensor.shape, expected=old.shape
        )
    if new.dim() > 2:
        new[:, :, known.shape[2] :] = 0.0
    new[tuple(slice(size) for size in known.shape)] = known
    tensor.copy_(new.reshape(tensor.shape))
