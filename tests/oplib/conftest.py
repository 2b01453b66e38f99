"""Random networks, and the C kernels as a shared library called from Python fields."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.graph import Node, TensorType
from oplib.network.reference import FloatModel, IntegerModel
from oplib.network.vit import float_model, random_weights
from oplib.ops.base import ArrayRef, Buffers, Bytes4, Field, Lowered, Nested, PartRef, Scalar
from oplib.ops.registry import OPERATORS
from oplib.plan.schedule import Schedule, schedule
from oplib.quantize.lower import quantize
from oplib.target import host, kernel_library

C_TYPES = {
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
}
NO_PARTS: Mapping[str, ctypes.Structure] = {}
KernelCall = Callable[[Node, Sequence[TensorType], Lowered, Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Network:
    """A float network, its integers, its plan, and images."""

    floating: FloatModel
    integer: IntegerModel
    scheduled: Schedule
    images: np.ndarray


def build_network(
    subnet: SubnetConfig,
    preprocessing: Preprocessing,
    seed: int = 0,
    forms: Forms = DEFAULT_FORMS,
    arena_bytes: int | None = None,
) -> Network:
    """Return a quantised network with random weights and 40 random images."""
    rng = np.random.default_rng(seed + 1)
    size = (40, subnet.img_size, subnet.img_size, subnet.in_chans)
    images = rng.integers(0, preprocessing.value_max + 1, size).astype(np.uint8)
    floating = float_model(
        subnet, random_weights(subnet, np.random.default_rng(seed)), preprocessing, "random", forms
    )
    integer = quantize(floating, images)
    return Network(floating, integer, schedule(subnet, forms, arena_bytes), images)


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Network]:
    """Return the function that builds a quantised network with random weights."""
    return build_network


@pytest.fixture
def small_network(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> Network:
    """Return the small subnet, quantised, with its default schedule."""
    return random_network(small_subnet, preprocessing, seed=3)


def build_struct(
    fields: Sequence[Field],
    arrays: Mapping[str, np.ndarray],
    parts: Mapping[str, ctypes.Structure] = NO_PARTS,
) -> ctypes.Structure:
    """Return a C struct with the fields' values; arrays and parts are passed by address."""
    values = {field.name: member(field, arrays, parts) for field in fields}
    kinds = [(name, type(value)) for name, value in values.items()]
    struct = type("Params", (ctypes.Structure,), {"_fields_": kinds})
    return struct(**values)


def member(
    field: Field, arrays: Mapping[str, np.ndarray], parts: Mapping[str, ctypes.Structure]
) -> ctypes._SimpleCData | ctypes.Structure:
    match field:
        case Scalar(ctype=ctype, value=value):
            return C_TYPES[ctype](value)
        case Bytes4(values=values):
            return (ctypes.c_uint8 * 4)(*values)
        case ArrayRef(array=None) | PartRef(role=None):
            return ctypes.c_void_p(None)
        case ArrayRef(array=str(name)):
            return ctypes.c_void_p(arrays[name].ctypes.data)
        case PartRef(role=str(role)):
            return ctypes.c_void_p(ctypes.addressof(parts[role]))
        case Nested(fields=inner):
            return build_struct(inner, arrays, parts)


@pytest.fixture(scope="session")
def c_struct() -> Callable[..., ctypes.Structure]:
    """Return the function that builds a parameter struct."""
    return build_struct


@pytest.fixture(scope="session")
def kernels(host_tools: None, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Every kernel, compiled with the undefined-behaviour sanitizer, which ends the process."""
    place = tmp_path_factory.mktemp("kernels")
    operators = kernel_library.operators(place, host.compilation(sanitize="undefined"))
    whole = ["-Wl,--whole-archive", str(operators), "-Wl,--no-whole-archive"]
    library = place / "liboplib.so"
    subprocess.run(
        ["cc", "-shared", "-fsanitize=undefined", *whole, "-o", str(library)], check=True
    )
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="session")
def call_kernel(kernels: ctypes.CDLL) -> KernelCall:
    """Return a function that runs one node's kernel on int8 or uint8 inputs without batch."""

    def call(
        node: Node, types: Sequence[TensorType], lowered: Lowered, inputs: Sequence[np.ndarray]
    ) -> np.ndarray:
        operator = OPERATORS[node.op]
        flash = operator.flash_arrays(node, lowered)
        arrays = {name: np.ascontiguousarray(values) for name, values in flash.items()}
        params = build_struct(operator.fields(node, types, lowered.scalars), arrays)
        kind = operator.output_type(node, types)
        output = np.zeros(kind.shape, dtype=kind.dtype)
        scratch = np.zeros(operator.scratch_bytes(node, types) // 8 + 1, dtype=np.uint64)
        buffers = [np.ascontiguousarray(array) for array in inputs]
        names = {f"i{index}": buffer for index, buffer in enumerate(buffers)}
        names |= {"o": output, "s": scratch}
        places = Buffers(tuple(names)[: len(buffers)], "o", "s")
        arguments = operator.call_arguments(node, places, types)
        values = [
            ctypes.c_int32(int(text))
            if text.isdigit()
            else ctypes.c_void_p(names[text.rpartition(")")[2]].ctypes.data)
            for text in arguments
        ]
        getattr(kernels, operator.kernel)(*values, ctypes.byref(params))
        return output

    return call
