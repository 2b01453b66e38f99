"""Cut one subnet out of a supernet as a standalone network with the same outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from mcuformer.subnet import LinearName, SubnetConfig
from supernet.attention import factor_width
from supernet.elastic import ElasticLayerNorm, ElasticLinear
from supernet.low_rank import ElasticLowRankLinear
from supernet.model import ElasticBlock, Supernet
from supernet.relative_position import TABLES
from supernet.vit import Vit


def extract(supernet: Supernet, subnet: SubnetConfig) -> Vit:
    """Return the static network of `subnet` with copies of the supernet's weights.

    Args:
        supernet: supernet of the subnet's space point, or the joint one. If it holds several
            ranks, linears of ratio 1 stay two factors of full rank, which the lowering merges.
        subnet: subnet of the same space.
    """
    subnet = subnet.factored if supernet.full_rank_factors else subnet.merged
    vit = Vit(subnet, supernet.pad_value)
    vit.load_state_dict(_sliced_weights(supernet, subnet))
    return vit


@torch.no_grad()
def _sliced_weights(supernet: Supernet, subnet: SubnetConfig) -> dict[str, Tensor]:
    """Return copies of the slices that `subnet` uses, by the names of :class:`Vit`."""
    dim = subnet.embed_dim
    tokenizer = supernet.tokenizers[subnet.tokenizer].sliced(subnet)
    weights = {
        **{f"patch_embed.{name}": tensor for name, tensor in tokenizer.items()},
        **_norm("norm", supernet.norm, dim),
        **_linear("head", supernet.head, dim, subnet.num_classes),
    }
    positions = supernet.positions(subnet)
    if positions is not None:
        weights["pos_embed"] = positions
    if supernet.cls_token is not None:
        weights["cls_token"] = supernet.cls_token[..., :dim]
    for index in range(subnet.depth):
        weights |= _block(supernet.blocks[index], subnet, index)
    return {name: tensor.clone() for name, tensor in weights.items()}


def _block(block: ElasticBlock, subnet: SubnetConfig, index: int) -> dict[str, Tensor]:
    prefix = f"blocks.{index}"
    weights: dict[str, Tensor] = {}
    for norm in ("norm1", "norm2"):
        weights |= _norm(f"{prefix}.{norm}", getattr(block, norm), subnet.embed_dim)
    if block.attn.relative is not None:
        head_dim = subnet.blocks[index].head_dim
        for table in TABLES:
            sliced = getattr(block.attn.relative, table)[:, :head_dim]
            weights[f"{prefix}.attn.relative.{table}"] = sliced
    layers: tuple[tuple[LinearName, str, ElasticLinear | ElasticLowRankLinear], ...] = (
        ("qkv", "attn.qkv", block.attn.qkv),
        ("proj", "attn.proj", block.attn.proj),
        ("fc1", "mlp.fc1", block.mlp.fc1),
        ("fc2", "mlp.fc2", block.mlp.fc2),
    )
    for name, path, layer in layers:
        features_in, features_out = subnet.linear_shape(index, name)
        out = features_out // (3 if name == "qkv" else 1)
        full_name = f"{prefix}.{path}"
        if isinstance(layer, ElasticLowRankLinear):
            rank = factor_width(subnet, index, name)
            weights |= _linear(f"{full_name}.v", layer.v, features_in, rank)
            weights |= _linear(f"{full_name}.u", layer.u, rank, out)
        else:
            weights |= _linear(full_name, layer, features_in, out)
    return weights


def _norm(name: str, layer: ElasticLayerNorm, dim: int) -> dict[str, Tensor]:
    return {f"{name}.weight": layer.weight[:dim], f"{name}.bias": layer.bias[:dim]}


def _linear(name: str, layer: ElasticLinear, features_in: int, out: int) -> dict[str, Tensor]:
    weight, bias = layer.sliced(features_in, out)
    return {f"{name}.weight": weight, **({} if bias is None else {f"{name}.bias": bias})}
