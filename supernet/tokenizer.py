"""From image to tokens: the patch embedding, with the padding that torch, numpy and C share."""

from __future__ import annotations

from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import SubnetConfig
from supernet.elastic import init_weight


class PatchEmbed(nn.Module):
    """A convolution with kernel = stride = patch_size; elastic in its output channels.

    A subnet of another patch size (in a joint supernet) uses the kernel resized by the
    pseudo-inverse of bilinear resizing, which keeps the embedding of resized patches (FlexiViT,
    Beyer et al., 2023, section 3.4).

    Args:
        subnet: the largest; gives the stored patch size.
        pad_value: normalised value of each channel that padding consists of.
    """

    def __init__(self, subnet: SubnetConfig, pad_value: tuple[float, ...]) -> None:
        super().__init__()
        patch = subnet.patch_size
        self.proj = nn.Conv2d(subnet.in_chans, subnet.embed_dim, patch, patch)
        init_weight(self.proj.weight, subnet.in_chans * patch * patch)
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]
        self.register_buffer("pad", torch.tensor(pad_value).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D) of `subnet`."""
        before, after = subnet.padding
        if before or after:
            x = functional.pad(x - self.pad, (before, after, before, after)) + self.pad
        bias, weight = self.proj.bias, self.proj.weight[: subnet.embed_dim]
        assert bias is not None
        if subnet.patch_size != weight.shape[-1]:
            resize = pseudo_inverse_resize(weight.shape[-1], subnet.patch_size)
            weight = torch.einsum("ij,dcj->dci", resize.to(weight), weight.flatten(2))
            weight = weight.unflatten(2, (subnet.patch_size, subnet.patch_size))
        bias = bias[: subnet.embed_dim]
        x = functional.conv2d(x, weight, bias, stride=subnet.patch_size)
        return rearrange(x, "b d h w -> b (h w) d")


@lru_cache(maxsize=64)
def pseudo_inverse_resize(old: int, new: int) -> Tensor:
    """Return the (new^2, old^2) matrix that resizes a flattened patch kernel."""
    basis = torch.eye(old * old).reshape(old * old, 1, old, old)
    resized = functional.interpolate(basis, (new, new), mode="bilinear", antialias=True)
    bilinear = resized.reshape(old * old, new * new)  # row: image of one old pixel
    return torch.linalg.pinv(bilinear)


def resize_positions(positions: Tensor, grid_size: int) -> Tensor:
    """Resize position embeddings (1, N, D) to another square grid, bilinearly."""
    stored = round(positions.shape[1] ** 0.5)
    if stored == grid_size:
        return positions
    image = rearrange(positions, "1 (h w) d -> 1 d h w", h=stored)
    size = (grid_size, grid_size)
    image = functional.interpolate(image, size, mode="bilinear", antialias=True)
    return rearrange(image, "1 d h w -> 1 (h w) d")
