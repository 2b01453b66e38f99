"""The report of a run as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcuformer.subnet import LINEARS, BlockConfig, SubnetConfig
from oplib.target.board_record import BoardRecord

NOT_VERIFIED = "not verified"


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Build a table of text, with the first column aligned left and the others right.

    Cells are text, not markup: class names may hold brackets.
    """
    result = Table(title=Text(title), title_justify="left")
    for index, name in enumerate(header):
        result.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*(Text(cell) for cell in row))
    return result


def print_table(result: Table) -> None:
    """Print a table to standard output."""
    console = Console()
    console.print(result)


def show_report(report: Mapping[str, Any], board: BoardRecord | None = None) -> None:
    """Print a run's ``report.json`` as tables.

    Args:
        report: content of the file.
        board: what a board measured of the exported network; None if none did.
    """
    accuracy, exact = report["accuracy_percent"], report["bit_exact"]
    count = report["num_images"]
    rows = [
        ("inherited weights", _percent(accuracy["inherited"]), ""),
        ("float", _percent(accuracy["float"]), ""),
        ("int8, numpy reference", _percent(accuracy["int8"]), f"{count['int8']} test images"),
        ("int8, host C", _percent(accuracy["host"]), _exact(exact["host"], count["host"])),
        (
            "int8, emulated",
            _percent(accuracy["emulated"]),
            _exact(exact["emulated"], count["emulated"]),
        ),
    ]
    print_table(table(f"{report['data']} on {report['device']}", ("network", "accuracy", ""), rows))
    sram, flash = report["sram_bytes"], report["flash_bytes"]
    rows = [
        ("SRAM: arena, planned", _count(sram["arena_planned"]), ""),
        ("SRAM: arena, linked", _count(sram["arena_linked"]), ""),
        *_fast_arena_rows(sram),
        *_staged_rows(sram),
        ("SRAM: static data", _count(sram["static"]), ""),
        ("SRAM: stack, measured", _count(sram["stack_high_water"]), ""),
        ("SRAM: stack, at most", _count(sram.get("stack_bound")), ""),
        ("SRAM: total", _count(sram["total"]), f"of {sram['budget']:,}"),
        ("flash: weights", _count(flash["weights"]), ""),
        ("flash: code", _count(flash["code"]), ""),
        ("flash: total", _count(flash["total"]), f"of {flash['budget']:,}"),
        ("multiply-accumulates", _count(report["macs"]), ""),
        ("instructions per image", _count(report["instructions"]), ""),
        *_time_rows(report["time"], report["limit_ms"]),
        *board_rows(board),
    ]
    print_table(table("memory (bytes) and work", ("", "", "budget"), rows))
    print(describe_network(SubnetConfig.parse(report["subnet"])))
    admission = report["admission"]
    print(
        f"admission: of {admission['sampled']} subnets sampled over the whole space, "
        f"{admission['sram']} exceed SRAM alone, {admission['flash']} flash alone, "
        f"{admission['both']} both, {admission['time']} the time alone; "
        f"{admission['admitted']} fit"
    )
    seconds = report["seconds"]
    parts = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    print(f"seconds: {parts}; together {sum(seconds.values()):.0f}")
    for line in report["not_verified"]:
        print(f"not verified: {line}")


def describe_network(subnet: SubnetConfig) -> str:
    """Return a subnet in one line: tokens, width, and per block heads, MLP and activation.

    >>> block = {"num_heads": 2, "head_dim": 16, "mlp_ratio": 1.5, "activation": "relu"}
    >>> sizes = {"img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10}
    >>> describe_network(SubnetConfig.parse({**sizes, "embed_dim": 48, "blocks": [block]}))
    'network: 4 tokens, width 48, blocks (heads x width, MLP ratio): 2 x 16, 1.5 relu'
    """
    blocks = "; ".join(
        f"{block.num_heads} x {block.head_dim}, {block.mlp_ratio:g} {block.activation}"
        f"{_describe_ranks(block)}"
        for block in subnet.blocks
    )
    size = f"{subnet.num_tokens} tokens, width {subnet.embed_dim}"
    return f"network: {size}, blocks (heads x width, MLP ratio): {blocks}"


def _describe_ranks(block: BlockConfig) -> str:
    """Return the ranks that are a block's own, or nothing.

    >>> block = {"num_heads": 1, "head_dim": 8, "mlp_ratio": 1.0, "ranks": {"qkv": 17, "fc1": 15}}
    >>> _describe_ranks(BlockConfig.parse(block))
    ', ranks qkv 17, fc1 15'
    """
    if block.ranks is None:
        return ""
    ranks = {name: block.ranks.of(name) for name in LINEARS}
    own = ", ".join(f"{name} {rank}" for name, rank in ranks.items() if rank is not None)
    return f", ranks {own}"


def _percent(value: float | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:.2f} %"


def _count(value: int | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:,}"


def _fast_arena_rows(sram: Mapping[str, int | None]) -> list[tuple[str, str, str]]:
    """Return the rows of the fast arena; none where there is none."""
    if not sram["fast_arena_planned"]:
        return []
    return [
        ("SRAM: fast arena, planned", _count(sram["fast_arena_planned"]), ""),
        ("SRAM: fast arena, linked", _count(sram["fast_arena_linked"]), ""),
    ]


def _staged_rows(sram: Mapping[str, int | None]) -> list[tuple[str, str, str]]:
    """Return the row of staged weights, which only the budget counts; none without them."""
    staged = sram.get("staged_planned")  # reports of before lack it
    return [("SRAM: staged weights, not built", _count(staged), "")] if staged else []


def _time_rows(time: Mapping[str, float] | None, limit: float | None) -> list[tuple[str, str, str]]:
    """Return the modelled time as rows of the table: the interval, then both of its terms."""
    if time is None:
        return [("milliseconds", "not modelled", "")]
    interval = f"{time['ms_low']:,.1f} to {time['ms_high']:,.1f}"
    return [
        ("milliseconds, modelled", interval, "" if limit is None else f"of {limit:,.1f}"),
        ("- of the core", f"{time['ms_cpu']:,.1f}", ""),
        ("- of the weights' memory", f"{time['ms_memory']:,.1f}", ""),
    ]


def board_rows(board: BoardRecord | None) -> list[tuple[str, str, str]]:
    """Return the row of a board's time, and of its stack; none where none was measured."""
    if board is None:
        return []
    kind = "emulated board" if board.emulated else "board"
    equal = "" if board.equal else "OTHER LOGITS"
    time = (
        ("instructions", f"{board.cycles.median:,.0f}")
        if board.milliseconds is None
        else ("milliseconds", f"{board.milliseconds.median:,.1f}")
    )
    return [
        (f"{time[0]}, {kind}", time[1], equal),
        (f"SRAM: stack, {kind}", _count(board.stack_bytes), ""),
    ]


def _exact(value: bool | None, images: int) -> str:
    if value is None:
        return ""
    return f"{'equal to' if value else 'DIFFERS FROM'} the reference on {images} images"
