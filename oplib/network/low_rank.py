"""Merging of low-rank factors into one dense matrix where that is not larger.

Factors of rank R have R (in + out) weights, the matrix in * out: from the rank where the two are
equal, factors cost more weights and products than the matrix. Merging changes no float number. It
changes the integers, because nothing is rounded between the factors any more.
"""

from __future__ import annotations

from itertools import pairwise

from mcuformer.subnet import LINEARS, LinearName, SubnetConfig
from oplib.forms import Forms


def deployed_rank(subnet: SubnetConfig, index: int, name: LinearName, forms: Forms) -> int | None:
    """Return the rank of a linear layer in the firmware, None where it is dense.

    Full-rank factors are always merged, others from break-even on with
    ``forms.passes.merge_low_rank``.
    """
    rank = subnet.merged.rank(index, name)
    if rank is None or not forms.passes.merge_low_rank:
        return rank
    features_in, features_out = subnet.linear_shape(index, name)
    return None if rank * (features_in + features_out) >= features_in * features_out else rank


def deployed_widths(
    subnet: SubnetConfig, index: int, name: LinearName, forms: Forms
) -> tuple[int, ...]:
    """Return (in, out) of a linear layer in the firmware, or (in, rank, out) of its two factors."""
    features_in, features_out = subnet.linear_shape(index, name)
    rank = deployed_rank(subnet, index, name, forms)
    return (features_in, features_out) if rank is None else (features_in, rank, features_out)


def block_weights(subnet: SubnetConfig, forms: Forms) -> int:
    """Return the number of weights in the matrices of all blocks, as the firmware has them."""
    layers = [
        deployed_widths(subnet, index, name, forms)
        for index in range(len(subnet.blocks))
        for name in LINEARS
    ]
    return sum(a * b for widths in layers for a, b in pairwise(widths))
