"""One network computed three ways: numpy, C on this computer, an emulated chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.device import Device
from mcuformer.subnet import SubnetConfig
from oplib.codegen.component import Component
from oplib.codegen.weights_c import WeightsForm
from oplib.forms import Forms
from oplib.network.reference import run_integer
from oplib.ops.registry import OPERATORS
from oplib.plan.arena import FastRoom, plan_memory
from oplib.plan.footprint import planned_cost, static_bytes
from oplib.plan.panels import widen
from oplib.plan.schedule import Schedule, schedule
from oplib.target import board, host, qemu
from oplib.target.firmware import write_firmware
from oplib.target.qemu import EmulatedRun
from oplib.target.stack_bound import stack_bounds
from oplib.target.target import Target

NAMES = (*map(str, range(9)), '"ü"\\')
Agreement = Callable[[Any, SubnetConfig, Forms, Device, Path], EmulatedRun]


@pytest.fixture(scope="session")
def with_panels() -> Callable[[Schedule, int], Schedule]:
    """Return the function that gives each call of a schedule a panel of random size."""

    def change(scheduled: Schedule, seed: int) -> Schedule:
        rng = np.random.default_rng(seed)
        panels = [
            4 * int(rng.integers(1, sizes[-1] // 4 + 2)) if sizes else 0
            for node in scheduled.calls.nodes
            for sizes in [OPERATORS[node.op].panel_sizes(node, scheduled.calls.inputs_of(node))]
        ]
        calls = widen(scheduled.calls, panels)
        return replace(scheduled, calls=calls, plan=plan_memory(calls))

    return change


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a network's firmware and returns the folder of its folders."""

    def write(
        network: Any, device: Device, name: str = "export", weights: WeightsForm = "binary"
    ) -> Path:
        path = tmp_path / name
        component = Component(network.integer, network.scheduled, device, NAMES, weights=weights)
        write_firmware(path, component)
        return path

    return write


@pytest.fixture(scope="session")
def check_agreement(emulator_tools: None) -> Agreement:
    """Return the check of numpy = host C under the sanitizer = emulated chip, planned = linked.

    Scratch is in the fast arena where the device has one.
    """

    def check(
        network: Any, subnet: SubnetConfig, forms: Forms, device: Device, place: Path
    ) -> EmulatedRun:
        fast = FastRoom(Target(device, forms=forms).fast_bytes)
        scheduled = schedule(subnet, forms, fast=fast)
        write_firmware(place, Component(network.integer, scheduled, device, NAMES))
        expected = run_integer(network.integer, network.images)
        library = host.build(place, place / "host", sanitize="undefined")
        assert np.array_equal(host.run_images(library, network.images, 10), expected)
        elf = qemu.build(place, place / "emulated")
        result = qemu.run_images(elf, device, network.images[:8], 10)
        assert np.array_equal(result.logits, expected[:8])
        bound = stack_bounds(elf, "model").stack_bytes
        assert 0 < result.stack_high_water_bytes <= bound <= device.stack_reserve_bytes
        linked = board.measure(elf)
        planned = planned_cost(subnet, device.core, forms, fast=fast)
        assert (linked.arena, linked.weights) == (planned.arena, planned.weights)
        assert linked.fast == planned.fast
        assert (linked.fast > 0) == (device.fast_region is not None)
        assert linked.static <= static_bytes(forms, fast=linked.fast > 0)
        assert linked.code == pytest.approx(planned.code, rel=0.1)
        return result

    return check


@pytest.fixture(scope="session")
def write_program() -> Callable[[Path, str], None]:
    """Return a function that rewrites an export's model_run(): it executes given statements."""

    def write(folder: Path, statements: str) -> None:
        source = folder / "firmware" / "model.c"
        begin = "int32_t model_run(struct model_context *context)\n{\n"
        before = source.read_text().split(begin)[0]
        lines = [
            f"{before}{begin}",
            statements,
            "    done(context, 0);",
            "    return MODEL_OK;",
            "}",
        ]
        warnings = ("-Wunused-function", "-Wunused-const-variable")
        flags = "".join(f'#pragma GCC diagnostic ignored "{name}"\n' for name in warnings)
        source.write_text(flags + "\n".join([*lines, ""]))

    return write
