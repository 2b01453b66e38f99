"""Start a supernet, or a single network, from trained weights in timm's names.

Every smaller subnet uses the leading slice of a tensor, so the best part has to come first: heads
and hidden units are sorted by importance (as in HydraViT, 2024, and OFA, 2020), and factors come
from the singular value decomposition, whose leading r terms are the best approximation of rank r
for every r (Eckart and Young, 1936).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import load_arrays
from mcuformer.run.progress import say
from mcuformer.tokenizer import NUM_CONVS
from supernet.checkpoint import read_tensors, refuse_misfits
from supernet.elastic import ElasticLinear
from supernet.low_rank import ElasticLowRankLinear, truncated_svd
from supernet.model import ElasticBlock, Supernet
from supernet.relative_position import TABLES
from supernet.tokenizer import PatchEmbed, pseudo_inverse_resize, resize_positions
from supernet.vit import Vit

CONVS = "patch_embed.convs."
UNKNOWN_PARTS = ("dist_token", "reg_token", "norm_pre", "q_norm", "k_norm", ".ls1", ".ls2")


@torch.no_grad()
def initialize(supernet: Supernet, path: Path) -> None:
    """Copy a network's weights into `supernet`, in place.

    The largest subnet then computes the same function if every linear has full rank, and depth,
    heads, hidden units, patch size and image size are equal. Two factors of a low-rank layer count
    as their product. Surplus blocks are dropped from the end, surplus heads and hidden units the
    least important first. Relative positions start at zero where the network has none. A tokenizer
    of a kind that the space lacks, and a head for another number of classes, are not copied.

    Args:
        supernet: supernet to fill.
        path: safetensors file with the names of timm's VisionTransformer and those that
            docs/files.md adds.

    Raises:
        ArtifactError: the file is missing or damaged, holds another kind of network, or a network
            smaller than the supernet.
    """
    weights = {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}
    _Source(weights, path).copy_to(supernet)


@torch.no_grad()
def start(vit: Vit, path: Path) -> None:
    """Copy the weights of a network of equal shape into `vit`, in place.

    A head for another number of classes is not copied.

    Args:
        vit: network to fill.
        path: safetensors file with the names of :class:`Vit`.

    Raises:
        ArtifactError: the file is missing or damaged, or holds a network of another shape.
    """
    weights, own = read_tensors(path), vit.state_dict()
    for_others = "head.weight" in weights and len(weights["head.weight"]) != vit.num_classes
    if for_others:
        say(f"{path}: its head is for other classes and is not copied")
        weights |= {name: own[name] for name in own if name.startswith("head.")}
    refuse_misfits(weights, own, path)
    vit.load_state_dict(weights)


@torch.no_grad()
def inherit(supernet: Supernet, path: Path) -> None:
    """Copy the weights of the joint supernet of the same space into one point's, in place.

    Every subnet then computes what it does in the joint supernet: its weights are leading slices,
    of the factors too. A point of full rank gets the product of the factors, and its largest subnet
    computes the same; patch kernel and positions are resized to the point's.

    Args:
        supernet: supernet of one point.
        path: safetensors file with the weights of the joint supernet.

    Raises:
        ArtifactError: the file is missing or damaged, or holds another network.
    """
    joint = {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}
    for name, tensor in supernet.state_dict().items():
        source = _of_joint(name, tensor, joint)
        if source is None or any(a < b for a, b in zip(source.shape, tensor.shape, strict=True)):
            raise ArtifactError(f"not the joint supernet of this space: {name}", where=path)
        tensor.copy_(source[tuple(slice(0, length) for length in tensor.shape)])


def _of_joint(name: str, tensor: Tensor, joint: dict[str, Tensor]) -> Tensor | None:
    """Return the joint supernet's tensor for one of a point's; None if there is none."""
    module, _, kind = name.rpartition(".")
    if name == "pos_embed" and name in joint:
        stored, grid = joint[name], math.isqrt(tensor.shape[1])
        first = tensor.shape[1] - grid**2
        return torch.cat([stored[:, :first], resize_positions(stored[:, first:], grid)], dim=1)
    if name in joint and module.endswith("proj") and tensor.ndim == 4:
        kernel, size = joint[name], tensor.shape[-1]
        if kernel.shape[-1] == size:
            return kernel
        resize = pseudo_inverse_resize(kernel.shape[-1], size)
        kernel = torch.einsum("ij,dcj->dci", resize.to(kernel), kernel.flatten(2))
        return kernel.reshape(*kernel.shape[:2], size, size)
    outer, inner = joint.get(f"{module}.u.{kind}"), joint.get(f"{module}.v.{kind}")
    if name in joint or outer is None:
        return joint.get(name)
    return outer @ inner if inner is not None else outer


class _Source:
    """The weights of a dense network, by timm's names."""

    def __init__(self, weights: dict[str, Tensor], path: Path) -> None:
        self.weights, self.path = weights, path
        for name in weights:
            if any(part in name for part in UNKNOWN_PARTS):
                raise ArtifactError(f"a part that supernets do not have: {name}", where=path)

    def copy_to(self, supernet: Supernet) -> None:
        """Copy everything that `supernet` has a place for."""
        largest = supernet.largest
        norm = "norm" if "norm.weight" in self.weights else "fc_norm"
        dim, depth = len(self.get(f"{norm}.weight")), self.depth
        if dim != largest.embed_dim or depth < largest.depth:
            raise ArtifactError(
                "not as wide or deep as the supernet",
                where=self.path,
                got=f"embed_dim {dim}, depth {depth}",
                expected=f"embed_dim {largest.embed_dim}, depth at least {largest.depth}",
            )
        self._tokenizer(supernet)
        self._positions(supernet)
        if supernet.cls_token is not None:
            supernet.cls_token.copy_(self.get("cls_token", (1, 1, largest.embed_dim)))
        head_dim = largest.blocks[0].head_dim
        for index, block in enumerate(supernet.blocks):
            self._block(block, index, head_dim)
        self._copy(supernet.norm, norm)
        if len(self.get("head.weight")) == largest.num_classes:
            self._linear(supernet.head, self.get("head.weight"), self.get("head.bias"))
        else:
            say(f"{self.path}: its head is for other classes and is not copied")

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len({name.split(".")[1] for name in self.weights if name.startswith("blocks.")})

    def get(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """Return a weight as float32; refuse one that is missing or not of `shape`."""
        if name not in self.weights:
            raise ArtifactError(f"no weight {name}, which every timm ViT has", where=self.path)
        tensor = self.weights[name].float()
        if shape is not None and tuple(tensor.shape) != shape:
            raise ArtifactError(
                f"{name} does not fit the supernet",
                where=self.path,
                got=tuple(tensor.shape),
                expected=shape,
            )
        return tensor

    def _tokenizer(self, supernet: Supernet) -> None:
        """Copy the tokenizer, if the space has one of its kind."""
        convs = {name.split(".")[2] for name in self.weights if name.startswith(CONVS)}
        kind = next((name for name, count in NUM_CONVS.items() if count == len(convs)), "other")
        if kind not in supernet.tokenizers:
            say(f"{self.path}: the space has no {kind} tokenizer; no tokenizer is copied")
        elif isinstance(tokenizer := supernet.tokenizers[kind], PatchEmbed):
            self._patch_embed(tokenizer)
        else:  # whose channels are those of the largest subnet
            for name, tensor in tokenizer.state_dict().items():
                tensor.copy_(self.get(f"patch_embed.{name}", tuple(tensor.shape)))

    def _patch_embed(self, tokenizer: PatchEmbed) -> None:
        """Copy the patch embedding, resized to the supernet's patch size."""
        weight, bias = tokenizer.proj.weight, tokenizer.proj.bias
        kernel = self.get("patch_embed.proj.weight")
        source_size, size = kernel.shape[-1], weight.shape[-1]
        if kernel.shape[:2] != weight.shape[:2]:
            self.get("patch_embed.proj.weight", (*weight.shape[:2], source_size, source_size))
        if source_size != size:
            resize = pseudo_inverse_resize(source_size, size)
            kernel = torch.einsum("ij,dcj->dci", resize, kernel.flatten(2))
        weight.copy_(kernel.reshape(weight.shape))
        bias.copy_(self.get("patch_embed.proj.bias", tuple(bias.shape)))

    def _positions(self, supernet: Supernet) -> None:
        """Copy the position embedding, resized to the supernet's grid.

        The class token has a position if the length is a square plus one: the patches' grid is
        square.
        """
        if supernet.pos_embed is None:
            return
        positions, stored = self.get("pos_embed"), supernet.pos_embed
        has_class = int(round((positions.shape[1] - 1) ** 0.5) ** 2 == positions.shape[1] - 1)
        wants_class = int(supernet.largest.class_token)
        grid = round((stored.shape[1] - wants_class) ** 0.5)
        patches = resize_positions(positions[:, has_class:], grid)
        first = positions[:, :1] if has_class else torch.zeros_like(positions[:, :1])
        stored.copy_(torch.cat([first, patches], dim=1) if wants_class else patches)

    def _block(self, block: ElasticBlock, index: int, head_dim: int) -> None:
        """Copy one block, its heads and its hidden units sorted by importance.

        Head h adds softmax(...) x V_h O_h to the stream, where V_h and O_h are its value and output
        weights. Attention weights sum to 1, so ||V_h|| ||O_h|| bounds what it can add; queries and
        keys only decide where it looks. Hidden unit u adds act(fc1_u x) fc2_u, which likewise
        ||fc1_u|| ||fc2_u|| bounds. Sorting reorders the terms of a sum, which keeps the function.
        """
        prefix = f"blocks.{index}"
        for norm in ("norm1", "norm2"):
            self._copy(getattr(block, norm), f"{prefix}.{norm}")
        if block.attn.relative is not None:
            self._relative(block.attn.relative, f"{prefix}.attn.relative")
        qkv, qkv_bias = self._dense(f"{prefix}.attn.qkv")
        proj, proj_bias = self._dense(f"{prefix}.attn.proj")
        if len(qkv) % (3 * head_dim):
            raise ArtifactError(
                "heads of another width than the supernet's",
                where=self.path,
                got=f"{len(qkv) // 3} attention channels",
                expected=f"a multiple of head_dim {head_dim}",
            )
        q, k, v = qkv.reshape(3, -1, head_dim, qkv.shape[1])
        importance = v.flatten(1).norm(dim=1) * proj.reshape(len(proj), -1, head_dim).norm(
            dim=(0, 2)
        )
        heads = importance.argsort(descending=True)
        rows = (heads[:, None] * head_dim + torch.arange(head_dim)).flatten()
        stacked = torch.cat([part.flatten(0, 1)[rows] for part in (q, k, v)])
        bias = torch.cat([part[rows] for part in qkv_bias.reshape(3, -1)])
        self._linear(block.attn.qkv, stacked, bias)
        self._linear(block.attn.proj, proj[:, rows], proj_bias)
        (fc1, fc1_bias), (fc2, fc2_bias) = (
            self._dense(f"{prefix}.mlp.{name}") for name in ("fc1", "fc2")
        )
        units = (fc1.norm(dim=1) * fc2.norm(dim=0)).argsort(descending=True)
        self._linear(block.mlp.fc1, fc1[units], fc1_bias[units])
        self._linear(block.mlp.fc2, fc2[:, units], fc2_bias)

    def _dense(self, path: str) -> tuple[Tensor, Tensor]:
        """Return weight (out, in) and bias (out,) of a linear; of two factors, the product."""
        if f"{path}.v.weight" in self.weights:
            weight = self.get(f"{path}.u.weight") @ self.get(f"{path}.v.weight")
            path = f"{path}.u"
        else:
            weight = self.get(f"{path}.weight")
        if ".qkv" in path and f"{path}.bias" not in self.weights:
            return weight, torch.zeros(len(weight))
        return weight, self.get(f"{path}.bias", (len(weight),))

    def _relative(self, tables: nn.Module, prefix: str) -> None:
        """Copy relative positions, of the same distances; where there are none, they are zero."""
        for name in TABLES:
            table: Tensor = getattr(tables, name)
            if f"{prefix}.{name}" in self.weights:
                table.copy_(self.get(f"{prefix}.{name}", tuple(table.shape)))
            else:
                table.zero_()

    def _copy(self, module: nn.Module, prefix: str) -> None:
        for name, parameter in module.named_parameters():
            parameter.copy_(self.get(f"{prefix}.{name}", tuple(parameter.shape)))

    def _linear(
        self, layer: ElasticLinear | ElasticLowRankLinear, weight: Tensor, bias: Tensor
    ) -> None:
        """Fill an elastic linear from the leading rows and columns of a dense one (out, in)."""
        inner, outer = (
            (layer.v, layer.u) if isinstance(layer, ElasticLowRankLinear) else (None, layer)
        )
        sections, out = outer.weight.shape[:2]
        features_in = (outer if inner is None else inner).weight.shape[2]
        parts = weight.reshape(sections, -1, weight.shape[1])
        if parts.shape[1] < out or parts.shape[2] < features_in:
            raise ArtifactError(
                "a layer smaller than the supernet's",
                where=self.path,
                got=f"{tuple(parts.shape[1:])} (out, in)",
                expected=f"at least {(out, features_in)}",
            )
        parts = parts[:, :out, :features_in]
        if outer.bias is not None:
            outer.bias.copy_(bias.reshape(sections, -1)[:, :out])
        if inner is None:
            outer.weight.copy_(parts)
            return
        v, u = truncated_svd(parts.reshape(-1, features_in), inner.weight.shape[1])
        inner.weight.copy_(v[None])
        outer.weight.copy_(u.reshape(outer.weight.shape))
