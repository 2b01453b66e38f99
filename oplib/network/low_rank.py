"""Merging of low-rank factors into one dense matrix where that is not larger.

Factors of rank R have R (in + out) weights, the matrix in * out: from the rank where the two are
equal, factors cost more weights and products than the matrix. Merging changes no float number. It
changes the integers, because nothing is rounded between the factors any more.
"""

from __future__ import annotations

from mcuformer.subnet import LinearName, SubnetConfig
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
