"""Low-rank linear layers: two factors, nested ranks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from supernet.elastic import ElasticLinear, Linear


class ElasticLowRankLinear(nn.Module):
    """``y = (x V) U + b``, V (in, rank), U (rank, out), stored at the largest rank R.

    V U is the sum of R products of a column of V with a row of U. Rank r uses the first r of them,
    so the ranks are nested: a larger one adds terms and keeps those of the smaller.

    Source: MCUFormer, section 3.1 (Y = X U V + b), with two factors: its third, square one is
    merged into its neighbour.

    Args:
        in_features: largest number of inputs.
        out_features: largest number of outputs per section.
        rank: largest rank R.
        bias: whether there is a bias.
        sections: number of stacked outputs, see :class:`ElasticLinear`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        *,
        bias: bool = True,
        sections: int = 1,
    ) -> None:
        super().__init__()
        self.v = ElasticLinear(in_features, rank, bias=False)
        self.u = ElasticLinear(rank, out_features, bias=bias, sections=sections)

    def forward(self, x: Tensor, out_features: int, rank: int) -> Tensor:
        """Map (..., in) to (..., sections * out) through `rank` channels."""
        out: Tensor = self.u(self.v(x, rank), out_features)
        return out


class LowRankLinear(nn.Module):
    """The static two-factor layer: weights ``v`` (rank, in) and ``u`` (out, rank)."""

    def __init__(
        self, in_features: int, out_features: int, rank: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.v = Linear(in_features, rank, bias=False)
        self.u = Linear(rank, out_features, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        out: Tensor = self.u(self.v(x))
        return out


def truncated_svd(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the factors v (rank, in) and u (out, rank) whose product is nearest to a weight.

    W = U S V^T, and its leading `rank` terms are the best approximation (Eckart and Young, 1936).
    The factors are U sqrt(S) and sqrt(S) V^T, so that both have the same scale and one learning
    rate suits them.

    Args:
        weight: dense weight (out, in).
        rank: number of terms, at most ``min(out, in)``.
    """
    left, singular, right = np.linalg.svd(weight.detach().double().numpy(), full_matrices=False)
    root = np.sqrt(singular[:rank])
    v, u = root[:, None] * right[:rank], left[:, :rank] * root
    return torch.from_numpy(v).to(weight.dtype), torch.from_numpy(u).to(weight.dtype)
