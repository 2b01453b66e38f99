"""Every operator: C equals the integer reference, which follows the float one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import LoweringError
from oplib.forms import SOFTMAX_FORMS, SoftmaxForm
from oplib.graph import NO_ATTRIBUTES, Node, TensorType
from oplib.ops.attention import AttentionAttributes, scores_name
from oplib.ops.attention_relative import TABLES, RelativeAttributes
from oplib.ops.base import LoweringContext
from oplib.ops.conv_pool import ConvPoolAttributes
from oplib.ops.embed_tokens import EmbeddingAttributes
from oplib.ops.layer_norm import LayerNormAttributes
from oplib.ops.linear import LinearAttributes
from oplib.ops.mean_pool import MeanPoolAttributes
from oplib.ops.patch_operator import PassesAttributes, PatchAttributes
from oplib.ops.quant import QuantParams, affine, symmetric, symmetric16
from oplib.ops.registry import OPERATORS

PRE = Preprocessing(
    img_size=7, channel_order="RGB", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), value_max=255
)
SOFTMAX_ERRORS = {"table": 0.0, "polynomial": 0.006, "shift": 0.25}
Case = tuple[Node, list[TensorType], dict[str, np.ndarray]]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def linear_params(rng: np.random.Generator, out: int, features: int) -> dict[str, np.ndarray]:
    weight = normal(rng, out, features) / np.sqrt(features).astype(np.float32)
    if rng.random() < 0.3:
        weight[int(rng.integers(out))] = 0.0  # a dead channel
    return {"weight": weight, "bias": normal(rng, out)}


def draw_panel(rng: np.random.Generator) -> int:
    return 4 * int(rng.integers(1, 5))


def linear_case(rng: np.random.Generator, op: str) -> Case:
    tokens, features, out = (int(n) for n in rng.integers(1, 24, 3))
    shape = (features,) if op == "classifier" else (tokens, features)
    attrs = LinearAttributes(out, panel=draw_panel(rng))
    node = Node("n", op, ("x",), "y", attrs)
    kind = TensorType(shape, "int16" if op == "linear_from_s16" else "int8")
    return node, [kind], linear_params(rng, out, features)


def patch_case(rng: np.random.Generator, op: str) -> Case:
    patch, out = int(rng.choice([1, 2, 3, 4, 6])), int(rng.integers(1, 12))
    grid, first = -(-7 // patch), int(rng.integers(2))
    attrs = PatchAttributes(
        out_features=out,
        first=first,
        positions=bool(max(first, int(rng.integers(2)))),
        patch_size=patch,
        grid_size=grid,
        pad_before=(grid * patch - 7) // 2,
        panel=draw_panel(rng),
    )
    kernel = int(rng.choice([k for k in range(1, patch + 1) if patch % k == 0]))
    if op != "patch_embed":
        attrs = PassesAttributes(**vars(attrs), kernel=kernel)
    params = linear_params(rng, out, patch * patch * 3)
    pad = np.array(PRE.pad_value, dtype=np.uint8)[None, None]
    params |= {"position": normal(rng, first + grid * grid, out), "pad": PRE.normalize(pad)[0, 0]}
    return Node("n", op, ("x",), "y", attrs), [TensorType((7, 7, 3), "uint8")], params


def conv_case(rng: np.random.Generator, op: str) -> Case:
    size, out = int(rng.integers(1, 18)), int(rng.integers(1, 10))
    pixels = rng.random() < 0.5
    chans = 3 if pixels else int(rng.integers(1, 6))
    stride = int(rng.integers(1, 4))
    attrs = ConvPoolAttributes(out_features=out, stride=stride, panel=draw_panel(rng))
    params = linear_params(rng, out, 9 * chans)
    pad = np.array(PRE.pad_value, dtype=np.uint8)[None, None]
    params["pad"] = PRE.normalize(pad)[0, 0] if pixels else np.zeros(chans, np.float32)
    kind = TensorType((size, size, chans), "uint8" if pixels else "int8")
    return Node("n", op, ("x",), "y", attrs), [kind], params


def tokens_case(rng: np.random.Generator, op: str) -> Case:
    size, out, first = int(rng.integers(1, 5)), int(rng.integers(1, 9)), int(rng.integers(2))
    attrs = EmbeddingAttributes(out, first, positions=bool(max(first, int(rng.integers(2)))))
    params = {"position": normal(rng, first + size * size, out)}
    return Node("n", op, ("x",), "y", attrs), [TensorType((size, size, out))], params


def norm_case(rng: np.random.Generator, op: str) -> Case:
    tokens, features = int(rng.integers(1, 6)), int(rng.integers(1, 1025))
    params = {"weight": normal(rng, features), "bias": normal(rng, features)}
    attrs = LayerNormAttributes(
        eps=float(rng.choice([1e-6, 1e-5, 1e-3])), sqrt_steps=int(rng.choice([4, 3, 0]))
    )
    kind = TensorType((tokens, features), "int16" if op.endswith("s16") else "int8")
    return Node("n", op, ("x",), "y", attrs), [kind], params


def attention_case(rng: np.random.Generator, op: str) -> Case:
    heads, head_dim, tokens = (
        int(n) for n in (rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 20))
    )
    if rng.random() < 0.1:  # weights have a bit less beyond 512 tokens
        tokens = int(rng.integers(505, 1025))
    attrs = AttentionAttributes(
        num_heads=heads,
        softmax=SOFTMAX_FORMS[int(rng.integers(3))],
        normalized=bool(rng.integers(2)),
    )
    params = {}
    if op == "attention_relative":
        grid, distance = int(rng.integers(1, 11)), int(rng.integers(1, 12))
        attrs = RelativeAttributes(
            **vars(attrs), grid_size=grid, max_distance=distance, first=int(rng.integers(2))
        )
        tokens = attrs.first + grid * grid
        params = {name: normal(rng, 2 * distance + 2, head_dim) for name in TABLES}
    node = Node("n", op, ("q", "k", "v"), "y", attrs)
    return node, [TensorType((tokens, heads * head_dim))] * 3, params


def plain_case(rng: np.random.Generator, op: str) -> Case:
    names = ("a", "b") if op.startswith("add") else ("x",)
    shape = (int(rng.integers(2, 40)), int(rng.integers(1, 12)))
    kinds = [TensorType(shape) for _ in names]
    if op.endswith("s16"):
        kinds[0] = TensorType(shape, "int16")
    is_mean = op.startswith("mean_pool")
    attrs = MeanPoolAttributes(first=int(rng.integers(2))) if is_mean else NO_ATTRIBUTES
    return Node("n", op, names, "y", attrs), kinds, {}


def take_case(rng: np.random.Generator, op: str) -> Case:
    shape = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    kind = TensorType(shape, rng.choice(["int8", "int16"]))
    return Node("n", op, ("x",), "y", NO_ATTRIBUTES), [kind], {}


def random_codes(rng: np.random.Generator, kind: TensorType, quant: QuantParams) -> np.ndarray:
    """Draw codes: uniform, extremes only, or constant."""
    if kind.dtype == "uint8":
        return rng.integers(0, 256, kind.shape).astype(np.uint8)
    limits = np.iinfo(kind.dtype)
    choice = rng.random()
    if choice < 0.2:
        return rng.choice([limits.min, limits.max], kind.shape).astype(kind.dtype)
    if choice < 0.3:
        return np.full(kind.shape, rng.integers(limits.min, limits.max + 1), dtype=kind.dtype)
    codes = np.rint(normal(rng, *kind.shape) / quant.scale) + quant.zero_point
    return np.clip(codes, limits.min, limits.max).astype(kind.dtype)


Real = list[np.ndarray]
Scales = dict[str, float]


def linear_bound(node: Node, params: dict[str, np.ndarray], real: Real, scales: Scales) -> float:
    """Error bound: half a step of each weight, times the inputs of a token."""
    return float(np.abs(real[0]).sum(axis=-1).max() * np.abs(params["weight"]).max() / 254)


def patch_bound(node: Node, params: dict[str, np.ndarray], real: Real, scales: Scales) -> float:
    """Error bound: half a step of each weight, times raw pixels, padding included."""
    folded = np.abs(params["weight"]).max() / min(PRE.std)
    return float(params["weight"].shape[1] * folded / 254)


def conv_bound(node: Node, params: dict[str, np.ndarray], real: Real, scales: Scales) -> float:
    """Error bound: half a step of each weight, times pixels as above, or codes."""
    largest = 1 / min(PRE.std) if params["weight"].shape[1] == 27 else 0.0
    largest = max(largest, float(np.abs(real[0]).max()))
    return float(params["weight"].shape[1] * np.abs(params["weight"]).max() / 254 * largest)


def gelu_bound(node: Node, params: dict[str, np.ndarray], real: Real, scales: Scales) -> float:
    """0.0203 and 0.0182 of the forms (test_forms.py), plus their fixed point."""
    return 0.0215


def rounding_only(node: Node, params: dict[str, np.ndarray], real: Real, scales: Scales) -> float:
    """No error besides the rounding of the output, which every operator is allowed."""
    return 0.0


def attention_bound(
    node: Node, params: dict[str, np.ndarray], real: list[np.ndarray], scales: dict[str, float]
) -> float:
    """A score is half a step off, so a weight by a factor of e^scale at most; forms add theirs.

    The polynomial errs by 0.3 % of a weight, the shifts (log2 e as 1.4375, a straight line) by less
    than 10 %, an int8 weight by half of 1 / 127 per token.
    """
    values = np.abs(real[2]).max() + sum(np.abs(params[n]).max() for n in params if "value" in n)
    factor = float(np.expm1(scales["scores"])) + SOFTMAX_ERRORS[node.attrs.softmax]
    if node.op == "attention_relative":  # half a step of both key tables, over a query
        dim = real[0].shape[-1] // node.attrs.num_heads
        lost = scales["k"] * np.abs(real[0]).max() * dim / np.sqrt(dim)
        factor += float(np.expm1(2 * lost))
    bound = min(2.0, factor) * values + (scales["v"] if params else 0.0)
    if node.attrs.normalized:
        bound += real[0].shape[0] / 127 * values
    return float(bound)


Maker = Callable[[np.random.Generator, str], Case]
Bound = Callable[[Node, dict[str, np.ndarray], Real, Scales], float]
# a random call, and a bound on its error; none for logits, for which calibration chooses no scale
CASES: dict[str, tuple[Maker, Bound | None]] = {
    "add": (plain_case, rounding_only),
    "add_s16": (plain_case, rounding_only),
    "attention": (attention_case, attention_bound),
    "attention_relative": (attention_case, attention_bound),
    "classifier": (linear_case, None),
    "conv_pool": (conv_case, conv_bound),
    "embed_tokens": (tokens_case, rounding_only),
    "embed_tokens_s16": (tokens_case, rounding_only),
    "gelu": (plain_case, rounding_only),
    "gelu_polynomial": (plain_case, gelu_bound),
    "gelu_sigmoid": (plain_case, gelu_bound),
    "hard_swish": (plain_case, rounding_only),
    "layer_norm": (norm_case, rounding_only),
    "layer_norm_s16": (norm_case, rounding_only),
    "linear": (linear_case, linear_bound),
    "linear_from_s16": (linear_case, linear_bound),
    "linear_to_s16": (linear_case, linear_bound),
    "mean_pool": (plain_case, rounding_only),
    "mean_pool_s16": (plain_case, rounding_only),
    "patch_embed": (patch_case, patch_bound),
    "patch_embed_passes": (patch_case, patch_bound),
    "patch_embed_passes_s16": (patch_case, patch_bound),
    "relu": (plain_case, rounding_only),
    "take_token": (take_case, rounding_only),
}


def test_every_operator_has_a_case() -> None:
    fused = {
        "attention_block",
        "attention_relative_block",
        "conv_tokens",  # test_conv_tokens.py
        "conv_tokens_s16",
        "conv_tokens_strips",
        "conv_tokens_strips_s16",
        "linear_add",
        "linear_table",
        "mlp_block",
        "patch_embed_in_place",
        "patch_embed_strips",
        "patch_embed_passes_strips",
    }
    assert set(CASES) | fused == set(OPERATORS)  # whole networks run these: test_firmware.py


@dataclass
class Trial:
    """One random call of an operator: codes, their real values, and scales of inputs and output."""

    node: Node
    types: list[TensorType]
    params: dict[str, np.ndarray]
    codes: list[np.ndarray]
    quant: dict[str, QuantParams]

    @property
    def real(self) -> list[np.ndarray]:
        """Real values of the codes."""
        values = []
        for name, array in zip(self.node.inputs, self.codes, strict=True):
            if array.dtype == np.uint8:
                values.append(PRE.normalize(array))
            else:
                quant = self.quant[name]
                centred = array.astype(np.float64) - quant.zero_point
                values.append((centred * quant.scale).astype(np.float32))
        return values

    @property
    def exact(self) -> np.ndarray:
        """The float reference's output."""
        batch = [array[None] for array in self.real]
        return OPERATORS[self.node.op].run_float(self.node, self.params, batch)[0]


