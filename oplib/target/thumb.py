"""What the instructions of a Cortex-M function do to the stack.

The stack pointer is followed along the control flow of compiled code: registers are pushed, the
pointer is moved by constants, and both are undone before the function returns. The instructions
are those of the Armv7-M Architecture Reference Manual (Arm DDI 0403E), section A7.7, as
``objdump`` prints them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from mcuformer.errors import FirmwareError

EdgeKind = Literal["call", "jump", "pointer"]

LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S+)\s*([^;@]*)(?:[;@].*\(([0-9a-f]+) )?")
CONDITION = "(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?"
PLAIN = re.compile(
    r"^(push|pop|vpush|vpop|addw?|subw?|adds|subs|ldrd?|strd?|movs?|movw|movt|lsls?|negs|rsbs"
    rf"|stmdb|stmfd|stm|ldmia|ldmfd|ldm|bx|blx|bl|b|udf)({CONDITION})$"
)
COMPARE_AND_BRANCH = ("cbz", "cbnz")
TABLES = ("tbb", "tbh")  # branches by a table behind the instruction
TABLE_CALL = "__gnu_thumb1_case_"  # libgcc's function that does the same on Armv6-M
SOURCES_FIRST = ("cmp", "cmn", "tst", "teq", "str", "stm", "push")  # they write no first operand
MAX_FRAME = 1 << 20
UNKNOWN_FRAME = "moves the stack pointer by what only the running program knows"


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Args:
        address: address of its first byte.
        name: mnemonic, without width and condition.
        conditional: whether it is skipped unless a condition holds.
        operands: its operands as text.
        literal: address of the constant that it loads, if it loads one.
    """

    address: int
    name: str
    conditional: bool
    operands: tuple[str, ...]
    literal: int | None

    @property
    def target(self) -> int | None:
        """Address that it branches to; None if a register holds it."""
        match = re.match(r"^([0-9a-f]+) <", self.operands[-1]) if self.operands else None
        return int(match[1], 16) if match and not self.operands[-1].startswith("r") else None


@dataclass(frozen=True)
class Edge:
    """A way from one function into another.

    Args:
        kind: ``call``; ``jump``, after which the other returns to the caller; ``pointer``, either
            of both to an address that the program holds as data.
        depth: bytes that the function has on the stack at that moment.
        target: address; 0 for a pointer.
    """

    kind: EdgeKind
    depth: int
    target: int


@dataclass(frozen=True)
class Frame:
    """What one function takes of the stack.

    Args:
        size: bytes at most, without those of the functions that it calls.
        edges: its ways into other functions.
        reads: bytes of arguments that it reads from its caller's stack.
        passes: bytes of arguments that it can have put on the stack for those that it calls.
        constants: values that it puts into registers, from flash or in two halves: addresses.
        floating: whether it uses the registers of a floating-point unit.
    """

    size: int
    edges: tuple[Edge, ...]
    reads: int
    passes: int
    constants: frozenset[int]
    floating: bool


def parse(text: str) -> list[Instruction]:
    """Return the instructions of a disassembly (``objdump -d --no-show-raw-insn``)."""
    found = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match and match[2][0].isalpha():  # not .word
            name, conditional = _plain(match[2].partition(".")[0])
            operands = tuple(part.strip() for part in _split(match[3]) if part.strip())
            literal = int(match[4], 16) if match[4] and "[pc" in match[3] else None
            found.append(Instruction(int(match[1], 16), name, conditional, operands, literal))
    return found


def _plain(name: str) -> tuple[str, bool]:
    """Return a mnemonic without its condition, and whether it has one."""
    match = PLAIN.match(name)
    return (match[1], match[2] != "") if match else (name, False)


def _split(operands: str) -> list[str]:
    """Return operands, separated at the commas outside of brackets."""
    return re.split(r",(?![^\[{]*[\]}])", operands)


def frame(name: str, instructions: Sequence[Instruction], words: Mapping[int, int]) -> Frame:
    """Return what a function takes of the stack.

    Args:
        name: its name, for messages.
        instructions: its instructions, by address.
        words: constants in flash, by address.

    Raises:
        FirmwareError: its frame has no fixed size.
    """
    walk = _Walk(name, instructions, words)
    walk.follow()
    return Frame(
        max(walk.deepest.values(), default=0),
        tuple(dict.fromkeys(walk.edges)),
        walk.reads,
        walk.passes(),
        frozenset(walk.constants),
        any(instruction.name.startswith("v") for instruction in instructions),
    )


