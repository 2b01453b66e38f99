"""The operator registry: every operator of the library by name."""

from oplib.ops.add import Add, AddS16
from oplib.ops.attention import Attention, AttentionRelative
from oplib.ops.attention_block import AttentionBlock
from oplib.ops.base import Operator
from oplib.ops.classifier import Classifier
from oplib.ops.conv_pool import ConvPool
from oplib.ops.embed_tokens import EmbedTokens, EmbedTokensS16
from oplib.ops.gelu import Gelu, GeluPolynomial, GeluSigmoid
from oplib.ops.layer_norm import LayerNorm, LayerNormS16
from oplib.ops.linear import Linear, LinearAdd, LinearFromS16, LinearGelu, LinearToS16
from oplib.ops.mean_pool import MeanPool, MeanPoolS16
from oplib.ops.mlp_block import MlpBlock
from oplib.ops.patch_embed import (
    PatchEmbed,
    PatchEmbedPasses,
    PatchEmbedPassesS16,
    PatchEmbedPassesStrips,
    PatchEmbedStrips,
)
from oplib.ops.take_token import TakeToken

OPERATORS: dict[str, Operator] = {
    "add": Add(),
    "add_s16": AddS16(),
    "attention": Attention(),
    "attention_block": AttentionBlock(),
    "attention_relative": AttentionRelative(),
    "classifier": Classifier(),
    "conv_pool": ConvPool(),
    "embed_tokens": EmbedTokens(),
    "embed_tokens_s16": EmbedTokensS16(),
    "gelu": Gelu(),
    "gelu_polynomial": GeluPolynomial(),
    "gelu_sigmoid": GeluSigmoid(),
    "layer_norm": LayerNorm(),
    "layer_norm_s16": LayerNormS16(),
    "linear": Linear(),
    "linear_add": LinearAdd(),
    "linear_gelu": LinearGelu(),
    "linear_from_s16": LinearFromS16(),
    "linear_to_s16": LinearToS16(),
    "mlp_block": MlpBlock(),
    "mean_pool": MeanPool(),
    "mean_pool_s16": MeanPoolS16(),
    "patch_embed": PatchEmbed(),
    "patch_embed_passes": PatchEmbedPasses(),
    "patch_embed_passes_s16": PatchEmbedPassesS16(),
    "patch_embed_passes_strips": PatchEmbedPassesStrips(),
    "patch_embed_strips": PatchEmbedStrips(),
    "take_token": TakeToken(),
}

FAMILIES = (
    "patch_embed",
    "conv_pool",
    "embed_tokens",
    "linear",
    "classifier",
    "layer_norm",
    "attention",
    "gelu",
    "add",
    "mean_pool",
    "take_token",
)


def family(op: str) -> str:
    """Return the operator whose float form a form of it shares, for instance ``gelu``."""
    return next(name for name in FAMILIES if op.startswith(name))
