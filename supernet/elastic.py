"""Layers whose weights are shared by slicing: a subnet uses the leading block of every tensor.

Source: AutoFormer (Chen et al., ICCV 2021), section 3.2, weight entanglement.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from supernet.rounding import FakeQuantizable


class Linear(nn.Linear, FakeQuantizable):
    """A static linear layer with the supernet's initialisation and, if asked, fake quantisation."""

    def reset_parameters(self) -> None:
        """Initialise weight and bias."""
        init_weight(self.weight, self.in_features)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return self.product(x, self.weight, self.bias)


class ElasticLinear(nn.Module, FakeQuantizable):
    """A linear layer stored at its largest size; `sections` stacked outputs share one input.

    A fused qkv projection has three sections, each of which is sliced from its own start, so that
    weight and bias keep meaning query, key and value at every width.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, sections: int = 1
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(sections, out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(sections, out_features)) if bias else None
        init_weight(self.weight, in_features)

    def sliced(self, in_features: int, out_features: int) -> tuple[Tensor, Tensor | None]:
        """Return weight (sections * out, in) and bias (sections * out,) of a subnet."""
        weight = self.weight[:, :out_features, :in_features].reshape(-1, in_features)
        bias = None if self.bias is None else self.bias[:, :out_features].reshape(-1)
        return weight, bias

    def forward(self, x: Tensor, out_features: int) -> Tensor:
        """Map (..., in) to (..., sections * out); the input's width says which columns count."""
        weight, bias = self.sliced(x.shape[-1], out_features)
        return self.product(x, weight, bias)


class ElasticLayerNorm(nn.Module):
    """Layer normalisation over the leading channels."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D) over D."""
        dim = x.shape[-1]
        return functional.layer_norm(x, (dim,), self.weight[:dim], self.bias[:dim], self.eps)


class ElasticBatchNorm(nn.Module):
    """Batch normalisation over the leading channels of (B, C, H, W)."""

    MOMENTUM, EPS = 0.1, 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel; in training mode by the batch, which the statistics follow."""
        dim = x.shape[1]
        return functional.batch_norm(
            x,
            self.running_mean[:dim],
            self.running_var[:dim],
            self.weight[:dim],
            self.bias[:dim],
            training=self.training,
            momentum=self.MOMENTUM,
            eps=self.EPS,
        )


def init_weight(weight: Tensor, in_features: int) -> None:
    """Fill `weight` from a truncated normal of standard deviation ``in_features ** -0.5``.

    The usual 0.02 suits widths of several hundred; at a width of 48 it starts too close to zero.
    """
    nn.init.trunc_normal_(weight, std=in_features**-0.5)
