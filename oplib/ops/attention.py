"""Multi-head attention in integers, with one division per row of scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import numpy as np

from mcuformer.errors import LoweringError
from oplib.graph import Node, TensorType
from oplib.ops.base import (
    OUTPUT,
    Array,
    ArraySpec,
    Buffers,
    Field,
    Lowered,
    LoweringContext,
    Nested,
    Operator,
    Params,
    Scalar,
    Span,
    Tensors,
    Touch,
    int32,
    whole,
)
from oplib.ops.packing import QUAD, TILE, even, panels, quads, tile_bytes
from oplib.ops.quant import integer_matmul, multiplier, requantize
from oplib.ops.softmax import (
    MAX_TOKENS,
    SoftmaxAttributes,
    dropped_bits,
    lower_softmax,
    softmax_fields,
    softmax_specs,
    softmax_weights,
)
from oplib.ops.work import Work


def scores_name(node: Node) -> str:
    """Return the name under which calibration keeps the scores of an attention node."""
    return f"{node.name}.scores"


@dataclass(frozen=True)
class AttentionAttributes(SoftmaxAttributes):
    """Attributes of attention.

    Args:
        num_heads: number of heads; each takes an equal part of the width.
    """

    num_heads: int = field(kw_only=True)

    def value_rows(self, tokens: int) -> int:
        """Return the number of rows that a head's packed values have."""
        return tokens

    def vectors_bytes(self, head_dim: int) -> int:
        """Return the bytes of packed vectors that all heads share."""
        return 0

    def work_bytes(self, tokens: int, head_dim: int) -> int:
        """Return the bytes of working memory for four queries of one head.

        A score takes one byte and a weight two: 12 bytes per token, padded to whole quads. Forms
        other than the table, and normalisation, need two more bytes per token.
        """
        plain = self.softmax == "table" and not self.normalized
        return (12 if plain else 14) * QUAD * quads(tokens)


def attention_work(attrs: AttentionAttributes, tokens: int, width: int, *, packed: bool) -> Work:
    """Return the work of attention.

    Args:
        attrs: attributes of the node.
        tokens: number of tokens N.
        width: columns of the output, heads * head_dim.
        packed: whether keys and values are already in the layout of weights.
    """
    size, scores = tokens * width, attrs.num_heads * tokens**2
    pack = 0 if packed else 2 * size
    return Work(products=2 * tokens * size, scores=scores, outputs=size, packed_bytes=pack)


