"""The largest stack of a linked program, from its instructions and its call graph.

Every frame is read from the disassembly (:mod:`oplib.target.thumb`), so that the functions of the
compiler's library and assembly count too. A call by a pointer is taken to call each function whose
address the program holds, but none that is running already: nothing here is recursive. Kernels are
called by pointers of kernels only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from mcuformer.errors import FirmwareError
from mcuformer.limits import ByteCount
from mcuformer.value import Value
from oplib.target.elf import Elf
from oplib.target.thumb import Edge, Frame, frame, parse
from oplib.target.tools import require, run

Depth = tuple[int, tuple[str, ...]]  # bytes, and the functions that take them

DISASSEMBLER = "arm-none-eabi-objdump"
KERNEL = "oplib_"
RESET = "port_reset"
VECTORS = ".vectors"
DATA = (".weights", ".test_images")  # they hold no address
# what an exception pushes: 8 registers, with those of a floating-point unit 26, and a word that
# aligns the stack to 8 bytes (Armv7-M Architecture Reference Manual, section B1.5.6)
INTERRUPT_BYTES, FLOATING_INTERRUPT_BYTES = 4 * 8 + 4, 4 * 26 + 4


class StackBound(Value):
    """The largest stack of a function with all that it calls.

    Args:
        stack_bytes: bytes.
        path: names of the functions that take them, the outermost first.
    """

    stack_bytes: ByteCount
    path: tuple[str, ...]


class StackBounds(Value):
    """The largest stacks of a program.

    Args:
        program: from reset on, without interrupts.
        network: the larger of those that initialise and run the network, without what the
            functions take that the caller hands over (rows of the image, hook).
        interrupt: one interrupt, whose handler is in the table of vectors.
    """

    program: StackBound
    network: StackBound
    interrupt: StackBound

    @property
    def stack_bytes(self) -> int:
        """Largest stack of the program, with room for one interrupt."""
        return self.program.stack_bytes + self.interrupt.stack_bytes


def stack_bounds(elf: Path, name: str) -> StackBounds:
    """Return the largest stacks of a linked program.

    Args:
        elf: the program.
        name: name of the network.

    Raises:
        ToolMissingError: the disassembler is not installed.
        FirmwareError: a function is recursive or its frame has no fixed size, or the file is none
            of a program with the network.
    """
    program = _Program(Elf.read(elf))
    network = [program.bound(f"{name}_{step}", outside=False) for step in ("init", "run")]
    return StackBounds(
        program=program.bound(RESET),
        network=max(network, key=lambda bound: bound.stack_bytes),
        interrupt=program.interrupt(),
    )


class _Program:
    """The functions of a program, their frames, and how they call one another."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._functions = {symbol.address: symbol for symbol in elf.functions.values()}
        self._starts = sorted(self._functions)
        self._frames = dict(self._read_frames())
        kernels = {name for name in elf.functions if name.startswith(KERNEL)}
        sources = {f"{name.removeprefix(KERNEL)}.c" for name in kernels}
        self._kernels = {
            address
            for address, symbol in self._functions.items()
            if symbol.name in kernels or symbol.source in sources
        }
        self._results: dict[tuple[int, bool], Depth] = {}

    def bound(self, name: str, *, outside: bool = True) -> StackBound:
        """Return the largest stack of a function.

        Args:
            name: its name.
            outside: whether pointers may lead out of the kernels.

        Raises:
            FirmwareError: there is no such function, or it calls itself.
        """
        symbol = self._elf.functions.get(name)
        if symbol is None:
            raise FirmwareError(f"no function {name}", where=self._elf.path)
        size, path = self._deepest(symbol.address, (), outside)
        return StackBound(stack_bytes=size, path=path)

    def interrupt(self) -> StackBound:
        """Return the largest stack of an interrupt and of its handler in the table of vectors."""
        vectors = self._elf.section(VECTORS)
        words = list(self._elf.words(vectors.address, vectors.end).values())
        floating = any(frame.floating for frame in self._frames.values())
        pushed = FLOATING_INTERRUPT_BYTES if floating else INTERRUPT_BYTES
        handlers = {word - 1 for word in words[2:]} & set(self._functions)  # end of stack, reset
        bounds = [self._deepest(handler, (), outside=True) for handler in sorted(handlers)]
        size, path = max(bounds, default=(0, ()))
        return StackBound(stack_bytes=pushed + size, path=path)

    def _deepest(self, address: int, running: tuple[int, ...], outside: bool) -> Depth:
        """Return the largest stack of a function and the names of those that take it.

        Args:
            address: of the function.
            running: addresses of the functions that it is called from, the outermost first.
            outside: whether pointers may lead out of the kernels.

        Raises:
            FirmwareError: it is recursive.
        """
        name, own = self._functions[address].name, self._frames[address]
        if address in running:
            cycle = [self._functions[one].name for one in running[running.index(address) :]]
            text = " calls ".join([*cycle, name])
            raise FirmwareError(f"the stack has no bound: {text}", where=self._elf.path)
        if (address, outside) in self._results:
            return self._results[address, outside]
        running = (*running, address)
        best: Depth = (own.size, (name,))
        for edge in own.edges:
            for target in self._targets(edge, address, running, outside):
                size, path = self._deepest(target, running, outside)
                best = max(best, (edge.depth + size, (name, *path)))
        if address not in self._pointer_callers:
            self._results[address, outside] = best
        return best

    def _targets(
        self, edge: Edge, caller: int, running: tuple[int, ...], outside: bool
    ) -> Sequence[int]:
        """Return the addresses of the functions that an edge can lead to."""
        if edge.kind != "pointer":
            return [self._function_at(edge.target)]
        return [
            function
            for function in self._taken
            if function not in running
            and self._frames[function].reads <= self._frames[caller].passes
            and (caller in self._kernels or function not in self._kernels)
            and (outside or function in self._kernels)
        ]

    def _function_at(self, address: int) -> int:
        """Return the address of the function that holds an address.

        Raises:
            FirmwareError: none does.
        """
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            raise FirmwareError(f"no function at {address:#x}", where=self._elf.path)
        return self._starts[index]

    @cached_property
    def _taken(self) -> list[int]:
        """Addresses of the functions that the program holds as data, apart from vectors."""
        values = {value for frame in self._frames.values() for value in frame.constants}
        code = sorted((symbol.address, symbol.end) for symbol in self._functions.values())
        for section in self._elf.sections:
            if section.name not in (VECTORS, *DATA):
                begin = section.address
                for first, last in code:
                    values |= set(self._elf.words(begin, min(first, section.end)).values())
                    begin = max(begin, last)
                values |= set(self._elf.words(begin, section.end).values())
        return sorted({value - 1 for value in values} & set(self._functions))

    @cached_property
    def _pointer_callers(self) -> set[int]:
        """Addresses of the functions that call by a pointer, or lead to one that does."""
        callers: set[int] = set()
        while True:
            more = {
                address
                for address, frame in self._frames.items()
                for edge in frame.edges
                if edge.kind == "pointer" or self._function_at(edge.target) in callers
            }
            if more == callers:
                return callers
            callers = more

    def _read_frames(self) -> Iterator[tuple[int, Frame]]:
        """Yield the address and the frame of every function.

        Raises:
            ToolMissingError: the disassembler is not installed.
            FirmwareError: a frame has no fixed size.
        """
        require(DISASSEMBLER)
        for section in {symbol.section for symbol in self._functions.values()}:
            inside = [start for start in self._starts if self._functions[start].section == section]
            end = max(self._functions[inside[-1]].end, inside[-1] + 2)
            command = [DISASSEMBLER, "-d", "--no-show-raw-insn", f"--section={section}"]
            command += [f"--start-address={inside[0]}", f"--stop-address={end}"]
            instructions = parse(run([*command, str(self._elf.path)]).stdout)
            words = self._elf.words(inside[0], end)
            for start, stop in pairwise([*inside, end]):
                own = [one for one in instructions if start <= one.address < stop]
                yield start, frame(self._functions[start].name, own, words)
