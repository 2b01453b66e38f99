"""The largest stack of programs whose frames gcc states and whose calls are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcuformer.errors import FirmwareError
from oplib.target.elf import Elf
from oplib.target.stack_bound import INTERRUPT_BYTES, stack_bounds

pytestmark = pytest.mark.usefixtures("emulator_tools")

PROGRAM = """
__attribute__((section(".vectors"), used)) static void (*const vectors[2])(void);
int oplib_kernel(int n, int a, int b, int c, int d, int e);
int oplib_small(int n);
int outside(int n);
int net_init(int n);
int net_run(int n);
int main(void);
void port_reset(void);
void handler(void);

#define USE(name, size) volatile int name[size]; name[0] = n; name[size - 1] = name[0]
__attribute__((noinline)) int oplib_kernel(int n, int a, int b, int c, int d, int e)
{
    USE(place, 100);
    return place[2] + a + b + c + d + e;
}
__attribute__((noinline)) int oplib_small(int n)
{
    USE(place, 10);
    return place[2];
}
__attribute__((noinline)) int outside(int n)
{
    USE(place, 200);
    return place[2];
}
static int (*const kernels[2])(int) = {oplib_small, outside};
static int (*const large[1])(int, int, int, int, int, int) = {oplib_kernel};
int (*const volatile *table)(int) = kernels;
const void *volatile other = large;

__attribute__((noinline)) int net_init(int n)
{
    USE(place, 30);
    return place[2];
}
__attribute__((noinline)) int net_run(int n)
{
    USE(place, 20);
    return %s + place[2];
}
int main(void)
{
    return net_init(3) + net_run(4) + 1;
}
void port_reset(void)
{
    (void)main();
    for (;;) {
    }
}
void handler(void)
{
    (void)outside(1);
    other = vectors;
}
static void (*const vectors[2])(void) = {port_reset, handler};
"""


def build(statement: str, place: Path) -> tuple[Path, dict[str, int]]:
    """Return a linked program, and the frames that the compiler states."""
    (place / "net.c").write_text(PROGRAM % statement)
    script = "SECTIONS { .vectors 0x8000000 : { LONG(0x20001000) KEEP(*(.vectors)) } "
    script += ".text : { *(.text* .rodata*) } .data 0x20000000 : { *(.data*) } }"
    (place / "net.ld").write_text(script)
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-std=c99", "-O1", "-nostdlib"]
    command += ["-fstack-usage", "-fno-ipa-cp", "-Wl,-T,net.ld", "-Wl,-e,port_reset", "net.c"]
    subprocess.run([*command, "-c", "-o", "net.o"], cwd=place, check=True, capture_output=True)
    command[-1] = "net.o"
    subprocess.run([*command, "-o", "net.elf"], cwd=place, check=True, capture_output=True)
    lines = [line.split("\t") for line in (place / "net.su").read_text().splitlines()]
    return place / "net.elf", {line[0].rpartition(":")[2]: int(line[1]) for line in lines}


def test_a_pointer_means_what_can_be_given_its_arguments(tmp_path: Path) -> None:
    """net_run is no kernel: it calls no kernel by a pointer, and hands over one argument."""
    elf, frames = build("table[n](n)", tmp_path)
    bounds = stack_bounds(elf, "net")
    path = ("port_reset", "main", "net_run", "outside")
    assert bounds.program.path == path
    assert bounds.program.stack_bytes == sum(frames[name] for name in path)
    assert bounds.network.path == ("net_init",)  # without the caller's functions it takes more
    assert bounds.network.stack_bytes == frames["net_init"] > frames["net_run"]
    handler = frames["handler"] + frames["outside"]
    assert bounds.interrupt.stack_bytes == INTERRUPT_BYTES + handler
    assert bounds.stack_bytes == bounds.program.stack_bytes + bounds.interrupt.stack_bytes


def test_a_kernel_is_called_directly(tmp_path: Path) -> None:
    elf, frames = build("oplib_kernel(n, n, n, n, n, n)", tmp_path)
    bounds = stack_bounds(elf, "net")
    path = ("net_run", "oplib_kernel")
    assert bounds.network.path == path
    assert bounds.network.stack_bytes == sum(frames[name] for name in path)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("(n > 1 ? net_run(n - 1) + 1 : 0)", "no bound: net_run calls net_run$"),
        ("oplib_small((int)(long)__builtin_alloca(n))", "^net_run: moves the stack pointer"),
    ],
)
def test_what_has_no_bound_is_named(statement: str, message: str, tmp_path: Path) -> None:
    elf, _ = build(statement, tmp_path)
    with pytest.raises(FirmwareError, match=message):
        stack_bounds(elf, "net")


def test_a_program_without_the_network_is_refused(tmp_path: Path) -> None:
    elf, _ = build("0", tmp_path)
    with pytest.raises(FirmwareError, match=r"net\.elf: no function other_init$"):
        stack_bounds(elf, "other")


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    elf, _ = build("0", tmp_path)
    content = elf.read_bytes()
    read = Elf.read(elf)
    assert read.section(".vectors").address == 0x08000000
    assert read.functions["net_run"].address % 2 == 0
    for damaged, message in (
        (b"#!/bin/sh", "not a program of a 32-bit Arm core"),
        (content[:18] + b"\x03\x00" + content[20:], "not a program of a 32-bit Arm core"),
        (content[:-100], "damaged ELF file"),
        (content[:40], "damaged ELF file"),
    ):
        elf.write_bytes(damaged)
        with pytest.raises(FirmwareError, match=message):
            Elf.read(elf)
