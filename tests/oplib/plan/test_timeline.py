"""Live buffers of each call, the peak, and suggestions to lower it."""

from __future__ import annotations

from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.plan.arena import FastRoom, plan_memory
from oplib.plan.passes.overwrite_tokens import overwrite_tokens
from oplib.plan.schedule import Schedule, schedule
from oplib.plan.timeline import explain, peak, timeline

NO_STREAM = Forms(passes=Passes(stream_tokens=False))


def test_a_moment_by_hand(deit_tiny: SubnetConfig) -> None:
    """Layer by layer: the stream, the hidden features, and a tile of four rows in int16."""
    graph = overwrite_tokens(build_graph(deit_tiny))
    tensors, panel = 196 * 192 + 196 * 768, 4 * 192 * 2
    stream = 196 * 192
    for fast, expected in (
        (FastRoom(0), (tensors + panel, 0)),
        (FastRoom(panel), (tensors, panel)),
        (FastRoom(stream, stream=True), (tensors + panel - stream, stream)),
        (FastRoom(stream + panel, stream=True), (tensors - stream, stream + panel)),
    ):
        moments = timeline(Schedule(graph, graph, plan_memory(graph, fast), deit_tiny.key))
        assert [moment.call for moment in moments] == [node.name for node in graph.nodes]
        fc1 = next(moment for moment in moments if moment.call == "blocks.0.mlp.fc1")
        assert (fc1.arena_bytes, fc1.fast_bytes) == expected


def test_what_peaks_and_what_would_help(paper_subnet: SubnetConfig) -> None:
    found = schedule(paper_subnet, NO_STREAM)
    text = explain(found, NO_STREAM)
    assert peak(found).arena_bytes <= found.plan.arena_bytes
    assert "memory peaks at " in text
    assert "forms.passes.stream_tokens=true" in text
    text = explain(schedule(paper_subnet), Forms())
    # the image, 240 x 240 x 3, but for what the tokens cover: 144 x 216 less 1992 below it
    assert f"image {240 * 240 * 3 - (144 * 216 - 1992)}" in text
    assert "forms.passes.input=strip" in text
    assert "forms.passes.stream_tokens=true" not in text
