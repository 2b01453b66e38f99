"""Cycles of instruction sequences on Cortex-M7, M4, M3 and M0+, by published pipeline rules.

A model, not a measurement; memory answers without wait states. Sources: the scheduling model of the
Cortex-M7 in LLVM (``ARMScheduleM7.td``); pairs measured on an STM32H730 (quinapalus.com, "Cortex-M7
instruction cycle counts, timings, and dual-issue combinations"); the Technical Reference Manuals of
Cortex-M4, M3 and M0+.

Cortex-M7: in order, two instructions per cycle, the second of which does not need the first's
result; only a branch may test flags of its own cycle. One multiply per cycle: its accumulator may
come from the multiply of the cycle before, its factors not from a load or multiply of the cycle
before. One DSP or bit-field instruction per cycle, as the first of two. Two loads in one cycle if
they take an even and an odd word from one base. One store per cycle, not beside a multiply or a
load. Loads and stores of n registers issue alone and take ceil(n / 2) cycles. A taken branch ends
the cycle.

Cortex-M4 and M3: one instruction after the other, in one cycle; a load or store of one register
takes 2, directly after another one 1; of n registers 1 + n; a taken branch 3. On the M3 a
multiply-accumulate takes 2 and a product of 64 bits 4.

Cortex-M0+, with the multiplier of one cycle: a load or store takes 2, of n registers 1 + n, a taken
branch 2, everything else 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

CONDITION = "(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)"
KINDS = {
    "branch": f"b{CONDITION}?|bl|bx|blx|cbn?z|tb[bh]",
    "load": "ldrs?[bh]?",
    "store": "str[bh]?",
    "many": "ldrd|strd|(?:ld|st)m(?:ia|db)?|push|pop",
    "long": "[us]m(?:ul|la)l|umaal",
    "accumulate": "ml[as]|sml[as](?:dx?|[bt][bt]|w[bt])|smml[as]r?",
    "multiply": "muls?|smu(?:adx?|sd|l[bt][bt]|lw[bt])|smmulr?",
    "divide": "[us]div",
    "dsp": "[us]xta?[bh](?:16)?|[us]sat(?:16)?|pkh(?:bt|tb)|[us]bfx|bf[ic]|[us]q?(?:add|sub)8|sel"
    "|clz|rev(?:16)?|rbit",
    "compare": "cmp|cmn|tst|teq",
    "move": "movs?|movw|mvns?|it[te]*|nop",
}
PATTERNS = {kind: re.compile(text) for kind, text in KINDS.items()}
REGISTER = re.compile(r"\b(?:r\d+|sl|fp|ip|sp|lr|pc)\b")
OFFSET = re.compile(r"\[\w+(?:, #(-?\d+))?\]$")
FLAGS = "flags"
MULTIPLIES = ("long", "accumulate", "multiply")
DIVIDE_CYCLES = 8  # 2 to 12 on M4 and M3, at most 20 on M7, by the length of the quotient


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Args:
        kind: a key of KINDS, or "other".
        reads: registers that it reads, FLAGS among them.
        writes: registers that it writes.
        accumulator: the register to which a multiply adds, or empty.
        base: the register of a single load's address, or empty.
        word: index of the word that a single load takes from its base.
        count: registers that it loads or stores.
    """

    kind: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    accumulator: str = ""
    base: str = ""
    word: int = 0
    count: int = 1

    @property
    def ends_block(self) -> bool:
        """Whether control may go elsewhere after it."""
        return self.kind == "branch" or "pc" in self.writes


def parse(mnemonic: str, operands: str = "", conditional: bool = False) -> Instruction:
    """Return an instruction from its text, as objdump prints it.

    Args:
        mnemonic: name, without a width such as ``.w`` and, in an IT block, without the condition.
        operands: operands without comments.
        conditional: whether it is in an IT block.
    """
    kind = next((kind for kind, text in PATTERNS.items() if text.fullmatch(mnemonic)), "other")
    found = REGISTER.findall(operands)
    reads, writes = _effects(kind, mnemonic, operands, found)
    if conditional or re.fullmatch(f"b{CONDITION}|adcs?|sbcs?", mnemonic):
        reads = [*reads, FLAGS]
    if kind == "compare" or (mnemonic.endswith("s") and kind in ("move", "multiply", "other")):
        writes = [*writes, FLAGS]
    offset = OFFSET.search(operands) if kind == "load" else None
    return Instruction(
        kind,
        frozenset(reads),
        frozenset(writes),
        accumulator=found[3] if kind == "accumulate" else "",
        base="" if offset is None else found[1],
        word=0 if offset is None else int(offset[1] or 0) // 4,
        count=_transferred(mnemonic, found) if kind == "many" else 1,
    )


def _transferred(mnemonic: str, found: Sequence[str]) -> int:
    """Return how many registers an instruction of kind "many" loads or stores."""
    if mnemonic in ("ldrd", "strd"):
        return 2
    return len(found) - (mnemonic not in ("push", "pop"))


