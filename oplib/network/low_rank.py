"""Merging of low rank: two factors become one dense matrix where that is not larger.

Source: the break-even rank of a factorised layer, R (in + out) = in * out. Above it the factors
cost more weights and products than the matrix they stand for. Merging changes no float number, but
the integers: nothing is rounded between the factors any more.
"""

from __future__ import annotations

from mcuformer.subnet import LinearName, SubnetConfig
from oplib.forms import Forms


def deployed_rank(subnet: SubnetConfig, index: int, name: LinearName, forms: Forms) -> int | None:
    """Return the rank of a linear as the firmware computes it, None where it is dense.

    Full-rank factors are always merged; others above break-even if ``forms.passes.merge_low_rank``.
    """
    rank = subnet.merged.rank(index, name)
    if rank is None or not forms.passes.merge_low_rank:
        return rank
    features_in, features_out = subnet.linear_shape(index, name)
    return None if rank * (features_in + features_out) >= features_in * features_out else rank
