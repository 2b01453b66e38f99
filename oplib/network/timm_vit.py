"""A vision transformer that the user trained with timm, described in timm's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mcuformer.errors import LoweringError
from mcuformer.limits import (
    Depth,
    ImgSize,
    InChans,
    MlpRatio,
    NormEps,
    NumClasses,
    NumHeads,
    PatchSize,
    Width,
)
from mcuformer.subnet import Activation, BlockConfig, SubnetConfig
from mcuformer.value import Value
from oplib.ops.base import Array


class TimmVit(Value):
    """Arguments of ``timm.models.VisionTransformer`` that shape the network, with timm's defaults.

    A null `fc_norm` is timm's rule: the norm follows the pooling where `global_pool` is ``avg``.
    """

    img_size: ImgSize = 224
    patch_size: PatchSize = 16
    in_chans: InChans = 3
    num_classes: NumClasses = 1000
    embed_dim: Width = 768
    depth: Depth = 12
    num_heads: NumHeads = 12
    mlp_ratio: MlpRatio = 4.0
    act_layer: Activation = "gelu"
    qkv_bias: bool = True
    class_token: bool = True
    global_pool: Literal["avg", "token"] = "token"
    fc_norm: bool | None = None
    norm_eps: NormEps = 1e-6

    def subnet(self) -> SubnetConfig:
        """Return the network as a dense subnet.

        Raises:
            LoweringError: the operator library does not support the arguments.
        """
        if self.embed_dim % self.num_heads:
            raise LoweringError(
                "embed_dim is no multiple of num_heads", where="vit.embed_dim", got=self.embed_dim
            )
        if self.img_size % self.patch_size:
            raise LoweringError(
                "timm crops where patch_size does not divide img_size",
                where="vit.patch_size",
                got=self.patch_size,
                expected=f"a divisor of {self.img_size}",
            )
        head_dim = self.embed_dim // self.num_heads
        block = BlockConfig(
            num_heads=self.num_heads,
            head_dim=head_dim,
            mlp_ratio=self.mlp_ratio,
            activation=self.act_layer,
        )
        return SubnetConfig(
            img_size=self.img_size,
            patch_size=self.patch_size,
            in_chans=self.in_chans,
            num_classes=self.num_classes,
            embed_dim=self.embed_dim,
            blocks=(block,) * self.depth,
            qkv_bias=self.qkv_bias,
            class_token=self.class_token,
            global_pool=self.global_pool,
            fc_norm=self.global_pool == "avg" if self.fc_norm is None else self.fc_norm,
            norm_eps=self.norm_eps,
        )


def refuse_unknown_parts(weights: Mapping[str, Array]) -> None:
    """Refuse weights of layers that have no operator in the graph.

    Raises:
        LoweringError: naming the layer and the weight.
    """
    known = {
        "dist_token": "a distillation token",
        "reg_token": "register tokens",
        "norm_pre": "a norm before the blocks",
        "q_norm": "a query norm",
        "k_norm": "a key norm",
        ".ls1": "layer scale",
    }
    for name in weights:
        for part, meaning in known.items():
            if part in name:
                raise LoweringError(f"{meaning} is not supported yet", where=f"weights.{name}")
