"""Cut one subnet out of a supernet as a standalone network with the same outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcuformer.subnet import LinearName, SubnetConfig
from supernet.elastic import ElasticLayerNorm, ElasticLinear
from supernet.low_rank import ElasticLowRankLinear
from supernet.model import Supernet
from supernet.vit import Vit


def extract(supernet: Supernet, subnet: SubnetConfig) -> Vit:
    """Return the static network of `subnet` with copies of the supernet's weights.

    Args:
        supernet: trained at the subnet's space point.
        subnet: sampled from the same space.
    """
    vit = Vit(subnet, tuple(supernet.patch_embed.pad.flatten().tolist()))
    vit.load_state_dict(_sliced_weights(supernet, subnet))
    return vit


@torch.no_grad()
def _sliced_weights(supernet: Supernet, subnet: SubnetConfig) -> dict[str, Tensor]:
    dim = subnet.embed_dim
    proj = supernet.patch_embed.proj
    assert proj.bias is not None
    weights = {
        "patch_embed.proj.weight": proj.weight[:dim],
        "patch_embed.proj.bias": proj.bias[:dim],
        "pos_embed": supernet.pos_embed[..., :dim],
        **_norm("norm", supernet.norm, dim),
        **_linear("head", supernet.head, dim, subnet.num_classes),
    }
    for index in range(subnet.depth):
        block = supernet.blocks[index]
        prefix = f"blocks.{index}"
        for name in ("norm1", "norm2"):
            weights |= _norm(f"{prefix}.{name}", getattr(block, name), dim)
        layers: tuple[tuple[LinearName, str, nn.Module], ...] = (
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
                rank = subnet.rank(index, name)
                assert rank is not None
                weights |= _linear(f"{full_name}.v", layer.v, features_in, rank)
                weights |= _linear(f"{full_name}.u", layer.u, rank, out)
            else:
                assert isinstance(layer, ElasticLinear)
                weights |= _linear(full_name, layer, features_in, out)
    return {name: tensor.clone() for name, tensor in weights.items()}


def _norm(name: str, layer: ElasticLayerNorm, dim: int) -> dict[str, Tensor]:
    return {f"{name}.weight": layer.weight[:dim], f"{name}.bias": layer.bias[:dim]}


def _linear(name: str, layer: ElasticLinear, features_in: int, out: int) -> dict[str, Tensor]:
    weight, bias = layer.sliced(features_in, out)
    return {f"{name}.weight": weight, **({} if bias is None else {f"{name}.bias": bias})}