def draw_inputs(rng: np.random.Generator, op: str) -> Trial:
    """Draw a case, its inputs' scales and their codes."""
    node, types, params = CASES[op][0](rng, op)
    quant = {}
    for index, (name, kind) in enumerate(zip(node.inputs, types, strict=True)):
        limit = float(rng.uniform(0.5, 6.0))
        plain = index in OPERATORS[op].symmetric_inputs or rng.random() < 0.5
        if kind.dtype == "int16":
            quant[name] = symmetric16(limit)
        elif kind.dtype == "int8":
            quant[name] = symmetric(limit) if plain else affine(-0.3 * limit, limit)
    one = QuantParams(1.0)
    codes = [
        random_codes(rng, kind, quant.get(name, one))
        for name, kind in zip(node.inputs, types, strict=True)
    ]
    return Trial(node, types, params, codes, quant)


def choose_scales(trial: Trial) -> None:
    """Choose the scales of the output and of values inside, as calibration would."""
    node, operator, quant = trial.node, OPERATORS[trial.node.op], trial.quant
    wide = operator.output_type(node, trial.types).dtype == "int16"
    for _ in range(2):  # tables at an input's scale may widen it
        exact, batch = trial.exact, [array[None] for array in trial.real]
        largest = float(np.abs(exact).max())
        quant["y"] = symmetric16(max(0.5, largest)) if wide else symmetric(max(1.0, largest))
        if operator.keeps_scale:
            quant["y"] = quant[node.inputs[0]]
        elif not wide and node.op in ("gelu", "layer_norm", "layer_norm_s16", "classifier"):
            quant["y"] = affine(float(exact.min()), float(exact.max()))
        for name, values in operator.internals(node, trial.params, batch).items():
            limit = max(1.0, largest, float(np.abs(values).max()))
            if name in node.inputs:
                limit = max(float(np.abs(values).max()), 127 * quant[name].scale)
            quant[name] = symmetric16(limit) if name == "y" and wide else symmetric(limit)