def _effects(
    kind: str, mnemonic: str, operands: str, found: list[str]
) -> tuple[list[str], list[str]]:
    """Return the registers that an instruction reads and writes, without flags."""
    changes_base = "!" in operands or "]," in operands
    if kind == "many" and mnemonic not in ("ldrd", "strd"):
        base, listed = ("sp", found) if mnemonic in ("push", "pop") else (found[0], found[1:])
        changes = [base] if changes_base or mnemonic in ("push", "pop") else []
        loads = mnemonic.startswith(("ldm", "pop"))
        return ([base], [*listed, *changes]) if loads else ([base, *listed], changes)
    if kind in ("load", "store", "many"):
        count = 2 if kind == "many" else 1
        changes = found[count : count + 1] if changes_base else []
        if mnemonic.startswith("ldr"):
            return found[count:], [*found[:count], *changes]
        return found, changes
    if kind in ("branch", "compare"):
        return found, ["lr"] if mnemonic in ("bl", "blx") else []
    if kind == "long":
        adds = "la" in mnemonic or "maal" in mnemonic
        return found if adds else found[2:], found[:2]
    keeps = (len(found) == 1 and "," in operands) or operands.count(",") == 1 or mnemonic[0] == "b"
    if kind in ("move", "dsp") and mnemonic not in ("movt", "bfi", "bfc"):
        keeps = False
    return found if keeps else found[1:], found[:1]


def cycles(core: str, run: Sequence[Instruction]) -> list[int]:
    """Return the cycles that each instruction of a run adds; the run ends with a taken branch.

    Args:
        core: "m7", "m4", "m3" or "m0plus".
        run: instructions in order of execution, without a taken branch before the last.

    Raises:
        KeyError: `core` is none of these.
    """
    return CORES[core](run)


def _cycles_m4(run: Sequence[Instruction], multiply: int = 1, product: int = 1) -> list[int]:
    """Cycles on the M4, or with the multiply-accumulates and 64-bit products of another core."""
    costs, before = [], ""
    for index, instruction in enumerate(run):
        kind = instruction.kind
        if instruction.ends_block and index == len(run) - 1:
            cost = 3 + (instruction.count if kind == "many" else 0)
        elif kind in ("load", "store"):
            cost = 1 if before in ("load", "store") else 2
        else:
            cost = {
                "many": 1 + instruction.count,
                "accumulate": multiply,
                "long": product,
                "divide": DIVIDE_CYCLES,
            }.get(kind, 1)
        costs.append(cost)
        before = kind
    return costs


def _cycles_m3(run: Sequence[Instruction]) -> list[int]:
    return _cycles_m4(run, multiply=2, product=4)


def _cycles_m0plus(run: Sequence[Instruction]) -> list[int]:
    costs = []
    for index, instruction in enumerate(run):
        branch = instruction.ends_block and index == len(run) - 1
        many = instruction.count if instruction.kind == "many" else 0
        single = instruction.kind in ("load", "store")
        costs.append(1 + many + (branch or single))
    return costs


@dataclass(frozen=True)
class _Ready:
    """The first cycles in which a register may be read: as an accumulator, a factor, otherwise."""

    accumulator: int = 0
    factor: int = 0
    other: int = 0


def _operands(instruction: Instruction) -> frozenset[str]:
    """Return what must be there before an instruction; a branch tests flags of its own cycle."""
    is_branch = instruction.kind == "branch"
    return instruction.reads - {FLAGS} if is_branch else instruction.reads


def _earliest(instruction: Instruction, ready: dict[str, _Ready]) -> int:
    """Return the first cycle in which all that an instruction reads is there."""
    first = 0
    for name in _operands(instruction):
        when = ready.get(name, _Ready())
        if name == instruction.accumulator:
            first = max(first, when.accumulator)
        else:
            first = max(first, when.factor if instruction.kind in MULTIPLIES else when.other)
    return first


def _result(instruction: Instruction, end: int) -> _Ready:
    """Return when the results of an instruction can be read that ends before cycle `end`."""
    if instruction.kind in MULTIPLIES:
        return _Ready(end, end + 1, end + 1)
    if instruction.kind in ("load", "many"):
        return _Ready(end, end + 1, end)
    return _Ready(end, end, end)


def _pairs(older: Instruction, younger: Instruction) -> bool:
    """Return whether two neighbours may issue in one cycle."""
    if (older.ends_block and younger.ends_block) or "many" in (older.kind, younger.kind):
        return False
    if older.writes & _operands(younger) or older.writes & younger.writes - {FLAGS}:
        return False
    kinds = {older.kind, younger.kind}
    if kinds == {"load"}:
        even_and_odd = (older.word + younger.word) % 2 == 1
        return bool(older.base) and older.base == younger.base and even_and_odd
    memory = older.kind in ("load", "store") and younger.kind in ("load", "store")
    both_multiply = older.kind in MULTIPLIES and younger.kind in MULTIPLIES
    store_and_multiply = "store" in kinds and not kinds.isdisjoint(MULTIPLIES)
    return not (memory or both_multiply or store_and_multiply or younger.kind == "dsp")


def _cycles_m7(run: Sequence[Instruction]) -> list[int]:
    """Issue in order; `older` is the instruction that is so far alone in the present cycle."""
    costs, now, older = [], 0, None
    ready: dict[str, _Ready] = {}
    for instruction in run:
        before, first = now, _earliest(instruction, ready)
        if older is not None and first <= now and _pairs(older, instruction):
            older = None
        else:
            now, older = max(now + 1, first), instruction
        if instruction.kind == "many":
            now += (instruction.count + 1) // 2 - 1
        elif instruction.kind == "divide":
            now += DIVIDE_CYCLES - 1
        for name in instruction.writes:
            ready[name] = _result(instruction, now + 1)
        costs.append(now - before)
    return costs


CORES = {"m7": _cycles_m7, "m4": _cycles_m4, "m3": _cycles_m3, "m0plus": _cycles_m0plus}
