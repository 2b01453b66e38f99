"""Modelled cycles of a program on Cortex-M7, M4 or M3, function by function.

    python tools/model_cycles.py ELF --machine NAME [--core m7] [--between FROM TO] [--json]

The emulator's machine NAME logs the address of every block it executes (`-d exec,nochain`), the
disassembly says which instructions those are, and tools/pipeline.py turns them into cycles. Counted
is what runs from each call of the function FROM to the next of TO, by default what the port's clock
measures; the port's own functions are left out. The program runs in the current folder.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tool
from pipeline import CORES, Instruction, cycles, parse
from tool import Parser, Table

from mcuformer.errors import ConfigError
from mcuformer.run.scratch import scratch
from oplib.target import qemu
from oplib.target.tools import require, run

BETWEEN = ("port_clock_start", "port_clock_ticks")
LOGGED = re.compile(rb"^(?:Trace \d+: \S+ \[\w+/(\w+)/|Stopped)", re.MULTILINE)
CHUNK_BYTES = 1 << 20
LINE = re.compile(r" *([0-9a-f]+):\t([0-9a-f ]+)\t([a-z]\w*)(?:\.[nw])?(?:\t([^<;@]*))?")
FUNCTION = re.compile(r"[0-9a-f]{8} <(.+)>:")
Paths = Counter[tuple[int, int]]  # how often control ran from a first to a last address


@dataclass(frozen=True)
class Block:
    """What runs from an address to the next instruction after which control may go elsewhere.

    Args:
        last: address of that instruction.
        after: address behind it.
        target: where it branches to; None if that is in a register.
    """

    last: int
    after: int
    target: int | None


@dataclass
class Program:
    """A disassembled program.

    Args:
        code: instruction, following address and function, by address.
        targets: addresses of direct branches' targets, by address.
        functions: addresses of functions, by name.
    """

    code: dict[int, tuple[Instruction, int, str]] = field(default_factory=dict)
    targets: dict[int, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)

    def block(self, address: int) -> Block:
        """Return the block that begins at an address."""
        while True:
            instruction, after, _ = self.code[address]
            if instruction.ends_block or after not in self.code:
                return Block(address, after, self.targets.get(address))
            address = after

    def between(self, first: int, last: int) -> Iterator[tuple[Instruction, str]]:
        """Yield the instructions from an address to another, with their functions."""
        while first <= last:
            instruction, first, function = self.code[first]
            yield instruction, function


def disassemble(elf: Path) -> Program:
    """Return the code of a program.

    Raises:
        ToolMissingError: the cross tools are not installed.
        FirmwareError: the file is not a program.
    """
    require("arm-none-eabi-objdump")
    program, function, conditional = Program(), "", 0
    for line in run(["arm-none-eabi-objdump", "-d", str(elf)]).stdout.splitlines():
        if (head := FUNCTION.match(line)) is not None:
            function = head[1]
        if (found := LINE.match(line)) is None:
            continue
        address, name, operands = int(found[1], 16), found[3], (found[4] or "").strip()
        program.functions.setdefault(function, address)
        instruction = parse(name[:-2] if conditional else name, operands, conditional > 0)
        conditional = len(name) - 1 if re.fullmatch("it[te]*", name) else max(conditional - 1, 0)
        after = address + len(found[2].replace(" ", "")) // 2
        program.code[address] = (instruction, after, function)
        if (
            instruction.kind == "branch"
            and (to := re.search(r"\b[0-9a-f]+$", operands)) is not None
        ):
            program.targets[address] = int(to[0], 16)
    return program


def executed_blocks(log: int) -> Iterator[int]:
    """Yield the addresses of the blocks that ran, from a descriptor of the log, in order."""
    held, rest = None, b""  # a block is logged before it runs, and may be stopped then
    with open(log, "rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            for address in LOGGED.findall(whole + newline):
                if held and address:
                    yield int(held, 16)
                held = address
    if held:
        yield int(held, 16)


def paths(addresses: Iterator[int], program: Program, between: Sequence[str]) -> list[Paths]:
    """Return how often each path between two taken branches ran, for each measured section."""
    start, stop = (program.functions[name] for name in between)
    blocks: dict[int, Block] = {}
    found: list[Paths] = []
    first, at, block, counting = 0, 0, Block(-1, -1, None), False
    for address in addresses:
        if counting and (address == block.target or not at < address <= block.after):
            found[-1][first, block.last] += 1
            first = address
        if address == start:
            found.append(Counter())
            first, counting = address, True
        elif address == stop:
            counting = False
        if counting:
            at, block = (
                address,
                blocks.get(address) or blocks.setdefault(address, program.block(address)),
            )
    return found


@dataclass
class Work:
    """Instructions and modelled cycles."""

    instructions: int = 0
    cycles: int = 0


def works(program: Program, counts: Paths, core: str) -> dict[str, Work]:
    """Return the work of each function in a measured section, the port's own left out."""
    found: dict[str, Work] = {}
    for (first, last), count in counts.items():
        path = list(program.between(first, last))
        costs = cycles(core, [instruction for instruction, _ in path])
        for (_, function), cost in zip(path, costs, strict=True):
            work = found.setdefault(function, Work())
            work.instructions += count
            work.cycles += count * cost
    return {name: work for name, work in found.items() if not name.startswith("port_")}


