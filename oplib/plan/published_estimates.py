"""Memory and parameter counts of the paper, of its released code and of muNAS, for comparisons.

The planner decides what is admissible (:mod:`oplib.target.target`). Of these counts it takes the
staged weights alone, with ``budget.memory_model=staged``.
"""

from __future__ import annotations

from itertools import pairwise

from mcuformer.subnet import LINEARS, SubnetConfig, factor_rank
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.network.builder import build_graph
from oplib.network.low_rank import deployed_widths
from oplib.plan.order import MUNAS, peak_over_orders


def released_code_bytes(subnet: SubnetConfig) -> float:
    """Return the released code's estimate (liangyn22/MCUFormer, memory filter), in bytes at int8.

    ``E [(n' + 1)(1 + m) + E m r]`` with embedding width E, rank ratio r, largest MLP ratio m and
    ``n' = (img_size / patch_size)^2``, not rounded: input and output of the first MLP layer with a
    class token, and one factor.
    """
    tokens = (subnet.img_size / subnet.patch_size) ** 2
    ratio = max(block.mlp_ratio for block in subnet.blocks)
    dim = subnet.embed_dim
    return dim * ((tokens + 1) * (1 + ratio) + dim * ratio * subnet.rank_ratio)


def paper_criterion_bytes(subnet: SubnetConfig) -> float:
    """Return the paper's criterion (MCUFormer, section 3.1), in bytes at int8.

    The largest weight matrix of the fully connected layers plus the largest of their inputs and
    outputs (token overwriting), with a class token, as the paper's networks have.
    """
    tokens = subnet.num_patches + 1
    widest = max(max(widths) for widths in _layer_widths(subnet, DEFAULT_FORMS))
    return staged_weights_bytes(subnet) + tokens * widest


def staged_weights_bytes(subnet: SubnetConfig, forms: Forms = DEFAULT_FORMS) -> int:
    """Return the largest weight matrix of the blocks' fully connected layers, in bytes at int8.

    This is the first term of the paper's criterion (MCUFormer, section 3.1): one matrix of
    ``in * out`` weights is in SRAM at a time. q, k and v are one matrix, the two factors of a
    low-rank layer two. Patch embedding and head do not count, nor do biases and requantisation.

    Args:
        subnet: the network's shape.
        forms: tell which factors are multiplied out.
    """
    layers = _layer_widths(subnet, forms)
    return max(a * b for widths in layers for a, b in pairwise(widths))


def _layer_widths(subnet: SubnetConfig, forms: Forms) -> list[tuple[int, ...]]:
    """Return (in, out) or (in, rank, out) of each kind of fully connected layer, as deployed."""
    kinds = {block: index for index, block in enumerate(subnet.blocks)}.values()
    return [deployed_widths(subnet, index, name, forms) for index in kinds for name in LINEARS]


def munas_peak_bytes(subnet: SubnetConfig) -> int:
    """Return muNAS's peak memory usage (Liberis et al., 2021), in bytes at int8.

    The least peak of live activations over all orders of execution, layer by layer. Weights, the
    image and working memory do not count.
    """
    return peak_over_orders(build_graph(subnet), MUNAS).peak_bytes


def released_num_params(subnet: SubnetConfig, super_embed_dim: int) -> int:
    """Count parameters as the released code does (log files of liangyn22/MCUFormer).

    It has three factors in qkv, proj, fc1 and fc2, of which only the last has a bias. Attention
    ranks follow the width of the supernet, not of the subnet. Class token and relative position
    tables (largest distance 14) are counted whether or not the subnet has them.

    Args:
        subnet: subnet to count.
        super_embed_dim: embedding width of the supernet.
    """
    dim = subnet.embed_dim
    total = subnet.in_chans * subnet.patch_size**2 * dim + dim  # patch embedding
    total += dim * (2 + subnet.num_patches)  # class token, positions
    total += 2 * dim + dim * subnet.num_classes + subnet.num_classes
    attn_rank = factor_rank(subnet.rank_ratio, super_embed_dim, super_embed_dim)
    mlp_rank = factor_rank(subnet.rank_ratio, dim, dim)
    for index, block in enumerate(subnet.blocks):
        total += 4 * dim + 120 * block.head_dim
        for name in LINEARS:
            features_in, features_out = subnet.linear_shape(index, name)
            rank = attn_rank if name in ("qkv", "proj") else mlp_rank
            total += rank * (features_in + rank + features_out) + features_out
    return total