@pytest.mark.parametrize("op", sorted(CASES))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_c_equals_the_integer_reference(call_kernel, op: str, seed: int) -> None:
    trial, operator = draw_inputs(np.random.default_rng(seed), op), OPERATORS[op]
    choose_scales(trial)
    node, types, quant = trial.node, trial.types, trial.quant
    lowered = operator.lower(node, trial.params, LoweringContext(tuple(types), quant, PRE))
    flash = operator.flash_arrays(node, lowered)
    for spec in operator.array_specs(node, types):
        assert flash[spec.name].shape == spec.shape
        assert flash[spec.name].dtype == np.dtype(spec.dtype)
    expected = operator.run_integer(node, lowered, [array[None] for array in trial.codes])[0]
    assert expected.dtype == np.dtype(operator.output_type(node, types).dtype)
    assert np.array_equal(call_kernel(node, types, lowered, trial.codes), expected)
    bound_of = CASES[op][1]
    if bound_of is not None:
        got = (expected.astype(np.float64) - quant["y"].zero_point) * quant["y"].scale
        scales = {name: q.scale for name, q in quant.items()}
        scales["scores"] = scales.get(scores_name(node), 0.0)
        bound = bound_of(node, trial.params, trial.real, scales)
        # a multiplier is rounded by half; it is small where a channel's weights are, or are zero
        smallest = lowered.arrays.get("multiplier", np.array([2**30])).min()
        bound += (1e-3 + 0.5 / max(1, int(smallest))) * np.abs(trial.exact).max()
        assert np.abs(got - trial.exact).max() <= quant["y"].scale + bound


