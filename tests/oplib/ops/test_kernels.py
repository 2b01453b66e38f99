"""Every operator: C equals the integer reference, which follows the float one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcuformer.data import Preprocessing
from oplib.graph import Node, TensorType
from oplib.operator import LoweringContext
from oplib.ops import OPERATORS
from oplib.ops.attention import scores_name
from oplib.quant import QuantParams, affine, symmetric

PRE = Preprocessing(
    img_size=7, channel_order="RGB", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), value_max=255
)
Case = tuple[Node, list[TensorType], dict[str, np.ndarray]]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def linear_params(rng: np.random.Generator, out: int, features: int) -> dict[str, np.ndarray]:
    weight = normal(rng, out, features) / np.sqrt(features).astype(np.float32)
    if rng.random() < 0.3:
        weight[int(rng.integers(out))] = 0.0  # a dead channel
    return {"weight": weight, "bias": normal(rng, out)}


def linear_case(rng: np.random.Generator, op: str) -> Case:
    tokens, features, out = (int(n) for n in rng.integers(1, 24, 3))
    shape = (features,) if op == "classifier" else (tokens, features)
    node = Node("n", op, ("x",), "y", {"out_features": out})
    return node, [TensorType(shape)], linear_params(rng, out, features)


def patch_case(rng: np.random.Generator, op: str) -> Case:
    patch, out = int(rng.integers(1, 8)), int(rng.integers(1, 12))
    grid = -(-7 // patch)
    attrs = {
        "patch_size": patch,
        "grid_size": grid,
        "pad_before": (grid * patch - 7) // 2,
        "out_features": out,
    }
    params = linear_params(rng, out, patch * patch * 3)
    pad = np.array(PRE.pad_value, dtype=np.uint8)[None, None]
    params |= {"position": normal(rng, grid * grid, out), "pad": PRE.normalize(pad)[0, 0]}
    return Node("n", op, ("x",), "y", attrs), [TensorType((7, 7, 3), "uint8")], params


def norm_case(rng: np.random.Generator, op: str) -> Case:
    tokens, features = int(rng.integers(1, 6)), int(rng.integers(1, 512))
    params = {"weight": normal(rng, features), "bias": normal(rng, features)}
    node = Node("n", op, ("x",), "y", {"eps": float(rng.choice([1e-6, 1e-5, 1e-3]))})
    return node, [TensorType((tokens, features))], params


def attention_case(rng: np.random.Generator, op: str) -> Case:
    heads, head_dim, tokens = (
        int(n) for n in (rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 20))
    )
    node = Node("n", op, ("q", "k", "v"), "y", {"num_heads": heads})
    return node, [TensorType((tokens, heads * head_dim))] * 3, {}


def plain_case(rng: np.random.Generator, op: str) -> Case:
    names = ("a", "b") if op == "add" else ("x",)
    shape = (int(rng.integers(1, 40)), int(rng.integers(1, 12)))
    return Node("n", op, names, "y", {}), [TensorType(shape)] * len(names), {}


CASES: dict[str, Callable[[np.random.Generator, str], Case]] = {
    "linear": linear_case,
    "classifier": linear_case,
    "patch_embed": patch_case,
    "layer_norm": norm_case,
    "attention": attention_case,
    "gelu": plain_case,
    "add": plain_case,
    "mean_pool": plain_case,
}


def test_every_operator_has_a_case() -> None:
    assert set(CASES) == set(OPERATORS)


def random_codes(rng: np.random.Generator, kind: TensorType, quant: QuantParams) -> np.ndarray:
    """Draw codes: spread, or only the extremes, or constant."""
    if kind.dtype == "uint8":
        return rng.integers(0, 256, kind.shape).astype(np.uint8)
    choice = rng.random()
    if choice < 0.2:
        return rng.choice([-128, 127], kind.shape).astype(np.int8)
    if choice < 0.3:
        return np.full(kind.shape, rng.integers(-128, 128), dtype=np.int8)
    return quant.quantize(normal(rng, *kind.shape))


def error_bound(
    op: str, params: dict[str, np.ndarray], real: list[np.ndarray], score_scale: float
) -> float:
    """Bound what quantisation inside an operator may cost, besides the rounding of its output."""
    if op == "linear":  # half a step of each weight, over the inputs of a token
        return float(np.abs(real[0]).sum(axis=-1).max() * np.abs(params["weight"]).max() / 254)
    if op == "patch_embed":  # the same on raw pixels, padding included
        folded = np.abs(params["weight"]).max() / min(PRE.std)
        return float(params["weight"].shape[1] * folded / 254)
    if op == "attention":  # a score is half a step off, so a weight by a factor of e^scale at most
        return float(np.expm1(score_scale) * np.abs(real[2]).max())
    return 0.0


@pytest.mark.parametrize("op", sorted(CASES))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_c_equals_the_integer_reference(call_kernel, op: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    node, types, params = CASES[op](rng, op)
    operator = OPERATORS[op]
    quant = {}
    for index, name in enumerate(node.inputs):
        if types[index].dtype == "uint8":
            continue
        limit = float(rng.uniform(0.5, 6.0))
        plain = index in operator.symmetric_inputs or rng.random() < 0.5
        quant[name] = symmetric(limit) if plain else affine(-0.3 * limit, limit)
    codes = [
        random_codes(rng, kind, quant.get(name, QuantParams(1.0)))
        for name, kind in zip(node.inputs, types, strict=True)
    ]
    real = [
        PRE.normalize(array)
        if kind.dtype == "uint8"
        else ((array.astype(np.float64) - quant[name].zero_point) * quant[name].scale).astype(
            np.float32
        )
        for name, kind, array in zip(node.inputs, types, codes, strict=True)
    ]
    batch = [array[None] for array in real]
    exact = operator.run_float(node, params, batch)[0]
    quant["y"] = affine(float(exact.min()), float(exact.max()))
    if op == "add":  # a scale ratio beyond 64 is refused
        quant["y"] = symmetric(max(0.5, float(np.abs(exact).max())))
    if op in ("mean_pool", "attention", "linear", "patch_embed"):  # ratios a real range never has
        quant["y"] = symmetric(max(1.0, float(np.abs(exact).max())))
    for name, values in operator.internals(node, params, batch).items():
        assert name in (scores_name(node), "y")
        limit = max(1.0, float(np.abs(exact).max()), float(np.abs(values).max()))
        quant[name] = symmetric(limit)
    lowered = operator.lower(node, params, LoweringContext(tuple(types), quant, PRE))
    for spec in operator.array_specs(node, types):
        assert lowered.arrays[spec.name].shape == spec.shape
        assert lowered.arrays[spec.name].dtype == np.dtype(spec.dtype)
    expected = operator.run_integer(node, lowered, [array[None] for array in codes])[0]
    assert np.array_equal(call_kernel(node, types, lowered, codes), expected)
    if op != "classifier":
        step = quant["y"].scale
        got = (expected.astype(np.float64) - quant["y"].zero_point) * step
        inside = quant[scores_name(node)].scale if op == "attention" else 0.0
        bound = error_bound(op, params, real, inside)
        assert np.abs(got - exact).max() <= step + bound + 1e-3 * np.abs(exact).max()
