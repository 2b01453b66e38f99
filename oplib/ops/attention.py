"""Multi-head attention in integers, with a table softmax and one division a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.operator import Array, ArraySpec, Field, Lowered, LoweringContext, Operator, Params
from oplib.ops.softmax import MAX_TOKENS, TABLE_SIZE, exp_table, softmax_weights
from oplib.quant import integer_matmul, multiplier, requantize


def scores_name(node: Node) -> str:
    """Name the scores inside an attention node, for calibration."""
    return f"{node.name}.scores"


def split_heads(x: Array, num_heads: int) -> Array:
    """(B, N, H * d) to (B, H, N, d)."""
    batch, tokens, dim = x.shape
    return x.reshape(batch, tokens, num_heads, dim // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: Array) -> Array:
    """(B, H, N, d) to (B, N, H * d)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


class Attention(Operator):
    """``softmax(q k^T / sqrt(head_dim)) v`` a head; inputs q, k, v (tokens, heads * head_dim)."""

    kernel: ClassVar[str] = "oplib_attention_s8"
    in_place: ClassVar[tuple[int, ...]] = (0,)
    symmetric_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def array_specs(self, node: Node, inputs: Sequence[TensorType]) -> tuple[ArraySpec, ...]:
        return (ArraySpec("exp_table", "uint16", (TABLE_SIZE,)),)

    def scratch_bytes(self, node: Node, inputs: Sequence[TensorType]) -> int:
        return 3 * inputs[0].shape[0]

    def _float_scores(self, node: Node, inputs: Sequence[Array]) -> Array:
        q, k = (split_heads(x, node.int_attr("num_heads")) for x in inputs[:2])
        scale = np.float32(q.shape[-1] ** -0.5)
        return (q @ k.transpose(0, 1, 3, 2)) * scale

    def run_float(self, node: Node, params: Params, inputs: Sequence[Array]) -> Array:
        scores = self._float_scores(node, inputs)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        return merge_heads(weights @ split_heads(inputs[2], node.int_attr("num_heads")))

    def internals(self, node: Node, params: Params, inputs: Sequence[Array]) -> dict[str, Array]:
        return {scores_name(node): self._float_scores(node, inputs)}

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        q, k, v = (context.of(name) for name in node.inputs)
        target, scores = context.of(node.output), context.of(scores_name(node))
        tokens, width = context.inputs[0].shape
        if tokens > MAX_TOKENS:
            raise LoweringError(
                "too many tokens for a 32-bit accumulator",
                where=node.name,
                got=tokens,
                expected=f"at most {MAX_TOKENS}",
            )
        head_dim = width // node.int_attr("num_heads")
        ratio = q.scale * k.scale / (np.sqrt(head_dim) * scores.scale)
        numerator = round(v.scale / target.scale * 2**32)
        if numerator >= 2**45:
            raise LoweringError("output scale too fine for the values", where=node.name)
        scalars = {
            "score_multiplier": int(multiplier(ratio, scores_name(node))[0]),
            "value_numerator": numerator,
            "zero_point": target.zero_point,
        }
        return Lowered({"exp_table": exp_table(scores.scale)}, scalars)

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        q, k, v = (split_heads(x, node.int_attr("num_heads")) for x in inputs)
        dots = integer_matmul(q, k.transpose(0, 1, 3, 2))
        scores = requantize(dots, lowered.scalars["score_multiplier"], 0)
        weights = softmax_weights(scores, lowered.arrays["exp_table"])
        total = weights.sum(axis=-1, keepdims=True)
        factor = (lowered.scalars["value_numerator"] + total // 2) // total
        out = requantize(integer_matmul(weights, v), factor, lowered.scalars["zero_point"])
        return merge_heads(out)

    def fields(
        self, node: Node, inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        heads = node.int_attr("num_heads")
        return (
            Field("num_heads", "int32_t", heads),
            Field("head_dim", "int32_t", inputs[0].shape[-1] // heads),
            Field("score_multiplier", "int32_t", scalars["score_multiplier"]),
            Field("zero_point", "int32_t", scalars["zero_point"]),
            Field("value_numerator", "uint64_t", scalars["value_numerator"]),
            Field("exp_table", "array", "exp_table"),
        )

    def call_arguments(
        self, inputs: Sequence[str], output: str, scratch: str, tokens: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return *inputs, output, scratch, str(tokens[0].shape[0])
