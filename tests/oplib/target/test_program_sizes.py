"""Sizes of a linked program by kind, layer and symbol, against those of binutils."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcuformer.device import Device
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import RunDir
from oplib import size
from oplib.target import board

NOT_IN_FLASH = {".bss", ".stack", ".arena", ".fast_arena"}


def printed_sections(elf: Path) -> dict[str, int]:
    """Return the sizes of the sections in memory, as binutils print them."""
    command = ["arm-none-eabi-size", "--format=sysv", str(elf)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in printed.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0][0] == "."}


@pytest.mark.usefixtures("emulator_tools")
def test_parts_add_up_to_what_is_linked(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path
) -> None:
    folder = write(small_network, stm32f100)
    elf = board.cross_build(folder, tmp_path / "device", "device")
    (folder / "build").mkdir()
    (folder / "build" / "device.elf").write_bytes(elf.read_bytes())
    sizes = size.run_sizes(RunDir(str(folder)))["device"]
    sections = printed_sections(elf)
    memory = {name: sections[name] for name in sections if not name.startswith(".debug")}
    flash = sum(count for name, count in memory.items() if name not in NOT_IN_FLASH)
    sram = sum(memory.get(name, 0) for name in (*NOT_IN_FLASH, ".data"))
    linked = board.measure(elf)
    assert sizes.flash_bytes == sum(sizes.flash.values()) == flash == linked.flash
    assert sizes.sram_bytes == sum(sizes.sram.values()) == sram
    assert sizes.sram["stack"] == stm32f100.stack_reserve_bytes
    assert sizes.sram["static data"] == linked.static
    assert sum(part.size_bytes for part in sizes.symbols) == sum(memory.values())
    weights = (folder / "firmware" / "model_weights.bin").stat().st_size
    assert sum(layer.weights_bytes for layer in sizes.layers) == weights == sizes.flash["weights"]
    parameters = [layer.parameters_bytes for layer in sizes.layers]
    assert sum(parameters) == sizes.flash["parameters"]
    assert min(parameters) > 0
    kinds = {part.name: part.kind for part in sizes.symbols}
    assert kinds["oplib_tile_linear_s8"] == kinds["normalise_row"] == "operators"
    assert (kinds["model_run"], kinds["port_reset"]) == ("calls", "program")
    text = list(size.lines(sizes))
    assert text[0] == f"{flash:>10,}  flash"


def test_a_run_without_a_program_is_one_line(tmp_path: Path) -> None:
    run = RunDir(str(tmp_path))
    with pytest.raises(ArtifactError, match=r"firmware/manifest\.json: no such file$"):
        size.run_sizes(run)
    (tmp_path / "firmware").mkdir()
    content = {"format": "mcuformer/firmware", "format_version": 1}
    (tmp_path / "firmware" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"build/device\.elf: no program of this export"):
        size.run_sizes(run)


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--jsn"]])
def test_wrong_arguments_are_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["size", *arguments])
    assert size.main() == 2
    usage = "error: wrong arguments (expected python -m oplib.size RUN [--json])\n"
    assert capsys.readouterr().err == usage