def one_head(tokens: int, softmax: SoftmaxForm) -> tuple[Node, LoweringContext]:
    attrs = AttentionAttributes(num_heads=1, softmax=softmax)
    node = Node("n", "attention", ("q", "k", "v"), "y", attrs)
    quant = {name: QuantParams(1.0) for name in ("q", "k", "v", "y")}
    quant[scores_name(node)] = QuantParams(4.0)
    return node, LoweringContext((TensorType((tokens, 4)),) * 3, quant, PRE)


@pytest.mark.parametrize("tokens", [512, 513, 1024])
@pytest.mark.parametrize("softmax", SOFTMAX_FORMS)
def test_attention_to_equal_keys_is_the_mean(
    call_kernel, softmax: SoftmaxForm, tokens: int
) -> None:
    """All scores are equal: every weight is the largest, and all values are the least, -128."""
    node, context = one_head(tokens, softmax)
    lowered = OPERATORS["attention"].lower(node, {}, context)
    codes = [np.full((tokens, 4), code, np.int8) for code in (0, 0, -128)]
    assert np.array_equal(call_kernel(node, context.inputs, lowered, codes), codes[2])
    batch = [array[None] for array in codes]
    assert np.array_equal(OPERATORS["attention"].run_integer(node, lowered, batch)[0], codes[2])


def test_more_tokens_are_refused() -> None:
    node, context = one_head(1025, "table")
    with pytest.raises(LoweringError, match=r"n: too many tokens .*at most 1024, class token incl"):
        OPERATORS["attention"].lower(node, {}, context)