class _Walk:
    """The control flow of one function, and its depth on the stack at each instruction."""

    def __init__(
        self, name: str, instructions: Sequence[Instruction], words: Mapping[int, int]
    ) -> None:
        self._name = name
        self._at = {instruction.address: instruction for instruction in instructions}
        addresses = [instruction.address for instruction in instructions]
        self._next = dict(pairwise(addresses))
        self._entry = addresses[0] if addresses else 0
        self._known, self._popped, self.constants = _registers(instructions, words)
        self._depth: dict[int, int] = {}
        self.deepest: dict[int, int] = {}
        self.edges: list[Edge] = []
        self.reads = 0
        self._written: set[int] = set()
        self._pointed: int | None = None

    def follow(self) -> None:
        """Walk from the entry, then from what only a table of branches leads to.

        How deep the stack is there is not known; it is taken to be as deep as anywhere before.
        """
        if self._at:
            self._walk(self._entry, 0)
        for address, instruction in self._at.items():
            if address not in self._depth and instruction.name != "nop":
                self._walk(address, max(self._depth.values()))

    def _walk(self, address: int, depth: int) -> None:
        work = [(address, depth)]
        while work:
            address, depth = work.pop()
            if self._depth.get(address, -1) >= depth:
                continue
            if depth > MAX_FRAME:
                raise FirmwareError(UNKNOWN_FRAME, where=self._name)
            self._depth[address] = depth
            work += self._step(self._at[address], depth)

    def _step(self, instruction: Instruction, depth: int) -> list[tuple[int, int]]:
        """Note what an instruction does; return where the control goes, with which depth."""
        after = depth + self._growth(instruction)
        self.deepest[instruction.address] = max(depth, after)
        self._note_arguments(instruction, depth)
        goes_on, targets = self._branch(instruction, depth)
        ways = [(target, max(after, 0)) for target in targets]
        following = self._next.get(instruction.address)
        if (goes_on or instruction.conditional) and following is not None:
            skipped = depth if instruction.conditional else 0
            ways.append((following, max(after, skipped, 0)))
        return ways

    def _note_arguments(self, instruction: Instruction, depth: int) -> None:
        """Note the words next to the stack pointer that an instruction reads or writes.

        Arguments for another function are the first words; those of this one are above its frame.
        """
        name, operands = instruction.name, instruction.operands
        match = re.match(r"^\[sp(?:, #(\d+))?\]$", operands[-1]) if operands else None
        if match:
            offset = int(match[1] or 0)
            size = 8 if name.endswith("d") else 4
            if name.startswith("str"):
                self._written |= set(range(offset, offset + size, 4))
            elif offset >= depth:
                self.reads = max(self.reads, offset - depth + size)
        elif "sp" in operands[1:] and operands[0] != "sp":  # from here on, it may write anything
            number = re.match(r"^#(\d+)$", operands[-1])
            offset = int(number[1]) if number and name.startswith("add") else 0
            self._pointed = offset if self._pointed is None else min(self._pointed, offset)

    def passes(self) -> int:
        """Return the bytes of arguments that it can have put on the stack for another function."""
        size = 0
        while size in self._written:
            size += 4
        return size if self._pointed is None or size < self._pointed else MAX_FRAME

    def _branch(self, instruction: Instruction, depth: int) -> tuple[bool, list[int]]:
        """Return whether the next instruction follows, and the branches inside the function."""
        name, target = instruction.name, instruction.target
        register = instruction.operands[0] if instruction.operands else ""
        if name in COMPARE_AND_BRANCH and target is not None:
            return True, [target]
        if name in ("b", "bl") and target is not None:
            if target in self._at and (name == "b" or target != self._entry):
                return name == "bl", [target]  # bl: Armv6-M's jump to a far place
            self.edges.append(Edge("call" if name == "bl" else "jump", depth, target))
            return name == "bl" and TABLE_CALL not in instruction.operands[-1], []
        if name == "blx":
            self.edges.append(Edge("pointer", depth, 0))
            return True, []
        if name in TABLES or (register == "pc" and "[pc" in instruction.operands[-1]):
            if instruction.address in self._known:  # a way to far code: its address is a constant
                self.edges.append(Edge("jump", depth, self._known[instruction.address] & ~1))
            return False, []
        return self._leaves(instruction, depth)

    def _leaves(self, instruction: Instruction, depth: int) -> tuple[bool, list[int]]:
        """Return the same for what can only return, or jump to where a register says."""
        name, operands = instruction.name, instruction.operands
        if name == "udf":
            return False, []
        if name in ("pop", "ldm", "ldmia", "ldmfd") and "pc" in operands[-1]:
            return False, []
        source = operands[0] if name == "bx" else operands[-1] if operands[:1] == ("pc",) else None
        if source is None:
            return True, []
        returns = source == "lr" or "sp" in source or source.startswith("#")
        if not returns and source not in self._popped.get(instruction.address, ()):
            self.edges.append(Edge("pointer", depth, 0))
        return False, []

    def _growth(self, instruction: Instruction) -> int:
        """Return the bytes by which an instruction makes the stack deeper.

        Raises:
            FirmwareError: nobody knows before it runs.
        """
        name, operands = instruction.name, instruction.operands
        text = ", ".join(operands)
        if name in ("push", "pop", "vpush", "vpop"):
            bytes_each = 8 if "d" in text and name[0] == "v" else 4
            count = _count(text) * bytes_each
            return count if name.endswith("push") else -count
        if operands[:1] == ("sp!",):
            count = 4 * _count(operands[1])
            return count if name.startswith("st") else -count
        moved = re.search(r"\[sp(?:, #(-?\d+)\]!|\], #(-?\d+))", text)
        if moved:
            return -int(moved[1] or moved[2])
        if operands[:1] != ("sp",) or name.startswith(SOURCES_FIRST):
            if name == "msr" and operands[0].upper() in ("MSP", "PSP"):
                raise FirmwareError(UNKNOWN_FRAME, where=self._name)
            return 0
        if name in ("add", "addw", "sub", "subw") and operands[1:-1] in ((), ("sp",)):
            amount = self._amount(instruction)
            return -amount if name.startswith("add") else amount
        raise FirmwareError(UNKNOWN_FRAME, where=self._name)

    def _amount(self, instruction: Instruction) -> int:
        """Return by how many bytes an instruction adds to the stack pointer, or subtracts."""
        source = instruction.operands[-1]
        if source.startswith("#"):
            return int(source[1:], 0)
        if instruction.address not in self._known:
            raise FirmwareError(UNKNOWN_FRAME, where=self._name)
        value = self._known[instruction.address]
        return value - (1 << 32) if value >= 1 << 31 else value


