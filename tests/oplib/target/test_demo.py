"""The program of a board without a camera, on the emulator: what it prints."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcuformer.device import Device
from mcuformer.subnet import SubnetConfig
from oplib.codegen import selftest_c
from oplib.codegen.component import Component
from oplib.forms import DEFAULT_FORMS, Forms, Passes
from oplib.network.reference import run_integer
from oplib.plan.schedule import schedule
from oplib.target import serving
from oplib.target.firmware import write_firmware
from oplib.target.linker import emulated_machine
from oplib.target.qemu import emulator_command

pytestmark = pytest.mark.usefixtures("emulator_tools")
IMAGES = 3
SECONDS = 60.0  # a start and three small images take one


def printed(elf: Path, device: Device, file: Path) -> list[str]:
    """Run a program until it serves; return the lines that it printed on its serial line."""
    machine = emulated_machine(device).name
    process = subprocess.Popen(
        emulator_command(elf, machine, f"file:{file}"), stdin=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + SECONDS
        while not (file.exists() and file.read_bytes().endswith(b"serving\r\n")):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    return file.read_text().splitlines()


@pytest.mark.parametrize("form", ["image", "strip"])
def test_pictures_operators_and_stack(
    form: str,
    random_network,
    small_subnet: SubnetConfig,
    preprocessing,
    stm32f100: Device,
    tmp_path: Path,
) -> None:
    forms = DEFAULT_FORMS if form == "image" else Forms(passes=Passes(input="strip"))
    network = random_network(small_subnet, preprocessing, 3, forms)
    images, labels = network.images[:IMAGES], np.array([7, 8, 9])
    names = [f"name {index}" for index in range(10)]
    tests = selftest_c.BuiltInImages(images, labels)
    scheduled = schedule(small_subnet, forms)
    component = Component(network.integer, scheduled, stm32f100, names, "digits", tests=tests)
    write_firmware(tmp_path, component)
    elf = serving.build(tmp_path, tmp_path / "build", "demo")
    lines = printed(elf, stm32f100, tmp_path / "lines")
    classes = run_integer(network.integer, images).argmax(axis=1)
    assert lines[0].endswith(" for stm32f100")
    for index, line in enumerate(lines[1 : 1 + IMAGES]):
        best, label = classes[index], labels[index]
        start = f"picture {index}: class {best} (name {best}), label {label} (name {label}), "
        assert line.startswith(f"{start}logits equal to the reference's, ")
    whole = int(lines[1].split()[-2])
    assert lines[1 + IMAGES] == "operators of picture 0"
    operators = dict(line.strip().split(": ") for line in lines[2 + IMAGES : -2])
    assert list(operators) == [node.name for node in scheduled.calls.nodes]
    parts = sum(int(ticks.split()[0]) for ticks in operators.values())
    assert parts == pytest.approx(whole, rel=0.02)  # the hook itself takes some
    assert 0 < int(lines[-2].split()[1]) <= stm32f100.stack_reserve_bytes


def test_other_weights_are_named(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path
) -> None:
    export = write(small_network, stm32f100)
    weights = export / "firmware" / "model_weights.bin"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    elf = serving.build(export, tmp_path / "build", "demo")
    lines = printed(elf, stm32f100, tmp_path / "lines")
    assert lines[1:] == [
        "the network does not start: status -4, other weights are in flash",
        "serving",
    ]
