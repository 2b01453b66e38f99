"""Frames read from instructions: by hand, and those that gcc states itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mcuformer.errors import FirmwareError
from oplib.target.linker import CPU_FLAGS, KERNEL_FLAGS
from oplib.target.thumb import Edge, Frame, frame, parse

RUNTIME = Path(__file__).resolve().parents[3] / "oplib" / "runtime"


def frame_of(*lines: str, words: dict[int, int] | None = None) -> Frame:
    """Return the frame of instructions of two bytes each, from address 0x100 on."""
    text = "".join(f"     {0x100 + 2 * i:x}:\t{line}\n" for i, line in enumerate(lines))
    return frame("here", parse(text), words or {})


def test_what_is_pushed_and_subtracted_is_the_frame() -> None:
    body = frame_of(
        "stmdb\tsp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}",  # 36
        "vpush\t{d8-d9}",  # 16
        "sub\tsp, #12",
        "bl\t200 <callee>",
        "add\tsp, #12",
        "vpop\t{d8-d9}",
        "ldmia.w\tsp!, {r4, r5, r6, r7, r8, r9, sl, fp, pc}",
    )
    assert (body.size, body.floating) == (64, True)
    assert body.edges == (Edge("call", 64, 0x200),)


def test_a_branch_at_the_end_returns_to_the_caller() -> None:
    """The frame is gone; the other function's stack is not on top of it."""
    body = frame_of(
        "push\t{r4, lr}",
        "cmp\tr0, #0",
        "it\tne",
        "popne\t{r4, pc}",  # the other branch still has its registers
        "blx\tr3",
        "ldmia.w\tsp!, {r4, lr}",
        "b.w\t300 <last>",
    )
    assert body.size == 8
    assert body.edges == (Edge("pointer", 8, 0), Edge("jump", 0, 0x300))


def test_a_large_frame_comes_from_a_constant() -> None:
    """Armv6-M has no immediate of this size; 0xfffffd00 is -768."""
    body = frame_of(
        "push\t{r4, lr}",
        "ldr\tr4, [pc, #20]\t@ (11c <here+0x1c>)",
        "add\tsp, r4",
        "movs\tr3, #192\t@ 0xc0",
        "lsls\tr3, r3, #2",
        "add\tsp, r3",
        "pop\t{r4, pc}",
        words={0x11C: 0xFFFFFD00},
    )
    assert (body.size, body.constants) == (8 + 768, frozenset({0xFFFFFD00}))


@pytest.mark.parametrize("line", ["sub.w\tsp, sp, r3", "mov\tsp, r3", "msr\tMSP, r3"])
def test_a_frame_of_no_fixed_size_is_refused(line: str) -> None:
    with pytest.raises(FirmwareError, match=r"^here: moves the stack pointer by what only"):
        frame_of("push\t{r4, lr}", line, "pop\t{r4, pc}")


def test_a_table_of_branches_leads_to_what_is_behind_it() -> None:
    body = frame_of(
        "push\t{r4, lr}",
        "tbb\t[pc, r0]",
        ".short\t0x0302",
        "sub\tsp, #8",
        "bl\t200 <callee>",
        "add\tsp, #8",
        "pop\t{r4, pc}",
    )
    assert (body.size, body.edges) == (16, (Edge("call", 16, 0x200),))


def test_arguments_on_the_stack() -> None:
    """Two words are read above a frame of 16 bytes; two are written for somebody else."""
    body = frame_of(
        "push\t{r4, lr}",
        "sub\tsp, #8",
        "ldrd\tr0, r1, [sp, #16]",
        "strd\tr0, r1, [sp]",
        "ldr\tr2, [sp, #4]",
        "blx\tr3",
        "add\tsp, #8",
        "pop\t{r4, pc}",
    )
    assert (body.reads, body.passes) == (8, 8)
    assert frame_of("add\tr0, sp, #0", "bx\tlr").passes > 1000  # who knows


@pytest.mark.usefixtures("emulator_tools")
@pytest.mark.parametrize(("core", "half"), [("cortex-m0plus", 0), ("cortex-m7", 1)])
def test_frames_are_those_that_gcc_states(core: str, half: int, tmp_path: Path) -> None:
    """``-fstack-usage`` names the source's functions, so clones of a function are left out."""
    sources = sorted((RUNTIME / "src").glob("*.c"))[half::2]
    command = ["arm-none-eabi-gcc", *CPU_FLAGS[core].split(), *KERNEL_FLAGS.split(), "-c"]
    command += ["-fstack-usage", f"-I{RUNTIME / 'include'}", *map(str, sources)]
    subprocess.run(command, cwd=tmp_path, check=True)
    objects = [str(tmp_path / f"{source.stem}.o") for source in sources]
    command = ["arm-none-eabi-objdump", "-d", "--no-show-raw-insn", *objects]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[int]] = {}
    stated: dict[str, list[int]] = {}
    for text in re.split(r"\n(?=\S+ +file format|[0-9a-f]{8} <)", printed):
        name = re.match(r"[0-9a-f]+ <(.+)>:", text)
        if name is not None:
            words = re.findall(r"^\s*([0-9a-f]+):\t\.word\t0x([0-9a-f]+)", text, re.MULTILINE)
            constants = {int(address, 16): int(word, 16) for address, word in words}
            found.setdefault(name[1], []).append(frame(name[1], parse(text), constants).size)
    for line in "".join(path.read_text() for path in sorted(tmp_path.glob("*.su"))).splitlines():
        place, size, kind = line.split("\t")
        assert kind == "static"
        stated.setdefault(place.rpartition(":")[2], []).append(int(size))
    common = found.keys() & stated.keys()
    assert len(common) > 30
    assert {name: sorted(found[name]) for name in common} == {
        name: sorted(stated[name]) for name in common
    }
