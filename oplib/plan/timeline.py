"""A schedule's memory timeline: live bytes at each call, the peak, and what would lower it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oplib.forms import Forms
from oplib.ops.registry import OPERATORS
from oplib.plan.arena import arena_tensors
from oplib.plan.schedule import Schedule


@dataclass(frozen=True)
class Moment:
    """The buffers that are live during one call.

    Args:
        call: name of the node.
        op: key of its operator.
        reads_image: whether the operator turns the image into tokens or feature maps.
        buffers: bytes of each tensor and each part of scratch in the arena; for a tensor that is
            being overwritten, only those that the output does not cover.
        fast: the same in the fast arena.
    """

    call: str
    op: str
    reads_image: bool
    buffers: Mapping[str, int]
    fast: Mapping[str, int]

    @property
    def arena_bytes(self) -> int:
        """Sum of the live bytes in the arena."""
        return sum(self.buffers.values())

    @property
    def fast_bytes(self) -> int:
        """Sum of the live bytes in the fast arena."""
        return sum(self.fast.values())


def timeline(scheduled: Schedule) -> list[Moment]:
    """Return the live buffers of each call of a schedule."""
    calls, plan = scheduled.calls, scheduled.plan
    names = arena_tensors(calls)
    last = {name: calls.last_use(name) for name in names}
    first = dict.fromkeys(names, 0) | {n.output: i for i, n in enumerate(calls.nodes)}
    moments = []
    for index, node in enumerate(calls.nodes):
        live = {
            name: calls.tensors[name].num_bytes
            for name in names
            if first[name] <= index <= last[name]
        }
        if node.overwrites is not None:
            source = node.inputs[node.overwrites]
            covered = max(0, live[node.output] - node.below)
            live[source] = max(0, live[source] - covered)
        operator = OPERATORS[node.op]
        parts = operator.scratch_parts(node, calls.inputs_of(node))
        scratch = {f"scratch: {part}": size for part, size in parts.items() if size}
        memories: tuple[dict[str, int], dict[str, int]] = ({}, {})  # the arena, the fast arena
        for name, size in live.items():
            if size:
                memories[name in plan.fast_tensors][name] = size
        memories[node.name in plan.fast_scratch].update(scratch)
        moments.append(Moment(node.name, node.op, operator.reads_image, *memories))
    return moments


def peak(scheduled: Schedule) -> Moment:
    """Return the call with the most live bytes in the arena."""
    return max(timeline(scheduled), key=lambda moment: moment.arena_bytes)


def explain(scheduled: Schedule, forms: Forms) -> str:
    """Return one line: the call that peaks, what is live then, and what would help."""
    moment = peak(scheduled)
    live = sorted(moment.buffers.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name} {size}" for name, size in live)
    advice = _advice(moment, forms)
    return (
        f"memory peaks at {moment.call} ({moment.op}): {parts} bytes"
        f"{'; ' + advice if advice else ''}"
    )


def _advice(moment: Moment, forms: Forms) -> str:
    """Return the settings that would lower this peak, as a phrase; empty if there are none."""
    settings = []
    if not forms.passes.stream_tokens:
        settings.append("forms.passes.stream_tokens=true")
    if not forms.passes.overwrite_tokens:
        settings.append("forms.passes.overwrite_tokens=true")
    if not forms.passes.integrate_operators:
        settings.append("forms.passes.integrate_operators=true")
    if "image" in moment.buffers and forms.passes.input == "image":
        settings.append("forms.passes.input=strip")
    if forms.residual == "int16" and not moment.reads_image:
        settings.append("forms.residual=int8")
    if not moment.reads_image:
        settings.append("fewer tokens (a larger patch_size)")
    return "what would help: " + ", ".join(settings) if settings else ""
