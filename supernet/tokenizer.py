"""From image to tokens, with the padding that torch, numpy and C share; elastic in its width."""

from __future__ import annotations

from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mcuformer.subnet import SubnetConfig
from supernet.elastic import ElasticBatchNorm, init_weight


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

    def sliced(self, subnet: SubnetConfig) -> dict[str, Tensor]:
        """Return the weights of `subnet`, by their names in its own tokenizer."""
        bias, weight = self.proj.bias, self.proj.weight[: subnet.embed_dim]
        assert bias is not None
        if subnet.patch_size != weight.shape[-1]:
            resize = pseudo_inverse_resize(weight.shape[-1], subnet.patch_size)
            weight = torch.einsum("ij,dcj->dci", resize.to(weight), weight.flatten(2))
            weight = weight.unflatten(2, (subnet.patch_size, subnet.patch_size))
        return {"proj.weight": weight, "proj.bias": bias[: subnet.embed_dim]}

    def forward(self, x: Tensor, subnet: SubnetConfig) -> Tensor:
        """Map images (B, C, H, W) to tokens (B, N, D) of `subnet`."""
        before, after = subnet.padding
        if before or after:
            x = functional.pad(x - self.pad, (before, after, before, after)) + self.pad
        weights = self.sliced(subnet)
        x = functional.conv2d(
            x, weights["proj.weight"], weights["proj.bias"], stride=subnet.patch_size
        )
        return rearrange(x, "b d h w -> b (h w) d")


class ConvTokenizer(nn.Module):
    """One or two of: 3 x 3 convolution, batch norm, ReLU, 3 x 3 max pooling of stride 2.

    Elastic in the last one's output channels; the channels between are fixed, so that the batch
    statistics of a channel do not depend on the subnet. Source: CCT (Hassani et al., 2021), 3.3.

    Args:
        subnet: the largest.
        pad_value: normalised value of each channel that padding of the image consists of.
    """

    def __init__(self, subnet: SubnetConfig, pad_value: tuple[float, ...]) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for conv in subnet.convs:
            layer = nn.Conv2d(conv.in_chans, conv.out_chans, 3, bias=False)
            init_weight(layer.weight, 9 * conv.in_chans)
            self.convs.append(layer)
            self.norms.append(ElasticBatchNorm(conv.out_chans))
        self.register_buffer("pad", torch.tensor(pad_value).view(1, -1, 1, 1), persistent=False)

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
        x = functional.pad(x - self.pad, (1, 1, 1, 1)) + self.pad
        for index, conv in enumerate(subnet.convs):
            weight = self.convs[index].weight[: conv.out_chans]
            x = functional.conv2d(x, weight, stride=conv.stride, padding=min(index, 1))
            x = functional.relu(self.norms[index](x))
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        return rearrange(x, "b d h w -> b (h w) d")


def build_tokenizer(
    subnet: SubnetConfig, pad_value: tuple[float, ...]
) -> PatchEmbed | ConvTokenizer:
    """Build the tokenizer of `subnet`, whose forward takes a subnet of at most its width."""
    kind = PatchEmbed if subnet.tokenizer == "patch" else ConvTokenizer
    return kind(subnet, pad_value)


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
