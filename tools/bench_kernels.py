"""Instructions of the kernels on the emulated Cortex-M7 and Cortex-M4, beside recorded bars.

    python tools/bench_kernels.py [--json] [--markdown]

Counts are instructions executed in QEMU, including packing, bias, zero points and requantisation;
every output is compared with the integer reference. The bars are those of CMSIS-NN (commit
99f736a6) and TinyEngine (47bb283), measured in the same way.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tool
from tool import Parser, Table

from mcuformer.device import Core, Device, MemoryRegion
from oplib.graph import Node
from oplib.ops.attention import AttentionAttributes
from oplib.ops.base import Array, Lowered
from oplib.ops.layer_norm import LayerNorm, LayerNormAttributes
from oplib.ops.linear import LinearAttributes
from oplib.ops.packing import QUAD_ORDER, quads
from oplib.ops.patch_embed import PatchAttributes
from oplib.ops.registry import OPERATORS
from oplib.ops.softmax import exp_table
from oplib.target import qemu
from oplib.target.firmware import RUNTIME
from oplib.target.linker import (
    CPU_FLAGS,
    KERNEL_FLAGS,
    board_header,
    emulated_machine,
    linker_script,
)
from oplib.target.tools import require, run

KINDS = ("linear", "attention", "softmax", "layer_norm", "patch_embed")
CORES: tuple[Core, ...] = ("cortex-m7", "cortex-m4")
HEADER = np.dtype(
    [
        ("kind", "<i4"),
        ("data_bytes", "<i4"),
        ("output_bytes", "<i4"),
        ("size", "<i4", (6,)),
        ("offset", "<i4", (4,)),
        ("value", "<i4", (4,)),
    ]
)
# tokens, in_features, out_features: CMSIS-NN's best, TinyEngine's best (instructions per MAC)
GEMM_BARS = {
    (64, 64, 64): (2.08, 1.96),
    (64, 192, 768): (1.65, 1.68),
    (197, 192, 192): (1.62, 1.70),
    (197, 192, 576): (1.62, 1.69),
    (197, 768, 192): (1.46, 1.61),
    (225, 240, 80): (1.57, 1.69),
}
OTHER_BARS = {
    "attention_per_mac": "CMSIS-NN 2.66 (q k), 2.17 (a v)",
    "softmax_per_score": "CMSIS-NN 535, Deeploy 39",
    "layer_norm_per_element": "Deeploy 102",
    "gelu_per_element": "Deeploy 39.6",
    "patch_embed_per_mac": "CMSIS-NN 1.77",
}


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
        header["offset"] = [*offsets, *[-1] * (4 - len(offsets))]
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


def linear(rng: np.random.Generator, shape: tuple[int, int, int], table: bool = False) -> Case:
    """Return the case of a linear layer, with or without a table in the epilogue."""
    tokens, features, channels = shape
    node = Node("n", "linear", ("x",), "y", LinearAttributes(channels))
    x, lowered = codes(rng, tokens, features), matrix(rng, features, channels)
    y = OPERATORS["linear"].run_integer(node, lowered, [x[None]])[0]
    flash = OPERATORS["linear"].flash_arrays(node, lowered)
    gelu = codes(rng, 256) if table else None
    if gelu is not None:
        y = gelu[y.astype(np.int64) + 128]
    return Case("linear", shape, (x, flash["weight"], flash["requant"], gelu), (-3,), y.tobytes())


def attention(rng: np.random.Generator, tokens: int, head_dim: int) -> Case:
    """Return the case of one attention head."""
    node = Node("n", "attention", ("q", "k", "v"), "y", AttentionAttributes(num_heads=1))
    q, k, v = (codes(rng, tokens, head_dim) for _ in range(3))
    multiplier, numerator, table = 2**32 // 1200, 2**33, exp_table(0.05)
    scalars = {"score_multiplier": multiplier, "value_numerator": numerator}
    lowered = Lowered({"exp_table": table}, {**scalars, "zero_point": 0, "exponent": 0})
    y = OPERATORS["attention"].run_integer(node, lowered, [x[None] for x in (q, k, v)])[0]
    value = (0, multiplier, numerator % 2**32, numerator >> 32)
    return Case("attention", (tokens, 1, head_dim), (q, k, v, table), value, y.tobytes())


def tiles(rows: np.ndarray) -> np.ndarray:
    """Return rows (4 n, features) as tiles (n, quads, 2, 4, 2)."""
    padded = np.zeros((len(rows), 4 * quads(rows.shape[1])), np.int16)
    padded[:, : rows.shape[1]] = rows
    by_quad = padded.reshape(len(rows) // 4, 4, -1, 4)[..., QUAD_ORDER]
    return by_quad.reshape(len(rows) // 4, 4, -1, 2, 2).transpose(0, 2, 3, 1, 4)


def softmax(rng: np.random.Generator, tokens: int) -> Case:
    """Return the case of the softmax of four rows of scores."""
    table, numerator = exp_table(0.05), 2**33
    scores = codes(rng, 4, tokens)
    weights = table[scores.max(axis=1, keepdims=True).astype(np.int64) - scores]
    total = weights.sum(axis=1, dtype=np.int64)
    multipliers = ((numerator + total // 2) // total).astype(np.int32)
    padded = np.pad(scores, ((0, 0), (0, -tokens % 4)))
    value = (0, 0, numerator % 2**32, numerator >> 32)
    expected = multipliers.tobytes() + tiles(weights.astype(np.int16)).tobytes()
    return Case("softmax", (tokens, 1, 64), (padded, None, None, table), value, expected)


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


def generic_device(core: Core) -> Device:
    """Return a device with the core and all memory of the emulated board."""
    flash = MemoryRegion(name="flash", kind="flash", origin=0, size_bytes=1 << 22)
    sram = MemoryRegion(name="sram", kind="sram", origin=0x20000000, size_bytes=1 << 22)
    return Device(
        name=core,
        core=core,
        clock_hz=25_000_000,
        regions=(flash, sram),
        code_region="flash",
        arena_region="sram",
        data_region="sram",
        stack_reserve_bytes=4096,
    )


def measure(core: Core, cases: Sequence[Case]) -> Iterator[tuple[int, bool]]:
    """Yield the instructions of each case, and whether its output equals the reference's."""
    require(*qemu.TOOLS)
    device = generic_device(core)
    machine = emulated_machine(device)
    port = RUNTIME / "port" / "cortex_m"
    with tempfile.TemporaryDirectory(prefix="mcuformer-bench-") as name:
        folder = Path(name)
        (folder / "board.h").write_text(board_header(machine))
        (folder / "board.ld").write_text(linker_script(device, machine.regions))
        (folder / "cases.bin").write_bytes(b"".join(case.record() for case in cases))
        sources = [Path(__file__).with_suffix(".c"), *sorted((RUNTIME / "src").glob("*.c"))]
        sources += [port / "startup.c", port / "semihosting.c"]
        flags = [*CPU_FLAGS[core].split(), *KERNEL_FLAGS.split(), "-ffunction-sections"]
        include = [f"-I{path}" for path in (folder, port, RUNTIME / "include")]
        link = [
            "-nostartfiles",
            "--specs=nano.specs",
            "-Wl,--gc-sections",
            f"-Wl,-T,{folder}/board.ld",
        ]
        files = [str(path) for path in sources]
        run(["arm-none-eabi-gcc", *flags, *include, *files, *link, "-o", f"{folder}/bench.elf"])
        qemu.emulate(folder / "bench.elf", machine.name, folder)
        results = (folder / "results.bin").read_bytes()
    for case in cases:
        ticks, output = results[:8], results[8 : 8 + len(case.expected)]
        results = results[8 + len(case.expected) :]
        count = qemu.instructions(np.frombuffer(ticks, "<u8"), machine)[0]
        yield int(count), output == case.expected