def split_heads(x: Array, num_heads: int) -> Array:
    """Reshape (B, N, H * d) to (B, H, N, d)."""
    batch, tokens, dim = x.shape
    return x.reshape(batch, tokens, num_heads, dim // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: Array) -> Array:
    """Reshape (B, H, N, d) to (B, N, H * d)."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


AttrsT = TypeVar("AttrsT", bound=AttentionAttributes)


class AttentionOperator(Operator[AttrsT]):
    """``softmax(q k^T / sqrt(head_dim)) v`` per head; inputs q, k, v (tokens, heads * head_dim).

    The base of attention with and without relative positions.
    """

    family: ClassVar[str] = "attention"
    in_place: ClassVar[tuple[int, ...]] = (0,)
    symmetric_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def output_type(self, node: Node[AttrsT], inputs: Sequence[TensorType]) -> TensorType:
        return inputs[0]

    def touches(
        self, node: Node[AttrsT], inputs: Sequence[TensorType], output: TensorType
    ) -> Iterator[Touch]:
        """Yield, head by head and tile by tile: read the queries, then write their outputs.

        The output takes over the queries: a head's outputs of a tile cover exactly the queries that
        this step alone reads. Keys and values are read whole in every step.
        """
        if node.overwrites is None:
            yield from super().touches(node, inputs, output)
            return
        tokens, width = inputs[0].shape
        keys_and_values = tuple(whole(index, inputs[index]) for index in (1, 2))
        head_dim = width // node.attrs.num_heads
        for head in range(0, width, head_dim):
            for first, stop in panels(tokens, TILE):
                starts = [t * width + head for t in range(first, stop)]
                queries = tuple(Span(0, start, start + head_dim) for start in starts)
                outputs = tuple(Span(OUTPUT, start, start + head_dim) for start in starts)
                yield Touch((*queries, *keys_and_values), outputs)

    def relative(self, node: Node[AttrsT], tables: Mapping[str, Array], kind: str) -> Array | None:
        """Return the vectors that pairs of tokens add to keys or values, or None without any.

        Args:
            node: the attention node.
            tables: the node's float or int8 arrays.
            kind: ``key`` or ``value``.

        Returns:
            An array (N, N, head_dim), by query and key.
        """
        return None

    def numerator_bits(self, tokens: int) -> int:
        """Return the bits of a numerator that, divided by any sum of weights, is below 2^31."""
        # The sum is at least the weight of the largest score: 32767, or half of it.
        return 45 - dropped_bits(tokens)

    def _float_scores(self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]) -> Array:
        """Return the scaled scores (B, heads, N, N) of each query with each key."""
        q, k = (split_heads(x, node.attrs.num_heads) for x in inputs[:2])
        scores = q @ k.transpose(0, 1, 3, 2)
        added = self.relative(node, params, "key")
        if added is not None:
            scores = scores + np.einsum("bhid,ijd->bhij", q, added, optimize=True)
        result: Array = scores * np.float32(q.shape[-1] ** -0.5)
        return result

    def run_float(self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]) -> Array:
        scores = self._float_scores(node, params, inputs)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        out = weights @ split_heads(inputs[2], node.attrs.num_heads)
        added = self.relative(node, params, "value")
        if added is not None:
            out = out + np.einsum("bhij,ijd->bhid", weights, added, optimize=True)
        return merge_heads(out)

    def internals(
        self, node: Node[AttrsT], params: Params, inputs: Sequence[Array]
    ) -> dict[str, Array]:
        return {scores_name(node): self._float_scores(node, params, inputs)}

    def lower(self, node: Node[AttrsT], params: Params, context: LoweringContext) -> Lowered:
        q, k, v = (context.of(name) for name in node.inputs)
        target, scores = context.of(node.output), context.of(scores_name(node))
        tokens, width = context.inputs[0].shape
        if tokens > MAX_TOKENS:
            raise LoweringError(
                "too many tokens for a 32-bit accumulator",
                where=node.name,
                got=tokens,
                expected=f"at most {MAX_TOKENS}, class token included",
            )
        head_dim = width // node.attrs.num_heads
        ratio = q.scale * k.scale / (np.sqrt(head_dim) * scores.scale)
        # y = (v.scale / y.scale) sum(w v) / sum(w). The kernel divides once per row: the multiplier
        # of a row is numerator / sum(w), with the 32 fraction bits of every requantisation. It must
        # stay below 2^31. Normalised, sum(w) counts as 127, and 2^37 / 127 < 2^31.
        numerator = round(v.scale / target.scale * 2**32)
        limit = 2**37 if node.attrs.normalized else 2 ** self.numerator_bits(tokens)
        if numerator >= limit:
            raise LoweringError("output scale too fine for the values", where=node.name)
        arrays, exponent = lower_softmax(node.attrs, scores.scale, tokens, node.name)
        scalars = {
            "score_multiplier": int(multiplier(ratio, scores_name(node))[0]),
            "value_numerator": numerator,
            "zero_point": target.zero_point,
            "exponent": exponent,
        }
        return Lowered(arrays, scalars)

    def weights(self, node: Node[AttrsT], scores: Array, lowered: Lowered) -> tuple[Array, Array]:
        """Return the weights (B, heads, N, N) of int8 scores, and the sums (B, heads, N, 1)."""
        return softmax_weights(node.attrs, scores, lowered.arrays, lowered.scalars["exponent"])

    def run_integer(self, node: Node[AttrsT], lowered: Lowered, inputs: Sequence[Array]) -> Array:
        q, k, v = (split_heads(x, node.attrs.num_heads) for x in inputs)
        dots = integer_matmul(q, k.transpose(0, 1, 3, 2))
        added = self.relative(node, lowered.arrays, "key")
        if added is not None:
            dots = dots + _integer_einsum("bhid,ijd->bhij", q, added)
        scores = requantize(dots, lowered.scalars["score_multiplier"], 0)
        weights, total = self.weights(node, scores, lowered)
        factor = (lowered.scalars["value_numerator"] + total // 2) // total
        sums = integer_matmul(weights, v)
        added = self.relative(node, lowered.arrays, "value")
        if added is not None:
            sums = sums + _integer_einsum("bhij,ijd->bhid", weights, added)
        return merge_heads(requantize(sums, factor, lowered.scalars["zero_point"]))

    def fields(
        self, node: Node[AttrsT], inputs: Sequence[TensorType], scalars: Mapping[str, int]
    ) -> tuple[Field, ...]:
        (tokens, width), heads = inputs[0].shape, node.attrs.num_heads
        return (
            *int32(num_heads=heads, head_dim=width // heads),
            Scalar("score_multiplier", "int32_t", scalars["score_multiplier"]),
            Scalar("zero_point", "int32_t", scalars["zero_point"]),
            Scalar("value_numerator", "uint64_t", scalars["value_numerator"]),
            Nested("softmax", softmax_fields(node.attrs, scalars["exponent"], tokens)),
        )

    def call_arguments(
        self, node: Node[AttrsT], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return *buffers.inputs, buffers.output, buffers.scratch, str(types[0].shape[0])


class Attention(AttentionOperator[AttentionAttributes]):
    """Attention by tiles of four queries, with keys and values packed like weights."""

    kernel: ClassVar[str] = "oplib_attention_s8"
    helpers: ClassVar[tuple[str, ...]] = (
        "oplib_softmax_s8",
        "oplib_tile_attention_rows_s8",
        "oplib_tile_pack_keys_s8",
        "oplib_tile_pack_rows_s8",
        "oplib_tile_pack_s8",
        "oplib_tile_pack_values_s8",
        "oplib_tile_scores_s8",
        "oplib_tile_softmax_s8",
    )
    streamable: ClassVar[bool] = True

    def array_specs(
        self, node: Node[AttentionAttributes], inputs: Sequence[TensorType]
    ) -> tuple[ArraySpec, ...]:
        return softmax_specs(node.attrs)

    def work(
        self, node: Node[AttentionAttributes], tensors: Tensors, *, inside: bool = False
    ) -> Work:
        tokens, width = tensors[node.output].shape
        constants = sum(spec.num_bytes for spec in softmax_specs(node.attrs))
        return attention_work(node.attrs, tokens, width, packed=inside) + Work(bytes_read=constants)

    def scratch_parts(
        self, node: Node[AttentionAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        tokens, width = inputs[0].shape
        head_dim = width // node.attrs.num_heads
        return {
            "keys": even(tokens) * QUAD * quads(head_dim),
            "values": even(head_dim) * QUAD * quads(tokens),
            "queries": tile_bytes(head_dim),
            "weights": node.attrs.work_bytes(tokens, head_dim),
        }


def _integer_einsum(equation: str, x: Array, added: Array) -> Array:
    """Sum products of integers exactly: float64 holds every partial sum below 2^53."""
    exact = np.einsum(equation, x.astype(np.float64), added.astype(np.float64), optimize=True)
    result: Array = np.rint(exact).astype(np.int64)
    return result