def measure(
    elf: Path, machine: str, core: str, directory: Path, between: Sequence[str] = BETWEEN
) -> list[dict[str, Work]]:
    """Run a program on the emulator and return the work of each measured section, by function.

    Args:
        elf: program, linked for the machine.
        machine: name of the emulator's machine.
        core: "m7", "m4" or "m3".
        directory: working directory, where the program reads and writes its files.
        between: functions whose calls begin and end a section.

    Raises:
        ToolMissingError: the cross tools or the emulator are not installed.
        FirmwareError: the program faulted, ended with an error or hung.
    """
    program = disassemble(elf)
    with scratch("trace") as folder, ThreadPoolExecutor(1) as pool:
        log = folder / "log"
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)  # does not wait for the emulator
        os.set_blocking(reader, True)
        writer = os.open(log, os.O_WRONLY)  # so that the log ends with the emulator, not before
        counts = pool.submit(lambda: paths(executed_blocks(reader), program, between))
        try:
            qemu.emulate(elf, machine, directory, log)
        finally:
            os.close(writer)
    return [works(program, section, core) for section in counts.result()]


def model(options: argparse.Namespace) -> dict[str, Any]:
    """Return the work of a program's measured sections, all together.

    Raises:
        ConfigError: the program lacks one of the functions that begin and end a section.
    """
    if not options.elf.is_file():
        raise ConfigError("no such file", where="ELF", got=options.elf)
    known = disassemble(options.elf).functions
    for name in options.between:
        if name not in known:
            raise ConfigError("not a function of the program", where="--between", got=name)
    sections = measure(options.elf, options.machine, options.core, Path.cwd(), options.between)
    total: dict[str, Work] = {}
    for section in sections:
        for name, work in section.items():
            one = total.setdefault(name, Work())
            one.instructions += work.instructions
            one.cycles += work.cycles
    by_cycles = sorted(total.items(), key=lambda item: -item[1].cycles)
    return {
        "core": options.core,
        "sections": len(sections),
        "functions": [{"name": name, **_figures(work)} for name, work in by_cycles],
        **_figures(
            Work(
                sum(work.instructions for work in total.values()),
                sum(work.cycles for work in total.values()),
            )
        ),
    }


def _figures(work: Work) -> dict[str, Any]:
    cpi = round(work.cycles / max(work.instructions, 1), 3)
    return {"cycles": work.cycles, "instructions": work.instructions, "cpi": cpi}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a table with a row per function, and their sum."""
    rows = [*result["functions"], {**result, "name": "all"}]
    cells = [
        (row["name"], f"{row['cycles']:,}", f"{row['instructions']:,}", f"{row['cpi']:.3f}")
        for row in rows
    ]
    title = f"Modelled on a Cortex-{result['core'].upper()}, {result['sections']} sections"
    return [Table(("function", "cycles", "instructions", "CPI"), cells, title)]


if __name__ == "__main__":
    parser = Parser(__doc__)
    parser.add_argument("elf", type=Path, help="program, linked for the machine")
    parser.add_argument("--machine", required=True, help="emulated machine, e.g. mps2-an500")
    parser.add_argument("--core", choices=CORES, default="m7", help="whose rules (m7)")
    parser.add_argument("--between", nargs=2, default=BETWEEN, metavar=("FROM", "TO"))
    raise SystemExit(tool.run(parser, model, tables))
