"""Print the tables of oplib/plan/code_size.py, measured by linking firmware for each core.

Run it after changing a kernel, the port or the compiler flags, and paste the tables.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from pprint import pformat
from typing import get_args

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Core, Device, Emulation, MemoryRegion
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.codegen.component import Component
from oplib.codegen.runtime import RUNTIME
from oplib.network.vit import float_model, random_weights
from oplib.plan.footprint import CONTEXT_BYTES, kernels_of, struct_bytes
from oplib.plan.param_structs import call_structs
from oplib.plan.schedule import schedule
from oplib.quantize.lower import quantize
from oplib.target.board import LinkedSizes, cross_build, measure
from oplib.target.firmware import write_firmware
from oplib.target.linker import CPU_FLAGS, KERNEL_FLAGS
from oplib.target.tools import run

PREPROCESSING = Preprocessing(img_size=8, channel_order="L", value_max=16, mean=(0.5,), std=(0.5,))


def random_network(depth: int) -> tuple[SubnetConfig, dict[str, np.ndarray]]:
    """Return a small network with random weights."""
    block = BlockConfig(num_heads=2, head_dim=16, mlp_ratio=2.0)
    subnet = SubnetConfig(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=32, blocks=(block,) * depth
    )
    return subnet, random_weights(subnet, np.random.default_rng(0))


def generic_device(core: Core) -> Device:
    """Return a device with the core and ample memory."""
    flash = MemoryRegion(name="flash", kind="flash", origin=0, size_bytes=1 << 20)
    sram = MemoryRegion(name="sram", kind="sram", origin=0x20000000, size_bytes=1 << 18)
    return Device(
        name=core,
        core=core,
        clock_hz=25_000_000,
        regions=(flash, sram),
        code_region="flash",
        arena_region="sram",
        data_region="sram",
        stack_reserve_bytes=1024,
        emulation=Emulation(machine="mps2-an385", clock_hz=25_000_000),
    )


def link(core: Core, depth: int, directory: Path) -> LinkedSizes:
    """Export and link the random network; return its sizes."""
    subnet, weights = random_network(depth)
    scheduled = schedule(subnet)
    model = float_model(subnet, weights, PREPROCESSING, "random weights")
    images = np.random.default_rng(1).integers(0, 17, (8, 8, 8, 1), dtype=np.uint8)
    integer = quantize(model, images)
    device = generic_device(core)
    folder = directory / f"{core}_{depth}"
    write_firmware(folder, Component(integer, scheduled, device, [str(i) for i in range(10)]))
    return measure(cross_build(folder, directory / f"{core}_{depth}_build", "emulated"))


def structs(depth: int) -> tuple[int, int]:
    """Return the bytes of all parameter structs, and the number of calls."""
    calls = schedule(random_network(depth)[0]).calls
    sizes = [
        struct_bytes(struct.fields)
        for node in calls.nodes
        for struct in call_structs(calls, node, {})
    ]
    return sum(sizes), len(calls.nodes)


def kernel_sizes(core: Core) -> dict[str, int]:
    """Compile every kernel on its own; return its bytes of code and constants, by name."""
    sizes = {}
    with tempfile.TemporaryDirectory() as name:
        for source in sorted((RUNTIME / "src").glob("*.c")):
            binary = Path(name) / "kernel.o"
            flags = [*CPU_FLAGS[core].split(), *KERNEL_FLAGS.split()]
            include = f"-I{RUNTIME / 'include'}"
            run(["arm-none-eabi-gcc", *flags, include, "-c", str(source), "-o", str(binary)])
            lines = run(["arm-none-eabi-size", str(binary)]).stdout.splitlines()
            sizes[f"oplib_{source.stem}"] = int(lines[1].split()[0])
    return sizes


def main() -> None:
    """Measure every core and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )
    arguments = parser.parse_args()
    ports, tables, calls, static = {}, {}, [], []
    for core in get_args(Core):
        with tempfile.TemporaryDirectory() as name:
            shallow, deep = link(core, 2, Path(name)), link(core, 4, Path(name))
        (shallow_bytes, shallow_calls), (deep_bytes, deep_calls) = structs(2), structs(4)
        # Two depths call the same kernels: without structs, they differ by their calls alone.
        call_bytes = (deep.code - deep_bytes) - (shallow.code - shallow_bytes)
        call = call_bytes / (deep_calls - shallow_calls)
        sizes = kernel_sizes(core)
        used = sum(sizes[kernel] for kernel in kernels_of(schedule(random_network(2)[0]).calls))
        ports[core] = shallow.code - shallow_bytes - used - round(call * shallow_calls)
        tables[core] = sizes
        calls.append(call)
        static.append(shallow.static)
    print("STATIC_BYTES =", max(static) - CONTEXT_BYTES)
    print("CALL_BYTES =", round(max(calls)))
    print("PORT_BYTES =", pformat(ports))
    print("KERNEL_BYTES =", pformat(tables))
    if arguments.json:
        print(
            json.dumps(
                {
                    "static": max(static) - CONTEXT_BYTES,
                    "call": max(calls),
                    "port": ports,
                    "kernels": tables,
                }
            )
        )


if __name__ == "__main__":
    main()
