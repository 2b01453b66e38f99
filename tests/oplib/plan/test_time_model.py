"""The model of time against figures by hand."""

from __future__ import annotations

import pytest

from mcuformer.device import Device
from mcuformer.run.presets import load
from mcuformer.subnet import SubnetConfig
from oplib.network.builder import build_graph
from oplib.ops.work import UNITS, Work
from oplib.plan import time_model
from oplib.plan.passes.stream_tokens import Variant, stream_tokens
from oplib.plan.time_model import M7, TimeModel, flash_bytes_read, work_of

M4 = TimeModel("cortex-m4", 100_000_000, 0.5, cached=False)


def cost(graph) -> float:
    return M7.cost_of(work_of(graph, graph.nodes))


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


def test_without_figures_only_the_core_ranks() -> None:
    assert M7.time(Work(products=1000, bytes_read=10**6)) is None
    assert M7.cost_of(Work(products=1000, bytes_read=10**6)) == M7.cost_of(Work(products=1000))


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


@pytest.mark.parametrize(("core", "per_mac"), [("cortex-m7", 0.95), ("cortex-m4", 1.38)])
def test_cycles_of_a_large_network(core, per_mac: float, deit_tiny: SubnetConfig) -> None:
    """DeiT-Tiny executes 0.92 instructions per product, at 0.95 and 1.38 cycles, within 5 %."""
    graph = build_graph(deit_tiny)
    model = TimeModel(core, 1, None, cached=True)
    cycles = model.cost_of(work_of(graph, graph.nodes))
    assert cycles / deit_tiny.macs == pytest.approx(0.92 * per_mac, rel=0.05)


def test_more_heads_at_a_time_cost_less(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    costs = [cost(stream_tokens(graph, {0: Variant(group, mlp=True)})) for group in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]


def test_untiled_rows_cost_more(deit_tiny: SubnetConfig) -> None:
    graph = build_graph(deit_tiny)
    untiled = stream_tokens(graph, {0: Variant(0, mlp=False, tiled=False)})
    assert cost(untiled) > cost(graph)
    # each of 49 tiles of four tokens reads a weight, or each of 98 pairs
    linears = 4 * 192 * 192 + 2 * 192 * 768  # q, k, v, proj, fc1 and fc2
    biases = 8 * (4 * 192 + 768 + 192)  # a bias and a multiplier per channel
    assert flash_bytes_read(untiled) - flash_bytes_read(graph) == (98 - 49) * (linears + biases)


def test_a_norms_constants_are_read_once_per_tile(deit_tiny: SubnetConfig) -> None:
    """192 channels with two int32 each; three of four tokens read them again."""
    graph = build_graph(deit_tiny)
    norm = next(node for node in graph.nodes if node.op == "layer_norm")
    work = work_of(graph, [norm])
    assert (work.bytes_read, work.bytes_reread) == (49 * 192 * 8, 147 * 192 * 8)
