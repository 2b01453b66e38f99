"""Other ways to build the generated C: one translation unit, and a C++ application."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.network.reference import run_integer
from oplib.target import host, qemu
from oplib.target.kernel_library import STRICT

ONE_UNIT = "-O3 -flto -fstrict-aliasing"
APPLICATION = """\
#include "model.h"
#include "oplib.h"
#include <cstdio>
int main() {
    MODEL_ALIGNED static uint8_t arena[MODEL_ARENA_BYTES];
    model_context context;
    if (model_init(&context, arena, sizeof arena) != MODEL_OK) return 1;
    for (int i = 0; i < MODEL_INPUT_BYTES; i++) model_input(&context)[i] = (uint8_t)(i % 17);
    if (model_run(&context) != MODEL_OK) return 2;
    std::printf("%d", (int)model_logits(&context)[0]);
}
"""


FORMS: dict[str, dict[str, Any]] = {
    "streamed": {},
    "wide": {"residual": "int16", "low_rank": "int16"},
    "layers": {"passes": {"stream_tokens": False}},
}


@pytest.fixture(params=FORMS)
def network(
    request: pytest.FixtureRequest,
    random_network,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
) -> Any:
    return random_network(small_subnet, preprocessing, 5, Forms.parse(FORMS[request.param]))


@pytest.mark.usefixtures("emulator_tools")
def test_strict_aliasing_and_link_time_optimisation_change_nothing(
    network, write: Callable[..., Path], stm32f746: Device, tmp_path: Path
) -> None:
    """With one translation unit, the compiler sees every access to bytes of changing type."""
    firmware = write(network, stm32f746)
    expected = run_integer(network.integer, network.images)
    library = host.build(firmware, tmp_path / "host", optimize=ONE_UNIT)
    assert np.array_equal(host.run_images(library, network.images, 10), expected)
    elf = qemu.build(firmware, tmp_path / "emulated", ONE_UNIT)
    result = qemu.run_images(elf, stm32f746, network.images[:4], 10)
    assert np.array_equal(result.logits, expected[:4])


def test_a_cpp_application_links(
    small_network, write: Callable[..., Path], host_tools: None, stm32f100: Device, tmp_path: Path
) -> None:
    """The generated headers declare C functions to a C++ compiler."""
    folder = write(small_network, stm32f100) / "firmware"
    subprocess.run(["cmake", "-S", folder, "-B", tmp_path / "build"], check=True)
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True)
    source, program = tmp_path / "application.cpp", str(tmp_path / "application")
    source.write_text(APPLICATION)
    flags = ["-std=c++17", *STRICT.split(), f"-I{folder}"]
    libraries = [str(tmp_path / "build" / name) for name in ("libmodel.a", "oplib/liboplib.a")]
    linked = [str(source), *libraries, "-o", program]
    subprocess.run(["c++", *flags, f"-I{folder / 'oplib/include'}", *linked], check=True)
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    image = (np.arange(64) % 17).astype(np.uint8).reshape(1, 8, 8, 1)
    assert int(printed) == run_integer(small_network.integer, image)[0, 0]


BOARD = "int unused; void board_init(void); void board_init(void) { int warned; }\n"


@pytest.mark.usefixtures("emulator_tools")
def test_a_board_has_a_folder_of_its_own(
    random_network,
    write: Callable[..., Path],
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f746: Device,
    tmp_path: Path,
) -> None:
    """Its functions replace the weak ones; its warnings are not errors."""
    firmware = write(random_network(small_subnet, preprocessing), stm32f746)
    board = tmp_path / "my board"
    board.mkdir()
    (board / "board.c").write_text(BOARD)
    build, project = tmp_path / "device", firmware / "port" / "device"
    command = ["cmake", "-S", project, "-B", build, f"-DMODEL_BOARD_DIR={board}"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    symbols = ["arm-none-eabi-nm", build / "network.elf"]
    names = subprocess.run(symbols, check=True, capture_output=True, text=True).stdout
    assert " T board_init" in names
    assert " W board_report" in names
