"""A convolutional tokenizer as one call."""

from __future__ import annotations

import pytest

from mcuformer.subnet import SubnetConfig
from oplib.network.builder import build_graph
from oplib.plan.passes.stream_tokenizer import stream_tokenizer

CONVOLUTIONS = {
    "conv1": {"tokenizer": "conv1", "patch_size": 4},
    "conv2": {"tokenizer": "conv2", "patch_size": 4, "stem_dim": 8},
}


@pytest.mark.parametrize("tokenizer", CONVOLUTIONS)
def test_a_tokenizer_becomes_one_call(small_subnet: SubnetConfig, tokenizer: str) -> None:
    graph = build_graph(SubnetConfig.parse(small_subnet.dump() | CONVOLUTIONS[tokenizer]))
    calls = stream_tokenizer(graph)
    count = int(tokenizer[-1]) + 1
    roles = ("conv0", "conv1")
    first = calls.nodes[0]
    assert first.leaves == graph.nodes[:count]
    assert list(first.parts) == [*roles[: count - 1], "embed"]
    assert (first.inputs, first.output) == (("image",), "tokens")
    assert calls.nodes[1:] == graph.nodes[count:]


def test_a_patch_embedding_stays(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    assert stream_tokenizer(graph) == graph
