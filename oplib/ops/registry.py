"""The operator registry: every operator of the library, by name."""

from __future__ import annotations

from typing import Any

from oplib.graph import Branch
from oplib.ops.add import Add, AddS16
from oplib.ops.attention import Attention
from oplib.ops.attention_block import AttentionBlock, AttentionRelativeBlock
from oplib.ops.attention_relative import AttentionRelative
from oplib.ops.base import Operator
from oplib.ops.classifier import Classifier
from oplib.ops.conv_pool import ConvPool
from oplib.ops.conv_tokens import (
    ConvTokens,
    ConvTokensS16,
    ConvTokensStrips,
    ConvTokensStripsS16,
)
from oplib.ops.embed_tokens import EmbedTokens, EmbedTokensS16
from oplib.ops.fused import BlockOperator
from oplib.ops.gelu import Gelu, GeluPolynomial, GeluSigmoid
from oplib.ops.hard_swish import HardSwish
from oplib.ops.layer_norm import LayerNorm, LayerNormS16
from oplib.ops.linear import Linear, LinearFromS16, LinearToS16
from oplib.ops.linear_fused import LinearAdd, LinearTable
from oplib.ops.mean_pool import MeanPool, MeanPoolS16
from oplib.ops.mlp_block import MlpBlock
from oplib.ops.patch_embed import PatchEmbed, PatchEmbedInPlace
from oplib.ops.patch_embed_passes import (
    PatchEmbedPasses,
    PatchEmbedPassesS16,
    PatchEmbedPassesStrips,
    PatchEmbedStrips,
)
from oplib.ops.relu import Relu
from oplib.ops.take_token import TakeToken

# The operators that stream each half of a transformer block, each for some forms of it.
BLOCKS: dict[Branch, dict[str, BlockOperator[Any]]] = {
    "attention": {
        "attention_block": AttentionBlock(),
        "attention_relative_block": AttentionRelativeBlock(),
    },
    "mlp": {"mlp_block": MlpBlock()},
}

# The operator that streams a convolutional tokenizer, by the one that embeds its tokens.
TOKENIZERS = {"embed_tokens": "conv_tokens", "embed_tokens_s16": "conv_tokens_s16"}

OPERATORS: dict[str, Operator[Any]] = {
    "add": Add(),
    "add_s16": AddS16(),
    "attention": Attention(),
    "attention_relative": AttentionRelative(),
    "classifier": Classifier(),
    "conv_pool": ConvPool(),
    "conv_tokens": ConvTokens(),
    "conv_tokens_s16": ConvTokensS16(),
    "conv_tokens_strips": ConvTokensStrips(),
    "conv_tokens_strips_s16": ConvTokensStripsS16(),
    "embed_tokens": EmbedTokens(),
    "embed_tokens_s16": EmbedTokensS16(),
    "gelu": Gelu(),
    "gelu_polynomial": GeluPolynomial(),
    "gelu_sigmoid": GeluSigmoid(),
    "hard_swish": HardSwish(),
    "layer_norm": LayerNorm(),
    "layer_norm_s16": LayerNormS16(),
    "linear": Linear(),
    "linear_add": LinearAdd(),
    "linear_table": LinearTable(),
    "linear_from_s16": LinearFromS16(),
    "linear_to_s16": LinearToS16(),
    "mean_pool": MeanPool(),
    "mean_pool_s16": MeanPoolS16(),
    "patch_embed": PatchEmbed(),
    "patch_embed_in_place": PatchEmbedInPlace(),
    "patch_embed_passes": PatchEmbedPasses(),
    "patch_embed_passes_s16": PatchEmbedPassesS16(),
    "patch_embed_passes_strips": PatchEmbedPassesStrips(),
    "patch_embed_strips": PatchEmbedStrips(),
    "relu": Relu(),
    "take_token": TakeToken(),
    **{op: operator for operators in BLOCKS.values() for op, operator in operators.items()},
}