def _count(registers: str) -> int:
    """Return the number of registers of a list.

    >>> _count("{r4, r5, r6, lr}"), _count("{r4-r11, lr}"), _count("{d8-d15}")
    (4, 9, 8)
    """
    count = 0
    for part in registers.strip("{}").split(","):
        first, _, last = part.strip().partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return count


def _registers(
    instructions: Sequence[Instruction], words: Mapping[int, int]
) -> tuple[dict[int, int], dict[int, frozenset[str]], set[int]]:
    """Follow constants in registers, in the order of addresses.

    Returns:
        The value of the last operand of each instruction, where a constant is in that register;
        the registers that hold what was popped, where an instruction branches to a register; and
        all constants.
    """
    values: dict[str, int] = {}
    popped: set[str] = set()
    known: dict[int, int] = {}
    restored, constants = {}, set()
    for instruction in instructions:
        name, operands = instruction.name, instruction.operands
        source = operands[-1] if operands else ""
        if instruction.literal is not None and source.startswith("[pc") and name == "ldr":
            value = words.get(instruction.literal)
        else:
            value = _computed(instruction, values)
            if source in values:
                known[instruction.address] = values[source]
        if name == "bx":
            restored[instruction.address] = frozenset(popped)
        if name == "pop":
            popped |= {register.strip() for register in source.strip("{}").split(",")}
        elif operands and not name.startswith(SOURCES_FIRST):
            values.pop(operands[0], None)
            popped.discard(operands[0])
            if value is not None:
                values[operands[0]] = value
                if operands[0] == "pc":
                    known[instruction.address] = value
                elif name in ("ldr", "movt"):
                    constants.add(value)
    return known, restored, constants


def _computed(instruction: Instruction, values: Mapping[str, int]) -> int | None:
    """Return the constant that an instruction puts into its first operand, if it does."""
    name, operands = instruction.name, instruction.operands
    source = operands[-1] if operands else ""
    number = int(source[1:], 0) if re.match(r"^#-?\w+$", source) else None
    if name in ("mov", "movs", "movw") and number is not None:
        return number & 0xFFFFFFFF
    before = (
        values.get(operands[0])
        if name == "movt"
        else values.get(operands[1])
        if len(operands) > 1
        else None
    )
    if before is None:
        return None
    if name == "movt" and number is not None:
        return (before & 0xFFFF) | number << 16
    if name in ("lsls", "lsl") and number is not None:
        return (before << number) & 0xFFFFFFFF
    if name in ("negs", "rsbs"):
        return -before & 0xFFFFFFFF
    return None
