"""The calls of kernels that tools/bench_kernels.py measures, with their outputs by numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mcuformer.data.preprocessing import Preprocessing
from oplib.graph import NO_ATTRIBUTES, Node
from oplib.ops.attention import AttentionAttributes
from oplib.ops.attention_relative import TABLES, RelativeAttributes
from oplib.ops.base import Array, Lowered
from oplib.ops.layer_norm import LayerNorm, LayerNormAttributes
from oplib.ops.linear import LinearAttributes
from oplib.ops.packing import QUAD_ORDER, quads
from oplib.ops.patch_operator import PatchAttributes
from oplib.ops.registry import OPERATORS
from oplib.ops.softmax import exp_table

KINDS = (
    "linear",
    "pairs",
    "attention",
    "attention_relative",
    "softmax",
    "layer_norm",
    "patch_embed",
    "add",
    "rgb888",
    "rgb565",
)
MAX_ARRAYS = 8
HEADER = np.dtype(
    [
        ("kind", "<i4"),
        ("data_bytes", "<i4"),
        ("output_bytes", "<i4"),
        ("size", "<i4", (6,)),
        ("offset", "<i4", (MAX_ARRAYS,)),
        ("value", "<i4", (4,)),
    ]
)


@dataclass(frozen=True)
class Case:
    """One call of a kernel, as tools/bench_kernels.c reads it.

    Args:
        kind: one of KINDS.
        size: sizes of the call.
        arrays: inputs and constants; None for a null pointer.
        value: integer parameters.
        expected: bytes of the output, by the integer reference.
    """

    kind: str
    size: Sequence[int]
    arrays: Sequence[np.ndarray | None]
    value: Sequence[int]
    expected: bytes

    def record(self) -> bytes:
        """Return the case as bytes: header, then data."""
        header, data = np.zeros((), HEADER), b""
        offsets = []
        for array in self.arrays:
            offsets.append(-1 if array is None else len(data))
            if array is not None:
                raw = np.ascontiguousarray(array).tobytes()
                data += raw + bytes(-len(raw) % 8)
        header["kind"], header["data_bytes"] = KINDS.index(self.kind), len(data)
        header["output_bytes"] = len(self.expected)
        header["size"][: len(self.size)] = self.size
        header["offset"] = [*offsets, *[-1] * (MAX_ARRAYS - len(offsets))]
        header["value"][: len(self.value)] = self.value
        return header.tobytes() + data


def codes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw random int8 codes."""
    return rng.integers(-128, 128, shape).astype(np.int8)


def matrix(rng: np.random.Generator, features: int, channels: int) -> Lowered:
    """Draw a random linear layer (features to channels) whose outputs fill int8."""
    spread = 74 * 74 * np.sqrt(features)
    arrays: dict[str, Array] = {
        "weight": rng.integers(-127, 128, (channels, features)).astype(np.int8),
        "bias": rng.integers(-1000, 1000, channels).astype(np.int32),
        "multiplier": rng.integers(0.2 * 2**38 / spread, 2**38 / spread, channels).astype(np.int32),
    }
    return Lowered(arrays, {"zero_point": -3})


def linear(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    kind: str = "linear",
    *,
    table: bool = False,
) -> Case:
    """Return the case of a linear layer, tiled or in pairs of rows, by choice with a table."""
    tokens, features, channels = shape
    node = Node("n", "linear", ("x",), "y", LinearAttributes(channels))
    x, lowered = codes(rng, tokens, features), matrix(rng, features, channels)
    y = OPERATORS["linear"].run_integer(node, lowered, [x[None]])[0]
    flash = OPERATORS["linear"].flash_arrays(node, lowered)
    gelu = codes(rng, 256) if table else None
    if gelu is not None:
        y = gelu[y.astype(np.int64) + 128]
    return Case(kind, shape, (x, flash["weight"], flash["requant"], gelu), (-3,), y.tobytes())