def bench(core: Core) -> dict[str, Any]:
    """Measure every kernel on a core."""
    rng = np.random.default_rng(0)
    fc1 = np.random.default_rng(1)
    cases = [linear(rng, shape) for shape in GEMM_BARS]
    cases += [attention(rng, 197, 64), softmax(rng, 197), layer_norm(rng, 197, 192)]
    cases += [linear(fc1, (196, 192, 768)), linear(np.random.default_rng(1), (196, 192, 768), True)]
    cases += [patch_embed(rng, 240, 16, 192)]
    results = list(measure(core, cases))
    gemm = [
        {
            "tokens": tokens,
            "in_features": features,
            "out_features": channels,
            "instructions_per_mac": round(count / (tokens * features * channels), 4),
            "bit_exact": exact,
        }
        for (tokens, features, channels), (count, exact) in zip(GEMM_BARS, results, strict=False)
    ]
    counts = [count for count, _ in results[len(GEMM_BARS) :]]
    return {
        "core": core,
        "gemm": gemm,
        "attention_per_mac": round(counts[0] / (2 * 197 * 197 * 64), 4),
        "softmax_per_score": round(counts[1] / (4 * 197), 3),
        "layer_norm_per_element": round(counts[2] / (197 * 192), 3),
        "gelu_per_element": round((counts[4] - counts[3]) / (196 * 768), 3),
        "patch_embed_per_mac": round(counts[5] / (225 * 768 * 192), 4),
        "bit_exact": all(exact for _, exact in results),
    }


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both cores."""
    first, second = (bench(core) for core in CORES)
    return {**first, "m4": second}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return tables of matrix products and of the other kernels, with a column per core."""
    cores = (result, result["m4"])
    names = tuple(f"{core['core']}, here" for core in cores)
    products = []
    for rows in zip(*(core["gemm"] for core in cores), strict=True):
        shape = rows[0]["tokens"], rows[0]["in_features"], rows[0]["out_features"]
        bars = (f"{bar:.2f}" for bar in GEMM_BARS[shape])
        ours = (f"{row['instructions_per_mac']:.3f}" for row in rows)
        products.append((", ".join(map(str, shape)), *bars, *ours))
    others = [
        (key.replace("_", " "), bar, *(f"{core[key]:.3f}" for core in cores))
        for key, bar in OTHER_BARS.items()
    ]
    exact = "all" if exact_everywhere(result) else "NOT all"
    return [
        Table(
            ("tokens, inputs, outputs", "CMSIS-NN", "TinyEngine", *names),
            products,
            f"Instructions per multiply-accumulate (outputs equal to numpy's: {exact})",
        ),
        Table(("instructions", "others", *names), others),
    ]


def exact_everywhere(result: dict[str, Any]) -> bool:
    """Return whether every output on both cores equals the reference's."""
    return bool(result["bit_exact"] and result["m4"]["bit_exact"])


if __name__ == "__main__":
    raise SystemExit(
        tool.run(
            Parser(__doc__), compare, tables, wrong=lambda result: not exact_everywhere(result)
        )
    )
