"""Convert checkpoints of AutoFormer and of MCUFormer's released code to this project's names.

Both codes slice a subnet's fused qkv projection inconsistently: every third row of the weight, but
the leading entries of the bias (Cream issue #121). MCUFormer permutes the rows of its first two
factors in the same way, without permuting the columns that read them. A subnet is therefore
converted with exactly these slices and its factors multiplied out, which keeps its function. A
whole supernet stores one bias per row, which is exact for the widest subnet only.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from mcuformer.errors import ArtifactError
from mcuformer.subnet import (
    LINEARS,
    BlockConfig,
    LinearName,
    SubnetConfig,
    build_block,
    ratio_of_hidden,
)
from supernet.relative_position import TABLES

Tensors = dict[str, Tensor]
PATHS: dict[LinearName, tuple[str, str]] = {  # theirs, ours
    "qkv": ("attn.qkv", "attn.qkv"),
    "proj": ("attn.proj", "attn.proj"),
    "fc1": ("fc1", "mlp.fc1"),
    "fc2": ("fc2", "mlp.fc2"),
}
HEAD_DIM = 64  # in every published supernet
RELATIVE = ("k.embeddings_table_v", "k.embeddings_table_h")
RELATIVE_TABLES = dict(
    zip(TABLES, (*RELATIVE, *(name.replace("k.", "v.", 1) for name in RELATIVE)), strict=True)
)


class ReleasedCheckpoint:
    """A ``.pth`` file of either code; only tensors are unpickled.

    Args:
        path: the file.
        img_size: side of the images in pixels; needed only if patches do not divide it.

    Raises:
        ArtifactError: the file is missing or damaged, holds more than tensors, or is not a
            checkpoint of either code.
    """

    def __init__(self, path: Path, img_size: int | None = None) -> None:
        self.path = path
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise ArtifactError("no such file", where=path) from error
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ArtifactError(f"not a file of tensors alone: {reason}", where=path) from error
        tensors = loaded.get("model", loaded) if isinstance(loaded, dict) else {}
        if "patch_embed_super.proj.weight" not in tensors:
            raise ArtifactError("not an AutoFormer or MCUFormer supernet", where=path)
        self.tensors: Tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self.img_size = img_size

    @property
    def factors(self) -> bool:
        """Whether each linear is stored as three factors (MCUFormer)."""
        return "blocks.0.fc11.weight" in self.tensors

    @property
    def relative(self) -> bool:
        """Whether there are relative position tables."""
        return "blocks.0.attn.rel_pos_embed_k.embeddings_table_v" in self.tensors

    def largest(self) -> SubnetConfig:
        """Return the largest subnet as a dense network; head_dim is the tables' width, or 64."""
        table = "blocks.0.attn.rel_pos_embed_k.embeddings_table_v"
        head_dim = self.tensors[table].shape[1] if self.relative else HEAD_DIM
        kernel = self.tensors["patch_embed_super.proj.weight"]
        dim, in_chans, patch_size = kernel.shape[0], kernel.shape[1], kernel.shape[2]
        depth = len({name.split(".")[1] for name in self.tensors if name.startswith("blocks.")})
        attn = self._last("blocks.0", "qkv", "bias").shape[0] // 3
        hidden = self._last("blocks.0", "fc1", "bias").shape[0]
        grid = round((self.tensors["pos_embed"].shape[1] - 1) ** 0.5)
        distance = (len(self.tensors[table]) - 2) // 2 if self.relative else None
        return SubnetConfig(
            img_size=grid * patch_size if self.img_size is None else self.img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            num_classes=len(self.tensors["head.bias"]),
            embed_dim=dim,
            blocks=(build_block(attn // head_dim, head_dim, ratio_of_hidden(hidden, dim)),) * depth,
            class_token=True,
            relative_position=distance,
            norm_eps=1e-5,
        )

    def subnet_weights(self, subnet: SubnetConfig, rank_ratio: float = 1.0) -> Tensors:
        """Return the weights of a dense subnet, by the names of :class:`supernet.vit.Vit`.

        Args:
            subnet: dense subnet whose genes do not exceed :meth:`largest`.
            rank_ratio: rank ratio of MCUFormer's MLP factors, relative to the subnet's width; its
                attention factors always keep their stored rank.

        Raises:
            ArtifactError: the checkpoint does not contain the subnet.
        """
        largest, dim = self.largest(), subnet.embed_dim
        if not _within(subnet, largest):
            raise ArtifactError(
                "a subnet beyond the checkpoint",
                where=self.path,
                got=subnet.model_dump_json(),
                expected=f"at most {largest.model_dump_json()}",
            )
        weights = {
            "patch_embed.proj.weight": self.tensors["patch_embed_super.proj.weight"][:dim],
            "patch_embed.proj.bias": self.tensors["patch_embed_super.proj.bias"][:dim],
            "cls_token": self.tensors["cls_token"][..., :dim],
            "pos_embed": self.tensors["pos_embed"][..., :dim],
            "norm.weight": self.tensors["norm.weight"][:dim],
            "norm.bias": self.tensors["norm.bias"][:dim],
            "head.weight": self.tensors["head.weight"][:, :dim],
            "head.bias": self.tensors["head.bias"],
        }
        for index, block in enumerate(subnet.blocks):
            prefix = f"blocks.{index}"
            for ours, theirs in (("norm1", "attn_layer_norm"), ("norm2", "ffn_layer_norm")):
                for part in ("weight", "bias"):
                    tensor = self.tensors[f"{prefix}.{theirs}.{part}"]
                    weights[f"{prefix}.{ours}.{part}"] = tensor[:dim]
            if subnet.relative_position is not None:
                weights |= self._relative(prefix, block)
            for name in LINEARS:
                rank = int(dim * rank_ratio) if name in ("fc1", "fc2") else None
                shape = subnet.linear_shape(index, name)
                weight, bias = self._linear(prefix, name, shape, rank)
                ours = f"{prefix}.{PATHS[name][1]}"
                weights |= {f"{ours}.weight": weight, f"{ours}.bias": bias}
        return {name: tensor.contiguous() for name, tensor in weights.items()}

    def supernet_weights(self) -> Tensors:
        """Return the weights of the whole dense supernet, by the names of `Supernet`."""
        weights = self.subnet_weights(self.largest())
        result = {}
        for name, tensor in weights.items():
            sections = 3 if ".qkv." in name else 1
            linear = name.startswith("blocks.") and any(f".{part}." in name for part in LINEARS)
            stacked = linear or name.startswith("head.")
            result[name.replace("patch_embed.", "tokenizers.patch.")] = (
                tensor.reshape(sections, -1, *tensor.shape[1:]) if stacked else tensor
            )
        return result

    def _relative(self, prefix: str, block: BlockConfig) -> Tensors:
        return {
            f"{prefix}.attn.relative.{ours}": self.tensors[f"{prefix}.attn.rel_pos_embed_{theirs}"][
                :, : block.head_dim
            ]
            for ours, theirs in RELATIVE_TABLES.items()
        }

    def _last(self, prefix: str, name: LinearName, part: str) -> Tensor:
        """Return the weight or bias of a linear, or of the last of its three factors."""
        tensor_name = f"{prefix}.{PATHS[name][0]}{'3' if self.factors else ''}.{part}"
        if tensor_name not in self.tensors:
            raise ArtifactError(f"no {tensor_name}", where=self.path)
        return self.tensors[tensor_name]

    def _linear(
        self, prefix: str, name: LinearName, shape: tuple[int, int], rank: int | None
    ) -> tuple[Tensor, Tensor]:
        """Return the dense weight (out, in) and bias (out,) of one linear of a subnet.

        With three factors y = W3 (W2 (W1 x)) + b and nothing between them, so the dense weight is
        W3[:, :r] W2[:r, :r] W1[:r, :in]. In qkv the rows of all three are taken interleaved, while
        the columns that read W1 and W2 are the leading ones: wrong, but what was trained.
        """
        features_in, features_out = shape
        rows = interleaved(features_out) if name == "qkv" else torch.arange(features_out)
        last = self._last(prefix, name, "weight")[rows]
        bias = self._last(prefix, name, "bias")[:features_out]
        if not self.factors:
            return last[:, :features_in], bias
        theirs = f"{prefix}.{PATHS[name][0]}"
        first, middle = (self.tensors[f"{theirs}{number}.weight"] for number in (1, 2))
        rank = len(first) if rank is None else min(rank, len(first))
        kept = interleaved(rank) if name == "qkv" else torch.arange(rank)
        inner = middle[kept][:, :rank] @ first[kept][:, :features_in]
        return last[:, :rank] @ inner, bias


def interleaved(count: int) -> Tensor:
    """Return the row numbers 0, 3, 6, ..., then 1, 4, ..., then 2, 5, ..., all below `count`.

    >>> interleaved(7).tolist()
    [0, 3, 6, 1, 4, 2, 5]
    """
    return torch.cat([torch.arange(start, count, 3) for start in range(3)])


def _within(subnet: SubnetConfig, largest: SubnetConfig) -> bool:
    """Return whether a dense `subnet` is a slice of `largest`."""
    same = ("patch_size", "in_chans", "num_classes", "class_token", "relative_position")
    dense = all(subnet.rank(i, name) is None for i in range(subnet.depth) for name in LINEARS)
    return (
        dense
        and all(getattr(subnet, name) == getattr(largest, name) for name in same)
        and subnet.embed_dim <= largest.embed_dim
        and subnet.depth <= largest.depth
        and subnet.num_patches == largest.num_patches
        and all(
            block.attn_dim <= largest.blocks[0].attn_dim
            and subnet.hidden_dim(index) <= largest.hidden_dim(0)
            for index, block in enumerate(subnet.blocks)
        )
    )