def attention(
    rng: np.random.Generator,
    tokens: int,
    head_dim: int,
    relative: RelativeAttributes | None = None,
) -> Case:
    """Return the case of one attention head, by choice with relative positions."""
    kind = "attention" if relative is None else "attention_relative"
    node = Node("n", kind, ("q", "k", "v"), "y", relative or AttentionAttributes(num_heads=1))
    q, k, v = (codes(rng, tokens, head_dim) for _ in range(3))
    multiplier, numerator = 2**32 // 1200, 2**33
    arrays, size = {"exp_table": exp_table(0.05)}, [tokens, 1, head_dim]
    if relative is not None:
        rows = 2 * relative.max_distance + 2
        arrays |= {name: codes(rng, rows, head_dim) for name in TABLES}
        size += [relative.grid_size, relative.max_distance]
    scalars = {"score_multiplier": multiplier, "value_numerator": numerator}
    lowered = Lowered(arrays, {**scalars, "zero_point": 0, "exponent": 0})
    y = OPERATORS[kind].run_integer(node, lowered, [x[None] for x in (q, k, v)])[0]
    value = (0, multiplier, numerator % 2**32, numerator >> 32)
    return Case(kind, size, (q, k, v, *arrays.values()), value, y.tobytes())


def tiles(rows: np.ndarray) -> np.ndarray:
    """Return rows (4 n, features) as tiles (n, quads, 2, 4, 2)."""
    padded = np.zeros((len(rows), 4 * quads(rows.shape[1])), np.int16)
    padded[:, : rows.shape[1]] = rows
    by_quad = padded.reshape(len(rows) // 4, 4, -1, 4)[..., QUAD_ORDER]
    return by_quad.reshape(len(rows) // 4, 4, -1, 2, 2).transpose(0, 2, 3, 1, 4)


def softmax(rng: np.random.Generator, tokens: int) -> Case:
    """Return the case of the softmax of four rows of scores."""
    table = exp_table(0.05)
    scores = codes(rng, 4, tokens)
    weights = table[scores.max(axis=1, keepdims=True).astype(np.int64) - scores]
    total = weights.sum(axis=1, dtype=np.uint32)
    padded = np.pad(scores, ((0, 0), (0, -tokens % 4)))
    expected = total.tobytes() + tiles(weights.astype(np.int16)).tobytes()
    return Case("softmax", (tokens,), (padded, None, None, table), (), expected)


def layer_norm(rng: np.random.Generator, tokens: int, features: int) -> Case:
    """Return the case of a layer norm into tiles."""
    node = Node("n", "layer_norm", ("x",), "y", LayerNormAttributes(eps=1e-6))
    x = codes(rng, tokens, features)
    arrays = {
        "gamma": rng.integers(2**20, 2**22, features).astype(np.int32),
        "beta": rng.integers(-(2**12), 2**12, features).astype(np.int32),
    }
    lowered = Lowered(arrays, {"eps": 1000})
    y = LayerNorm().run_integer(node, lowered, [x[None]])[0]
    y = np.concatenate([y, np.repeat(y[-1:], -tokens % 4, axis=0)])
    affine = LayerNorm().flash_arrays(node, lowered)["affine"]
    return Case("layer_norm", (tokens, features), (x, affine), (1000,), tiles(y).tobytes())


def patch_embed(rng: np.random.Generator, size: int, patch: int, channels: int) -> Case:
    """Return the case of the patch embedding of an image."""
    grid, features = size // patch, patch * patch * 3
    attrs = PatchAttributes(
        channels, positions=False, patch_size=patch, grid_size=grid, pad_before=0
    )
    node = Node("n", "patch_embed", ("x",), "y", attrs)
    image = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
    lowered = matrix(rng, features, channels)
    scalars = {**lowered.scalars, "pad0": 0, "pad1": 0, "pad2": 0}
    lowered = Lowered(lowered.arrays, scalars)
    y = OPERATORS["patch_embed"].run_integer(node, lowered, [image[None]])[0]
    flash = OPERATORS["patch_embed"].flash_arrays(node, lowered)
    arrays = (image, flash["weight"], flash["requant"])
    return Case(
        "patch_embed", (grid**2, features, channels, size, patch, grid), arrays, (-3,), y.tobytes()
    )


def addition(rng: np.random.Generator, size: int) -> Case:
    """Return the case of a residual addition."""
    a, b = codes(rng, size), codes(rng, size)
    scalars = {"a_zero_point": 3, "a_multiplier": 40_000, "b_zero_point": -5}
    lowered = Lowered({}, {**scalars, "b_multiplier": 30_000, "zero_point": 1})
    node = Node("n", "add", ("a", "b"), "y", NO_ATTRIBUTES)
    y = OPERATORS["add"].run_integer(node, lowered, [a[None], b[None]])[0]
    return Case("add", (size,), (a, b), (3, 40_000, -5, 30_000), y.tobytes())


CROPS = ("stretch", "center")  # in the order of OPLIB_CROP_... and OPLIB_RESIZE_...
RESIZES = ("box", "bilinear", "bicubic")


def picture(rng: np.random.Generator, kind: str, preprocessing: Preprocessing) -> Case:
    """Return the case of a picture of 320 x 240 pixels, in the format ``rgb888`` or ``rgb565``."""
    width, height = 320, 240
    colours = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    pixels = colours
    if kind == "rgb565":
        parts = colours >> np.array([3, 2, 3], np.uint8)
        colours = parts << np.array([3, 2, 3], np.uint8) | parts >> np.array([2, 4, 2], np.uint8)
        pixels = (parts @ np.array([1 << 11, 1 << 5, 1])).astype(np.uint16)
    image = preprocessing.read_picture(Image.fromarray(colours))
    size = (width, height, preprocessing.img_size, preprocessing.in_chans)
    crop, resize = CROPS.index(preprocessing.crop), RESIZES.index(preprocessing.resize)
    value = (preprocessing.value_max, crop, resize)
    return Case(kind, size, (pixels,), value, image.tobytes())


THREE = (0.5, 0.5, 0.5)
PICTURES = {
    "rgb888_to_80_rgb_bilinear": Preprocessing(
        img_size=80, channel_order="RGB", mean=THREE, std=THREE, crop="center"
    ),
    "rgb565_to_28_grey_bilinear": Preprocessing(
        img_size=28, channel_order="L", mean=(0.5,), std=(0.5,), crop="center"
    ),
    "rgb565_to_64_rgb_bicubic": Preprocessing(
        img_size=64, channel_order="RGB", mean=THREE, std=THREE, resize="bicubic"
    ),
}
AUTOFORMER = RelativeAttributes(num_heads=1, grid_size=14, max_distance=14, first=1)


def all_cases(shapes: Sequence[tuple[int, int, int]]) -> dict[str, Case]:
    """Return the cases by name; linear layers of some shapes (tokens, inputs, outputs) by them."""
    rng, fc1 = np.random.default_rng(0), (196, 192, 768)
    cases = {str(shape): linear(rng, shape) for shape in shapes}
    cases["attention"] = attention(rng, 197, 64)
    cases["attention_relative"] = attention(rng, 197, 64, AUTOFORMER)
    cases["softmax"] = softmax(rng, 197)
    cases["layer_norm"] = layer_norm(rng, 197, 192)
    cases["layer_norm, odd width"] = layer_norm(rng, 9, 21)
    cases["fc1"] = linear(np.random.default_rng(1), fc1)
    cases["fc1, gelu"] = linear(np.random.default_rng(1), fc1, table=True)
    cases["patch_embed"] = patch_embed(rng, 240, 16, 192)
    cases["pairs"] = linear(rng, (64, 192, 192), "pairs")
    cases["add"] = addition(rng, 4096)
    for name, settings in PICTURES.items():
        cases[name] = picture(rng, name.split("_")[0], settings)
    return cases
