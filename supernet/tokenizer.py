"""Tokenizers, elastic in their width; they pad images as the numpy reference and the C do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import SubnetConfig
from supernet.elastic import ElasticBatchNorm, init_weight
from supernet.modules import TypedModuleList


class Tokenizer(nn.Module, ABC):
    """Maps images to tokens; subnets share its weights by slicing.

    Args:
        pad_value: normalised value of the padding pixel, per channel.
    """

    pad: Tensor

    def __init__(self, pad_value: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("pad", torch.tensor(pad_value).view(1, -1, 1, 1), persistent=False)

    @property
    def pad_value(self) -> tuple[float, ...]:
        """Normalised value of the padding pixel, per channel."""
        return tuple(self.pad.flatten().tolist())

    @abstractmethod
    def sliced(self, subnet: SubnetConfig) -> dict[str, Tensor]:
        """Return the weights of `subnet`, by their names in its own tokenizer."""

    @abstractmethod
    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D) of `subnet`."""

    def padded(self, x: Tensor, before: int, after: int) -> Tensor:
        """Pad images (B, C, H, W) by `before` at top and left, by `after` at bottom and right."""
        return functional.pad(x - self.pad, (before, after, before, after)) + self.pad


class _Projection(nn.Conv2d):
    """A convolution that always has a bias."""

    bias: nn.Parameter


class PatchEmbed(Tokenizer):
    """A convolution with kernel = stride = patch_size, elastic in its output channels.

    In a joint supernet, a subnet of another patch size uses the kernel resized by the
    pseudo-inverse of bilinear resizing (FlexiViT, Beyer et al., 2023, section 3.4).

    Args:
        subnet: largest subnet; it gives the stored patch size.
        pad_value: normalised value of the padding pixel, per channel.
    """

    def __init__(self, subnet: SubnetConfig, pad_value: tuple[float, ...]) -> None:
        super().__init__(pad_value)
        patch = subnet.patch_size
        self.proj = _Projection(subnet.in_chans, subnet.embed_dim, patch, patch)
        init_weight(self.proj.weight, subnet.in_chans * patch * patch)
        nn.init.zeros_(self.proj.bias)

    def sliced(self, subnet: SubnetConfig) -> dict[str, Tensor]:
        """Return the weights of `subnet`, by their names in its own tokenizer."""
        weight: Tensor = self.proj.weight[: subnet.embed_dim]
        if subnet.patch_size != weight.shape[-1]:
            resize = pseudo_inverse_resize(weight.shape[-1], subnet.patch_size)
            weight = torch.einsum("ij,dcj->dci", resize.to(weight), weight.flatten(2))
            weight = weight.reshape(*weight.shape[:2], subnet.patch_size, subnet.patch_size)
        return {"proj.weight": weight, "proj.bias": self.proj.bias[: subnet.embed_dim]}

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D) of `subnet`."""
        before, after = subnet.padding
        if before or after:
            x = self.padded(x, before, after)
        weights = self.sliced(subnet)
        x = functional.conv2d(
            x, weights["proj.weight"], weights["proj.bias"], stride=subnet.patch_size
        )
        return rearrange(x, "b d h w -> b (h w) d")


class ConvTokenizer(Tokenizer):
    """One or two of: 3 x 3 convolution, batch norm, ReLU, 3 x 3 max pooling of stride 2.

    Only the output channels of the last convolution are elastic. Those in between are fixed, so
    that the batch statistics of a channel do not depend on the subnet. Source: CCT (Hassani et al.,
    2021), section 3.3.

    Args:
        subnet: largest subnet.
        pad_value: normalised value of the padding pixel, per channel.
    """

    def __init__(self, subnet: SubnetConfig, pad_value: tuple[float, ...]) -> None:
        super().__init__(pad_value)
        self.convs = TypedModuleList(_convolution(c.in_chans, c.out_chans) for c in subnet.convs)
        self.norms = TypedModuleList(ElasticBatchNorm(c.out_chans) for c in subnet.convs)

    def sliced(self, subnet: SubnetConfig) -> dict[str, Tensor]:
        """Return the weights of `subnet`, by their names in its own tokenizer."""
        weights = {}
        for index, conv in enumerate(subnet.convs):
            weights[f"convs.{index}.weight"] = self.convs[index].weight[: conv.out_chans]
            for name, tensor in self.norms[index].state_dict().items():
                weights[f"norms.{index}.{name}"] = tensor[: conv.out_chans]
        return weights

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D) of `subnet`."""
        # channels last: a convolution on a CPU is faster so, and tokens need no transposition
        x = self.padded(x, 1, 1).to(memory_format=torch.channels_last)
        for index, conv in enumerate(subnet.convs):
            weight = self.convs[index].weight[: conv.out_chans]
            x = functional.conv2d(x, weight, stride=conv.stride, padding=min(index, 1))
            x = functional.relu(self.norms[index](x))
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        return rearrange(x, "b d h w -> b (h w) d")


def _convolution(in_chans: int, out_chans: int) -> nn.Conv2d:
    layer = nn.Conv2d(in_chans, out_chans, 3, bias=False)
    init_weight(layer.weight, 9 * in_chans)
    return layer


def build_tokenizer(subnet: SubnetConfig, pad_value: tuple[float, ...]) -> Tokenizer:
    """Build a tokenizer as wide as that of `subnet`; its forward takes subnets up to this width."""
    if subnet.tokenizer == "patch":
        return PatchEmbed(subnet, pad_value)
    return ConvTokenizer(subnet, pad_value)


@lru_cache(maxsize=64)
def pseudo_inverse_resize(old: int, new: int) -> Tensor:
    """Return the (new^2, old^2) matrix that resizes a flattened patch kernel.

    Bilinear resizing of a patch x is x B, with B (old^2, new^2). The resized kernel w' shall give
    the resized patch the old embedding: x B w' = x w for all x, so B w' = w, of which w' = B^+ w is
    the least-squares solution (exact when enlarging).
    """
    basis = torch.eye(old * old).reshape(old * old, 1, old, old)
    resized = functional.interpolate(basis, (new, new), mode="bilinear", antialias=True)
    bilinear = resized.reshape(old * old, new * new)  # row i: resized image of old pixel i
    inverse: Tensor = torch.linalg.pinv(bilinear)
    return inverse


def resize_positions(positions: Tensor, grid_size: int) -> Tensor:
    """Resize position embeddings (1, N, D) to another square grid, bilinearly."""
    stored = round(positions.shape[1] ** 0.5)
    if stored == grid_size:
        return positions
    image = rearrange(positions, "1 (h w) d -> 1 d h w", h=stored)
    size = (grid_size, grid_size)
    image = functional.interpolate(image, size, mode="bilinear", antialias=True)
    return rearrange(image, "1 d h w -> 1 (h w) d")
