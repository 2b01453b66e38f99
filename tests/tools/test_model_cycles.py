"""A program of which each executed instruction is known."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import Printed, run

from oplib.target import qemu

PROGRAM = """
    .syntax unified
    .thumb
    .global port_clock_start, port_clock_ticks, start, count
    .word 0x20001000, start + 1
    .thumb_func
    .type port_clock_start, %function
port_clock_start: bx lr
    .type port_clock_ticks, %function
port_clock_ticks: bx lr
    .type start, %function
start:
    bl port_clock_start
    movs r0, #10
.Lloop:
    subs r0, r0, #1
    bne .Lloop
    bl port_clock_ticks
    movs r0, #0x18
    ldr r1, =0x20026
    bkpt 0xab
"""
CORES = {  # machine, and cycles of the ten turns, of the move before them and the call after them
    "m7": ("mps2-an500", 2 + 8 * 1 + 2),
    "m4": ("mps2-an386", 1 + 9 * (1 + 3) + (1 + 1) + 3),
    "m3": ("mps2-an385", 1 + 9 * (1 + 3) + (1 + 1) + 3),
}


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    for program in qemu.TOOLS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} not found; `make setup` installs it")
    (tmp_path / "program.s").write_text(PROGRAM)
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-nostdlib", "-Wl,-Ttext=0,-e0"]
    subprocess.run([*command, "program.s", "-o", "program.elf"], cwd=tmp_path, check=True)
    return tmp_path / "program.elf"


def run_tool(root: Path, elf: Path, *options: str) -> Printed:
    return run([root / "tools" / "model_cycles.py", elf, *options], cwd=elf.parent)


@pytest.mark.parametrize("core", CORES)
def test_cycles_between_the_clock_calls(root: Path, elf: Path, core: str) -> None:
    machine, expected = CORES[core]
    result = run_tool(root, elf, "--machine", machine, "--core", core, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["instructions"] == 1 + 10 * 2 + 1
    assert found["cycles"] == expected
    assert [row["name"] for row in found["functions"]] == ["start"]


def test_refuses_a_function_that_is_not_there(root: Path, elf: Path) -> None:
    result = run_tool(root, elf, "--machine", "mps2-an500", "--between", "start", "absent")
    assert result.returncode == 2
    assert result.stderr == "error: --between: not a function of the program (got absent)\n"
