"""Networks as components of somebody's firmware: one for every device, built, run and measured.

    python tools/bench_components.py [DEVICE ...] [--json]

For each device file a network that fits it, with random weights, is exported under the name `net`.
The CMake project of tools/applications, copied to a folder outside the checkout, takes it by
add_subdirectory(). Its program runs the network's self-test in the emulator, within the device's
memory, and then one image. Planned: what search and export admit; linked: with the stack's reserve;
used: with the painted stack. The stack's bound has room for one interrupt.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tool
from bench_network import DEIT_TINY, NETWORKS, Network, prepare, vit
from tool import Parser, Table

from mcuformer.errors import ConfigError, did_you_mean
from mcuformer.run.progress import track
from mcuformer.subnet import BlockConfig
from oplib.codegen.component import Component
from oplib.codegen.selftest_c import BuiltInImages
from oplib.target import board, qemu
from oplib.target.firmware import write_firmware
from oplib.target.linker import emulated_machine
from oplib.target.stack_bound import stack_bounds
from oplib.target.target import built_footprint
from oplib.target.tools import run

APPLICATIONS = Path(__file__).with_name("applications")
BUILT_IN = 2  # images
NARROW = BlockConfig(num_heads=2, head_dim=64, mlp_ratio=2.0)
WIDE = BlockConfig(num_heads=3, head_dim=64, mlp_ratio=2.0)
CASES = {
    "stm32f100": ("digits", Network(NETWORKS["digits"].subnet, "stm32f100", 8 << 10)),
    "stm32f405": ("CIFAR-10, convolutions", NETWORKS["cifar_conv2"]),
    "stm32f427": (
        "Fashion-MNIST size",
        Network(
            vit((28, 4, 1), 96, BlockConfig(num_heads=3, head_dim=32, mlp_ratio=2.0), 5),
            "stm32f427",
            256 << 10,
        ),
    ),
    "stm32f746": (
        "160 px in strips",
        Network(vit((160, 16, 3), 128, NARROW, 4), "stm32f746", 320 << 10, strip=True),
    ),
    "stm32f746_qspi": ("DeiT-Tiny, 224 px", Network(DEIT_TINY, "stm32f746_qspi", 320 << 10)),
    "stm32h743": ("240 px", Network(vit((240, 20, 3), 192, WIDE, 4), "stm32h743", 640 << 10)),
}


def bench(name: str) -> dict[str, Any]:
    """Export, build and run the network of one device."""
    words, network = CASES[name]
    ready = prepare(network, BUILT_IN, network.budget)
    target, subnet = ready.target, network.subnet
    tests = BuiltInImages(ready.images, np.zeros(BUILT_IN, np.int64))
    classes = [str(index) for index in range(subnet.num_classes)]
    component = Component(
        ready.model, ready.scheduled, target.device, classes, name="net", tests=tests
    )
    planned, machine = target.cost(subnet), emulated_machine(target.device)
    with tempfile.TemporaryDirectory(prefix="mcuformer-components-") as place:
        export, project, build = (Path(place, name) for name in ("export", "somebodys", "build"))
        write_firmware(export, component)
        shutil.copytree(APPLICATIONS, project)
        options = ["-DAPPLICATION=selftest", f"-DEXPORTS={export}"]
        run(["cmake", "-S", str(project), "-B", str(build), *options])
        run(["cmake", "--build", str(build), "--parallel", "2"])
        elf = build / "application.elf"
        status, ticks, stack = map(int, qemu.emulate(elf, machine.name, Path(place)).split())
        linked, bounds = board.measure(elf), stack_bounds(elf, "net")
    used = built_footprint(linked, stack)
    reserve = target.device.stack_reserve_bytes
    return {
        "device": name,
        "network": words,
        "passed": status == 0,
        "sram_planned_bytes": planned.footprint.sram_bytes,
        "sram_linked_bytes": built_footprint(linked, reserve).sram_bytes,
        "sram_bytes": used.sram_bytes,
        "sram_device_bytes": target.device.sram_bytes,
        "flash_bytes": used.flash_bytes,
        "stack_bound_bytes": bounds.stack_bytes,
        "stack_bytes": stack,
        "stack_reserve_bytes": reserve,
        "instructions": int(qemu.instructions(np.array([ticks]), machine)[0]),
        "time": None if planned.time is None else planned.time.dump(),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the devices named, or all of them."""
    for name in options.names:
        if name not in CASES:
            raise ConfigError(
                f"no such device{did_you_mean(name, CASES)}",
                where="DEVICE",
                got=repr(name),
                expected=", ".join(CASES),
            )
    rows = [bench(name) for name in track(options.names or list(CASES), "devices")]
    return {"rows": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the result as a table."""
    sram = ("SRAM planned", "linked", "used", "of", "flash", "stack bound", "measured")
    header = ("device", "network", "self-test", *sram, "instructions", "ms, modelled")
    rows = [
        (
            row["device"],
            row["network"],
            "passed" if row["passed"] else "FAILED",
            *(f"{row[key]:,}" for key in SIZES),
            f"{row['time']['ms_low']:,.1f} to {row['time']['ms_high']:,.1f}",
        )
        for row in result["rows"]
    ]
    return [Table(header, rows, words=3)]


SIZES = (
    "sram_planned_bytes",
    "sram_linked_bytes",
    "sram_bytes",
    "sram_device_bytes",
    "flash_bytes",
    "stack_bound_bytes",
    "stack_bytes",
    "instructions",
)


def failed(result: dict[str, Any]) -> bool:
    """Return whether a self-test failed or a promise was not kept."""
    return not all(
        row["passed"] and row["stack_bytes"] <= row["stack_bound_bytes"] for row in result["rows"]
    )


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="DEVICE", help=f"devices: {', '.join(CASES)}")
    return tool.run(parser, measure, tables, failed)


if __name__ == "__main__":
    raise SystemExit(main())
