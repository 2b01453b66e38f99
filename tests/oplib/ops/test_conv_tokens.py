"""A tokenizer row by row: C against its parts, apart from the image, over it and in strips."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.graph import Node, TensorType
from oplib.network.builder import build_graph
from oplib.network.reference import IntegerModel, run_integer
from oplib.network.vit import float_model, random_weights
from oplib.ops.registry import OPERATORS
from oplib.plan.passes.stream_tokenizer import stream_tokenizer
from oplib.quantize.lower import quantize

BLOCK = {"num_heads": 1, "head_dim": 4, "mlp_ratio": 1.0}
FETCH = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int32, ctypes.c_int32
)
NOT_YET = 1


class ImageRows(ctypes.Structure):
    """oplib_image_rows."""

    _fields_ = [
        ("fetch", FETCH),
        ("user", ctypes.c_void_p),
        ("rows", ctypes.c_int32),
        ("convolved", ctypes.c_int32 * 2),
        ("tokens", ctypes.c_int32),
    ]


@st.composite
def tokenizers(draw: st.DrawFn) -> tuple[SubnetConfig, Forms]:
    """Draw one or two convolutions: odd sizes and strides, channels in whole quads and others."""
    tokenizer = draw(st.sampled_from(["conv1", "conv2"]))
    stride = draw(st.integers(1, 3))
    patch = stride * (2 if tokenizer == "conv1" else 4)
    width = st.integers(3, 12) | st.sampled_from([4, 8, 12])
    subnet = {
        "img_size": draw(st.integers(patch, patch + 24)),
        "patch_size": patch,
        "tokenizer": tokenizer,
        "stem_dim": draw(width) if tokenizer == "conv2" else None,
        "in_chans": draw(st.sampled_from([1, 3])),
        "num_classes": 2,
        "embed_dim": draw(width),
        "class_token": draw(st.booleans()),
        "absolute_position": draw(st.booleans()),
        "blocks": (BLOCK,),
    }
    return SubnetConfig.parse(subnet), Forms(residual=draw(st.sampled_from(["int8", "int16"])))


def random_model(subnet: SubnetConfig, forms: Forms, rng: np.random.Generator) -> IntegerModel:
    chans = subnet.in_chans
    pre = Preprocessing(
        img_size=subnet.img_size,
        channel_order="RGB" if chans == 3 else "L",
        value_max=255,
        mean=(0.4,) * chans,
        std=(0.3,) * chans,
    )
    floating = float_model(subnet, random_weights(subnet, rng), pre, "random", forms)
    shape = (3, subnet.img_size, subnet.img_size, chans)
    return quantize(floating, rng.integers(0, 256, shape).astype(np.uint8))


class Call:
    """A tokenizer's call in C, with the constants of a model."""

    def __init__(self, kernels: ctypes.CDLL, c_struct: Any, model: IntegerModel, node: Node):
        self.kernel = getattr(kernels, OPERATORS[node.op].kernel)
        self.arrays, self.parts = [], {}
        for role, part in node.parts.items():
            operator, lowered = OPERATORS[part.op], model.lowered[part.name]
            flash = operator.flash_arrays(part, lowered)
            arrays = {name: np.ascontiguousarray(values) for name, values in flash.items()}
            fields = operator.fields(part, model.graph.inputs_of(part), lowered.scalars)
            self.parts[role] = c_struct(fields, arrays)
            self.arrays.append(arrays)  # the structs hold their addresses
        self.params = c_struct(OPERATORS[node.op].fields(node, (), {}), {}, self.parts)

    def run(self, image: int | None, rows: Any, tokens: int, scratch: np.ndarray) -> int:
        """Call the kernel and return its status; buffers are given by their addresses."""
        addresses = (ctypes.c_void_p(image), rows, ctypes.c_void_p(tokens))
        working = ctypes.c_void_p(scratch.ctypes.data)
        return int(self.kernel(*addresses, working, ctypes.byref(self.params)))


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return bytes that begin at a multiple of 8."""
    return rng.integers(0, 2**63, size // 8 + 1, dtype=np.int64).view(np.uint8)


def scratch_for(rng: np.random.Generator, node: Node, image: TensorType) -> np.ndarray:
    return noise(rng, OPERATORS[node.op].scratch_bytes(node, (image,)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokenizer=tokenizers(), seed=st.integers(0, 2**32 - 1))
def test_the_call_equals_its_parts(
    kernels: ctypes.CDLL, c_struct: Any, tokenizer: tuple[SubnetConfig, Forms], seed: int
) -> None:
    rng, (subnet, forms) = np.random.default_rng(seed), tokenizer
    model = random_model(subnet, forms, rng)
    node, kind = stream_tokenizer(model.graph).nodes[0], model.graph.tensors["image"]
    operator = OPERATORS[node.op]
    sizes = operator.panel_sizes(node, (kind,))
    node = operator.with_panel(node, (kind,), 4 * int(rng.integers(1, sizes[-1] // 4 + 1)))
    output = operator.output_type(node, (kind,))
    assert output == model.graph.tensors[node.output]

    image = rng.integers(0, 256, kind.shape).astype(np.uint8)
    values: dict[str, np.ndarray] = {}
    run_integer(model, image[None], values.__setitem__)
    expected = values[node.output][0]
    call = Call(kernels, c_struct, model, node)

    def result(memory: np.ndarray) -> np.ndarray:
        return memory[: output.num_bytes].view(output.dtype).reshape(output.shape)

    apart = noise(rng, output.num_bytes)
    memory = scratch_for(rng, node, kind)
    assert call.run(image.ctypes.data, None, apart.ctypes.data, memory) == 0
    assert np.array_equal(result(apart), expected)

    placed = operator.over_image(node, (kind,))
    assert placed is not None
    shared = noise(rng, max(output.num_bytes, placed.below + kind.num_bytes))
    shared[placed.below : placed.below + kind.num_bytes] = image.reshape(-1)
    at = shared.ctypes.data
    assert call.run(at + placed.below, None, at, scratch_for(rng, placed, kind)) == 0
    assert np.array_equal(result(shared), expected)

    supplied: list[int] = []

    def fetch(user: Any, rows: Any, first: int, count: int) -> int:
        if rng.integers(2):
            return NOT_YET
        supplied.extend(range(first, first + count))
        ctypes.memmove(rows, image[first : first + count].tobytes(), count * image[0].size)
        return 0

    strips = operator.in_strips(node)
    assert strips is not None
    fetched, memory = noise(rng, output.num_bytes), scratch_for(rng, strips, kind)
    rows = ImageRows(FETCH(fetch))
    for _ in range(2):  # images, each in as many calls as it takes
        supplied.clear()
        while call.run(None, ctypes.byref(rows), fetched.ctypes.data, memory) == NOT_YET:
            pass
        assert np.array_equal(result(fetched), expected)
        assert supplied == list(range(subnet.img_size))


def test_scratch_by_hand() -> None:
    """The second stage of 3 -> 64 -> 128 channels, 32 pixels: four rows of 16 x 64 between them.

    A panel of 8 windows has 9 x 64 features in int16, and 8 results of 128 channels. The same bytes
    hold 32 windows of the first stage: 7 quads of four windows take 224 bytes, results 32 x 64.
    """
    subnet = SubnetConfig.parse(
        {
            "img_size": 32,
            "patch_size": 4,
            "tokenizer": "conv2",
            "stem_dim": 64,
            "in_chans": 3,
            "num_classes": 10,
            "embed_dim": 128,
            "blocks": (BLOCK,),
        }
    )
    graph = stream_tokenizer(build_graph(subnet))
    node, kinds = graph.nodes[0], graph.inputs_of(graph.nodes[0])
    operator = OPERATORS[node.op]
    assert operator.panel_sizes(node, kinds) == (4, 8, 16)
    wide = operator.with_panel(node, kinds, 8)
    assert [wide.parts[role].attrs.panel for role in ("conv0", "conv1")] == [32, 8]
    assert operator.scratch_bytes(wide, kinds) == 4 * 16 * 64 + 8 * 9 * 64 * 2 + 8 * 128
    strips = operator.in_strips(wide)
    fetched = OPERATORS[strips.op].scratch_bytes(strips, kinds)
    assert fetched == operator.scratch_bytes(wide, kinds) + 3 * 32 * 3
