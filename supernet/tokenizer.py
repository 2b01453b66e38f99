"""From image to tokens: the patch embedding, with the padding that torch, numpy and C share."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import SubnetConfig
from supernet.elastic import init_weight


class PatchEmbed(nn.Module):
    """A convolution with kernel = stride = patch_size; elastic in its output channels.

    Args:
        subnet: gives image, patch and padding.
        pad_value: normalised value of each channel that padding consists of.
    """

    def __init__(self, subnet: SubnetConfig, pad_value: tuple[float, ...]) -> None:
        super().__init__()
        patch = subnet.patch_size
        self.proj = nn.Conv2d(subnet.in_chans, subnet.embed_dim, patch, patch)
        init_weight(self.proj.weight, subnet.in_chans * patch * patch)
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]
        before, after = subnet.padding
        self.padding = (before, after, before, after)
        self.register_buffer("pad", torch.tensor(pad_value).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor, embed_dim: int) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D)."""
        if any(self.padding):
            x = functional.pad(x - self.pad, self.padding) + self.pad
        bias = self.proj.bias
        weight = self.proj.weight[:embed_dim]
        assert bias is not None
        x = functional.conv2d(x, weight, bias[:embed_dim], stride=self.proj.stride)
        return rearrange(x, "b d h w -> b (h w) d")
