"""Sequences whose cycles follow from the published rules by hand."""

from __future__ import annotations

import pytest


@pytest.fixture
def pipeline(root, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    return __import__("pipeline")


def cycles(pipeline, core: str, text: str) -> int:
    """Return the cycles of instructions, separated by semicolons."""
    run = [pipeline.parse(*line.strip().split(" ", 1)) for line in text.split(";")]
    return sum(pipeline.cycles(core, run))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add r0, r1, r2; add r3, r4, r5", 1),
        ("add r0, r1, r2; add r3, r0, r5", 2),  # needs the first's result
        ("cmp r0, r1; bne 100", 1),  # a branch tests flags of its own cycle
        ("smlad r0, r4, r5, r0; smlad r1, r4, r5, r1", 2),  # one multiply per cycle
        ("smlad r0, r4, r5, r0; smlad r0, r4, r5, r0", 2),  # the accumulator is there at once
        ("ldr r4, [r7, #0]; smlad r0, r4, r5, r0", 3),  # a factor is not
        ("ldr r4, [r7, #0]; add r0, r4, r5", 2),
        ("smlad r0, r4, r5, r0; ldr r6, [r7, #4]", 1),
        ("sxtb16 r4, r5; smlad r0, r1, r2, r0", 1),
        ("smlad r0, r1, r2, r0; sxtb16 r4, r5", 2),  # bit fields are the first of two
        ("ldr r0, [r7, #0]; ldr r1, [r7, #4]", 1),
        ("ldr r0, [r7, #0]; ldr r1, [r7, #8]", 2),  # both even
        ("ldr r0, [r7, #0]; ldr r1, [r6, #4]", 2),
        ("str r3, [r7, #0]; smlad r0, r4, r5, r0", 2),
        ("add r0, r1, r2; ldrd r3, r4, [r7, #0]; add r5, r1, r2", 3),  # alone
        ("ldmia r0!, {r1, r2, r3}; add r5, r6, r7", 3),
    ],
)
def test_m7(pipeline, text: str, expected: int) -> None:
    assert cycles(pipeline, "m7", text) == expected


# 16 products: 8 multiplies, the odd bytes, and everything else beside them
INTERLEAVED = (
    "sxtb16 r9, r9; smlad r1, r10, r11, r1; smlad r3, r10, r12, r3; smlad r0, r9, r11, r0;"
    "ldr r11, [r14, #8]; smlad r2, r9, r12, r2; ldr r12, [r14, #12]; smlad r4, r9, r11, r4;"
    "smlad r6, r9, r12, r6; ldr r9, [r8, #4]; smlad r5, r10, r11, r5; ldr r11, [r14, #16];"
    "smlad r7, r10, r12, r7; ldr r12, [r14, #20]; sxtb16 r10, r9, ror #8"
)


def test_a_step_of_the_micro_kernel(pipeline) -> None:
    assert cycles(pipeline, "m7", f"{INTERLEAVED}; {INTERLEAVED}") == 2 * 9


@pytest.mark.parametrize(
    ("text", "m4", "m3"),
    [
        ("add r0, r1, r2; ldr r3, [r7, #0]; ldr r4, [r7, #4]; str r5, [r7, #8]", 5, 5),
        ("ldr r3, [r7, #0]; add r0, r1, r2; ldr r4, [r7, #4]", 5, 5),
        ("ldrd r3, r4, [r7, #0]; ldr r5, [r7, #8]", 5, 5),
        ("push {r4, r5, r6, lr}", 5, 5),
        ("mla r0, r1, r2, r0; mul r3, r1, r2", 2, 3),
        ("smull r0, r1, r2, r3", 1, 4),
        ("subs r0, r0, #1; bne 100", 4, 4),
    ],
)
def test_m4_and_m3(pipeline, text: str, m4: int, m3: int) -> None:
    assert cycles(pipeline, "m4", text) == m4
    assert cycles(pipeline, "m3", text) == m3


def test_m0plus(pipeline) -> None:
    text = "ldr r0, [r1, #0]; muls r0, r2, r0; str r0, [r1, #4]; push {r4, r5, r6}; b 100"
    assert cycles(pipeline, "m0plus", text) == 2 + 1 + 2 + 4 + 2


def test_a_condition_needs_the_flags(pipeline) -> None:
    compare = pipeline.parse("cmp", "r0, r1")
    move = pipeline.parse("mov", "r2, #1", conditional=True)
    assert sum(pipeline.cycles("m7", [compare, move])) == 2
