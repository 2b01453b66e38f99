"""The model of time ranks schedules; flash traffic is counted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import pytest

from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.ops.attention_block import AttentionBlockAttributes
from oplib.ops.mlp_block import MlpAttributes
from oplib.plan.instructions import flash_bytes_read, modelled_instructions, node_work
from oplib.plan.passes.stream_tokens import Variant, stream_tokens
from oplib.plan.schedule import schedule


def test_instructions_follow_the_products(deit_tiny: SubnetConfig) -> None:
    """Between 0.9 and 1.3 per multiply-accumulate, as the kernels were measured to need."""
    assert 0.9 < modelled_instructions(build_graph(deit_tiny)) / deit_tiny.macs < 1.3


def test_more_heads_at_a_time_cost_fewer_instructions(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    costs = [
        modelled_instructions(stream_tokens(graph, {0: Variant(group, mlp=True)}))
        for group in (1, 2, 3)
    ]
    assert costs[0] > costs[1] > costs[2]


def test_untiled_rows_cost_more(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    untiled = stream_tokens(graph, {0: Variant(0, mlp=False, tiled=False)})
    assert modelled_instructions(untiled) > modelled_instructions(graph)
    # each of 49 tiles of four tokens reads a weight; one pass serves all pairs
    linears = 4 * 192 * 192 + 2 * 192 * 768  # q, k, v, proj, fc1 and fc2
    biases = 8 * (4 * 192 + 768 + 192)  # a bias and a multiplier per channel
    assert flash_bytes_read(graph) - flash_bytes_read(untiled) == (49 - 1) * (linears + biases)


class Cache:
    """The lines that a 4 KB cache of 4 ways and 32-byte lines, least recently used, loads."""

    def __init__(self) -> None:
        self.sets: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(32)]
        self.misses = 0

    def read(self, start: int, size: int) -> None:
        for line in range(start // 32, (start + size - 1) // 32 + 1):
            ways = self.sets[line % 32]
            if line not in ways:
                self.misses += 1
                if len(ways) == 4:
                    ways.popitem(last=False)
            ways[line] = None
            ways.move_to_end(line)


WEIGHTS, NORM = 1 << 24, 4 * 192  # far apart; two int16 per channel


def layer(number: int, features: int, pairs: range, tiles: int) -> Iterator[tuple[int, int]]:
    """Yield the reads of a panel's product: each pair of channels over all tiles in turn."""
    start = number * WEIGHTS
    for pair in pairs:
        for _ in range(tiles):
            yield start + WEIGHTS // 2 + 16 * pair, 16  # biases and multipliers
            yield start + 2 * features * pair, 2 * features


def mlp_reads(panel: int) -> Iterator[tuple[int, int]]:
    for first in range(0, 196, panel):
        tiles = min(panel, 196 - first) // 4
        for _ in range(4 * tiles):
            yield 0, NORM
        yield from layer(1, 192, range(384), tiles)
        yield from layer(2, 768, range(96), tiles)


def attention_reads(read_panel: int, panel: int) -> Iterator[tuple[int, int]]:
    """One of three heads at a time: q, k, v and proj are layers 1 to 4."""
    for head in range(3):
        pairs = range(32 * head, 32 * head + 32)
        for first in range(0, 196, read_panel):
            tiles = min(read_panel, 196 - first) // 4
            for _ in range(4 * tiles):
                yield 0, NORM
            for number in (2, 3, 1) if head < 2 else (2, 3):
                yield from layer(number, 192, pairs, tiles)
    for first in range(0, 196, panel):
        tiles = min(panel, 196 - first) // 4
        for _ in range(4 * tiles):
            yield 0, NORM
        yield from layer(1, 192, range(64, 96), tiles)
        yield from layer(4, 192, range(96), tiles)


@pytest.mark.parametrize("limit", [92_208, 98_352])
def test_a_small_data_cache_leaves_the_bytes_counted(deit_tiny: SubnetConfig, limit: int) -> None:
    """DeiT-Tiny's blocks, by the order of the kernels' loops; activations are not cached."""
    calls = schedule(deit_tiny, Forms(passes=Passes(input="strip")), limit).calls
    for node in calls.nodes[1:3]:
        cache = Cache()
        match node.attrs:
            case MlpAttributes(panel=panel):
                reads = mlp_reads(panel)
            case AttentionBlockAttributes(group=1, read_panel=read_panel, panel=panel):
                reads = attention_reads(read_panel, panel)
        for start, size in reads:
            cache.read(start, size)
        counted = node_work(calls, node).bytes_read
        assert 32 * cache.misses == pytest.approx(counted, rel=0.05)
