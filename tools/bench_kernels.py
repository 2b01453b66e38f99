"""Instructions and modelled cycles of the kernels on Cortex-M7, M4 and M3, beside recorded bars.

    python tools/bench_kernels.py [--json] [--markdown]

Counts are instructions executed in QEMU, including packing, bias, zero points and requantisation;
every output is compared with the integer reference. Cycles are a model, tools/pipeline.py. The bars
are those of CMSIS-NN (commit 99f736a6) and TinyEngine (47bb283), measured in the same way.
Attention counts the products of scores and of weighted values, whether or not there are relative
positions, whose products come on top.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import model_cycles
import numpy as np
import tool
from kernel_cases import PICTURES, Case, all_cases
from model_cycles import Work
from tool import Parser, Table

from mcuformer.device import Core, Device, MemoryRegion
from oplib.codegen.runtime import CORE_DEFINITIONS, RUNTIME
from oplib.target import kernel_library, qemu
from oplib.target.kernel_library import Compilation
from oplib.target.linker import (
    CORE_FLAGS,
    CPU_FLAGS,
    KERNEL_FLAGS,
    OPTIMIZE,
    board_header,
    emulated_machine,
    linker_script,
)
from oplib.target.tools import require, run

ATTENTION_MACS = 2 * 197 * 197 * 64
CORES: tuple[Core, ...] = ("cortex-m7", "cortex-m4", "cortex-m3")
# tokens, in_features, out_features: CMSIS-NN's best, TinyEngine's best (instructions per MAC)
GEMM_BARS = {
    (64, 64, 64): (2.08, 1.96),
    (64, 192, 768): (1.65, 1.68),
    (197, 192, 192): (1.62, 1.70),
    (197, 192, 576): (1.62, 1.69),
    (197, 768, 192): (1.46, 1.61),
    (225, 240, 80): (1.57, 1.69),
}
# CMSIS-NN's kernel in modelled cycles per MAC on a Cortex-M7, by the same rules
CYCLE_BARS = {(64, 192, 768): 1.083, (197, 768, 192): 0.956}
OTHER_BARS = {
    "attention_per_mac": "CMSIS-NN 2.66 (q k), 2.17 (a v)",
    "attention_relative_per_mac": "",
    "softmax_per_score": "CMSIS-NN 535, Deeploy 39",
    "layer_norm_per_element": "Deeploy 102",
    "gelu_per_element": "Deeploy 39.6",
    "patch_embed_per_mac": "CMSIS-NN 1.77",
    **{f"{name}_per_pixel": "" for name in PICTURES},
}


@dataclass(frozen=True)
class Result:
    """What a case took.

    Args:
        instructions: executed instructions, by the emulator's clock.
        exact: whether the output equals the reference's.
        functions: instructions and modelled cycles by function.
    """

    instructions: int
    exact: bool
    functions: Mapping[str, Work]

    @property
    def cycles(self) -> int:
        """Modelled cycles."""
        return sum(work.cycles for work in self.functions.values())

    def cycles_in(self, *names: str) -> int:
        """Return the modelled cycles of some functions, whether the case calls them or not."""
        return sum(self.functions[name].cycles for name in names if name in self.functions)


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


def compilation(core: Core) -> Compilation:
    """Return how operators are compiled for a core, as in every exported network."""
    return Compilation(
        compiler="arm-none-eabi-gcc",
        flags=CORE_FLAGS[core],
        definitions=" ".join(CORE_DEFINITIONS[core]),
        optimize=OPTIMIZE,
        options=(f"-DCMAKE_TOOLCHAIN_FILE={RUNTIME / 'port' / 'cortex_m' / 'toolchain.cmake'}",),
    )


def measure(core: Core, cases: Sequence[Case]) -> list[Result]:
    """Run cases on the emulator."""
    require(*qemu.TOOLS)
    device = generic_device(core)
    machine = emulated_machine(device)
    port = RUNTIME / "port" / "cortex_m"
    with tempfile.TemporaryDirectory(prefix="mcuformer-bench-") as name:
        folder = Path(name)
        (folder / "board.h").write_text(board_header(machine))
        (folder / "board.ld").write_text(linker_script(device, machine.regions))
        (folder / "cases.bin").write_bytes(b"".join(case.record() for case in cases))
        operators = kernel_library.operators(folder / "operators", compilation(core))
        sources = [Path(__file__).with_suffix(".c"), port / "startup.c", port / "semihosting.c"]
        flags = [*CPU_FLAGS[core].split(), *KERNEL_FLAGS.split(), "-ffunction-sections"]
        include = [f"-I{path}" for path in (folder, port, RUNTIME / "include")]
        link = [
            "-nostartfiles",
            "--specs=nano.specs",
            "-Wl,--gc-sections",
            f"-Wl,-T,{folder}/board.ld",
        ]
        files = [str(path) for path in (*sources, operators)]
        elf = folder / "bench.elf"
        run(["arm-none-eabi-gcc", *flags, *include, *files, *link, "-o", str(elf)])
        works = model_cycles.measure(elf, machine.name, core.removeprefix("cortex-"), folder)
        outputs = (folder / "results.bin").read_bytes()
    results = []
    for case, functions in zip(cases, works, strict=True):
        ticks, output = outputs[:8], outputs[8 : 8 + len(case.expected)]
        outputs = outputs[8 + len(case.expected) :]
        count = qemu.instructions(np.frombuffer(ticks, "<u8"), machine)[0]
        results.append(Result(int(count), output == case.expected, functions))
    return results


def summary(core: Core, results: Mapping[str, Result]) -> dict[str, Any]:
    """Return the instructions of every kernel on a core."""
    counts = {name: result.instructions for name, result in results.items()}
    gemm = [
        {
            "tokens": tokens,
            "in_features": features,
            "out_features": channels,
            "instructions_per_mac": round(
                counts[str((tokens, features, channels))] / (tokens * features * channels), 4
            ),
            "bit_exact": results[str((tokens, features, channels))].exact,
        }
        for tokens, features, channels in GEMM_BARS
    ]
    gelu = counts["fc1, gelu"] - counts["fc1"]
    return {
        "core": core,
        "gemm": gemm,
        "attention_per_mac": round(counts["attention"] / ATTENTION_MACS, 4),
        "attention_relative_per_mac": round(counts["attention_relative"] / ATTENTION_MACS, 4),
        "softmax_per_score": round(counts["softmax"] / (4 * 197), 3),
        "layer_norm_per_element": round(counts["layer_norm"] / (197 * 192), 3),
        "gelu_per_element": round(gelu / (196 * 768), 3),
        "patch_embed_per_mac": round(counts["patch_embed"] / (225 * 768 * 192), 4),
        **{
            f"{name}_per_pixel": round(counts[name] / settings.img_size**2, 1)
            for name, settings in PICTURES.items()
        },
        "bit_exact": all(result.exact for result in results.values()),
    }


def constants(results: Mapping[str, Result]) -> dict[str, float]:
    """Return modelled cycles per unit of work, by the names in oplib/ops/work.py.

    Products and requantisation come from two shapes with as many products and unequal outputs.
    """
    pack = ("oplib_tile_pack_rows_s8", "oplib_tile_pack_s8")
    wide, deep = results[str((197, 192, 576))], results[str((197, 768, 192))]
    rows, packed = 200, deep.cycles_in(*pack)  # 197 tokens are 50 tiles
    wide_cycles, deep_cycles = wide.cycles - wide.cycles_in(*pack), deep.cycles - packed
    outputs = np.array([rows * 576, rows * 192])
    macs = outputs * [192, 768]
    per_mac, per_output = np.linalg.solve(
        np.stack([macs, outputs], axis=1), [wide_cycles, deep_cycles]
    )
    pairs = results["pairs"].cycles - per_output * 64 * 192
    keys = results["attention"].cycles_in(
        "oplib_tile_pack_keys_s8", "oplib_tile_pack_pair_s8", "oplib_tile_pack_values_s8"
    )
    gelu = results["fc1, gelu"].cycles - results["fc1"].cycles
    found = {
        "per_mac": per_mac,
        "per_mac_untiled": pairs / (64 * 192 * 192),
        "per_output": per_output,
        "per_packed_input": packed / (rows * 768),
        "per_packed_byte": keys / (2 * 197 * 64),
        "per_norm_element": results["layer_norm"].cycles / (rows * 192),
        "per_score": results["softmax"].cycles / (4 * 197) + per_output,
        "per_element": results["add"].cycles / 4096,
        "per_epilogue_element": gelu / (196 * 768),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every core; modelled cycles stand beside the instructions of the Cortex-M7."""
    cases = all_cases(tuple(GEMM_BARS))
    results = {
        core.removeprefix("cortex-"): dict(
            zip(cases, measure(core, list(cases.values())), strict=True)
        )
        for core in CORES
    }

    def cycles_per_mac(name: str, macs: int) -> dict[str, float]:
        return {core: round(found[name].cycles / macs, 4) for core, found in results.items()}

    m7, m4, m3 = (summary(core, results[core.removeprefix("cortex-")]) for core in CORES)
    for row, shape in zip(m7["gemm"], GEMM_BARS, strict=True):
        row["cycles_per_mac"] = cycles_per_mac(str(shape), math.prod(shape))
        row["cmsis_nn_cycles_per_mac"] = {"m7": CYCLE_BARS.get(shape)}
    for name in ("attention", "attention_relative"):
        m7[f"{name}_cycles_per_mac"] = cycles_per_mac(name, ATTENTION_MACS)
    m7["cycles"] = {core: constants(found) for core, found in results.items()}
    return {**m7, "m4": m4, "m3": m3}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return tables of instructions and modelled cycles, with a column per core."""
    cores = (result, result["m4"], result["m3"])
    names = tuple(core["core"] for core in cores)
    products, cycles = [], []
    for rows in zip(*(core["gemm"] for core in cores), strict=True):
        shape = rows[0]["tokens"], rows[0]["in_features"], rows[0]["out_features"]
        sizes = ", ".join(map(str, shape))
        bars = (f"{bar:.2f}" for bar in GEMM_BARS[shape])
        products.append((sizes, *bars, *(f"{row['instructions_per_mac']:.3f}" for row in rows)))
        bar = rows[0]["cmsis_nn_cycles_per_mac"]["m7"]
        ours = (f"{rate:.3f}" for rate in rows[0]["cycles_per_mac"].values())
        cycles.append((sizes, "" if bar is None else f"{bar:.3f}", *ours))
    for name in ("attention", "attention_relative"):
        rates = result[f"{name}_cycles_per_mac"].values()
        text = f"{name.replace('_', ' ')}: 197 tokens of 64"
        cycles.append((text, "", *(f"{rate:.3f}" for rate in rates)))
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
        Table(
            ("tokens, inputs, outputs", "CMSIS-NN, cortex-m7", *names),
            cycles,
            "Modelled cycles per multiply-accumulate",
        ),
        Table(("instructions", "others", *names), others),
    ]


def exact_everywhere(result: dict[str, Any]) -> bool:
    """Return whether every output on every core equals the reference's."""
    return all(core["bit_exact"] for core in (result, result["m4"], result["m3"]))


if __name__ == "__main__":
    raise SystemExit(
        tool.run(
            Parser(__doc__), compare, tables, wrong=lambda result: not exact_everywhere(result)
        )
    )
