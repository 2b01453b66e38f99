"""The model of time against figures by hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import pytest

from mcuformer.device import Device
from mcuformer.run.presets import load
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.builder import build_graph
from oplib.ops.attention_block import AttentionBlockAttributes
from oplib.ops.mlp_block import MlpAttributes
from oplib.ops.work import UNITS, Work
from oplib.plan import time_model
from oplib.plan.passes.stream_tokens import Variant, stream_tokens
from oplib.plan.schedule import schedule
from oplib.plan.time_model import (
    DEFAULT_TIMING,
    TimeModel,
    flash_bytes_read,
    node_work,
    work_of,
)

UNKNOWN = TimeModel("cortex-m7", 216_000_000, None, cached=True)
M4 = TimeModel("cortex-m4", 100_000_000, 0.5, cached=False)


def cost(graph) -> float:
    return DEFAULT_TIMING.cost_of(work_of(graph, graph.nodes))


def test_time_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 M products of 1 and 10,000 scores of 100 cycles are 30 ms at 100 MHz.

    2 M bytes that are waited for half a cycle each are 10 ms; without a cache, 4 M are 20 ms.
    """
    each = tuple({"products": 1.0, "scores": 100.0}.get(name, 0.0) for name in UNITS)
    monkeypatch.setitem(time_model.CYCLES, "cortex-m4", each)
    work = Work(products=2e6, scores=10_000, bytes_read=2_000_000, bytes_reread=2_000_000)
    time = TimeModel("cortex-m4", 100_000_000, 0.5, cached=True).time(work)
    assert time is not None
    assert time.dump() == {
        "cycles_modelled": 3_000_000,
        "ms_cpu": 30.0,
        "ms_memory": 10.0,
        "ms_low": 30.0,
        "ms_high": 40.0,
    }
    uncached = M4.time(work)
    assert uncached is not None
    assert (uncached.ms_memory, uncached.ms_high) == (20.0, 50.0)
    assert M4.cost_of(work) == 5e6


def test_a_measured_scale_corrects_the_core_alone(stm32f746: Device) -> None:
    work = Work(products=1e6, bytes_read=320_000, bytes_reread=320_000)
    plain = TimeModel.of(stm32f746).time(work)
    corrected = Device.parse(stm32f746.dump() | {"cpi_scale": 1.5})
    time = TimeModel.of(corrected).time(work)
    assert plain is not None
    assert time is not None
    assert time.ms_cpu == pytest.approx(1.5 * plain.ms_cpu, abs=1e-4)
    assert time.ms_memory == plain.ms_memory
    assert "cpi_scale" not in stm32f746.content()
    assert corrected.content()["cpi_scale"] == 1.5  # results of before stay valid without it


def test_without_figures_only_the_core_ranks() -> None:
    assert UNKNOWN.time(Work(products=1000, bytes_read=10**6)) is None
    assert UNKNOWN.cost_of(Work(products=1000, bytes_read=10**6)) == UNKNOWN.cost_of(
        Work(products=1000)
    )


@pytest.mark.parametrize(
    ("name", "waits", "cached"),
    [
        ("stm32f100", 0.0, False),  # no wait states
        ("stm32f405", 5 / 16, False),  # 5 wait states for 128 bits
        ("stm32f746", 7 / 32, True),  # 7 for 256 bits
        ("stm32f746_qspi", 216 / 54, True),  # MHz by MB/s
        ("stm32h743", 8 / 32, True),
    ],
)
def test_figures_of_the_shipped_devices(name: str, waits: float, cached: bool) -> None:
    model = TimeModel.of(load("device", name, Device))
    assert model.waits_per_byte == pytest.approx(waits)
    assert model.cached == cached


@pytest.mark.parametrize(("core", "per_mac"), [("cortex-m7", 0.654), ("cortex-m4", 1.27)])
def test_cycles_of_a_large_network(core, per_mac: float, deit_tiny: SubnetConfig) -> None:
    """DeiT-Tiny took 0.820 G cycles with a prototype of the M7's order, by the same rules.

    The M4 executes 0.92 instructions per product, of 1.38 cycles each.
    """
    graph = build_graph(deit_tiny)
    model = TimeModel(core, 1, None, cached=True)
    cycles = model.cost_of(work_of(graph, graph.nodes))
    assert cycles / deit_tiny.macs == pytest.approx(per_mac, rel=0.05)


def test_more_heads_at_a_time_cost_less(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    costs = [cost(stream_tokens(graph, {0: Variant(group, mlp=True)})) for group in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]


def test_untiled_rows_cost_more(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    untiled = stream_tokens(graph, {0: Variant(0, mlp=False, tiled=False)})
    assert UNKNOWN.cost_of(work_of(untiled, untiled.nodes)) > UNKNOWN.cost_of(
        work_of(graph, graph.nodes)
    )
    # each of 49 tiles of four tokens reads a weight; one pass serves all pairs
    linears = 4 * 192 * 192 + 2 * 192 * 768  # q, k, v, proj, fc1 and fc2
    biases = 8 * (4 * 192 + 768 + 192)  # a bias and a multiplier per channel
    assert flash_bytes_read(graph) - flash_bytes_read(untiled) == (49 - 1) * (linears + biases)


def test_a_core_without_a_cache_loads_weights_for_every_tile(deit_tiny: SubnetConfig) -> None:
    """49 tiles of four tokens, whatever the panel; a norm's constants for every token."""
    calls = schedule(deit_tiny, arena_bytes=10**6).calls
    mlp = next(node for node in calls.nodes if isinstance(node.attrs, MlpAttributes))
    layers = 2 * 192 * 768 + 8 * (768 + 192) + 256  # with biases, multipliers and the table
    work = node_work(calls, mlp)
    assert mlp.attrs.panel > 4
    assert work.bytes_loaded == 49 * (layers - 256) + 256 + 196 * 192 * 8
    assert work.bytes_read < work.bytes_loaded


def test_a_convolution_multiplies_before_it_pools() -> None:
    """3 -> 64 -> 128 channels: 32 x 32 and 16 x 16 windows, of 28 and 576 inputs with padding."""
    block = {"num_heads": 1, "head_dim": 4, "mlp_ratio": 1.0}
    subnet = SubnetConfig.parse(
        {
            "img_size": 32,
            "patch_size": 4,
            "tokenizer": "conv2",
            "stem_dim": 64,
            "in_chans": 3,
            "num_classes": 10,
            "embed_dim": 128,
            "blocks": (block,),
        }
    )
    calls = schedule(subnet, arena_bytes=10**6).calls
    work = node_work(calls, calls.nodes[0])
    assert work.products == 32 * 32 * 28 * 64 + 16 * 16 * 576 * 128
    assert work.outputs == 32 * 32 * 64 + 16 * 16 * 128
    layers = 28 * 64 + 8 * 64 + 8, 576 * 128 + 8 * 128 + 64  # biases, multipliers, padding
    # a pass for each row; without a cache, for every four windows
    assert work.bytes_read == 32 * layers[0] + 16 * layers[1] + 64 * 128
    assert work.bytes_loaded == 32 * 8 * layers[0] + 16 * 4 * layers[1] + 64 * 128


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
