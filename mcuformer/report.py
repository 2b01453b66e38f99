"""The final table of a run, on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

NOT_VERIFIED = "not verified"


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Build a table of text."""
    result = Table(title=title, title_justify="left")
    for index, name in enumerate(header):
        result.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def print_table(result: Table) -> None:
    """Print a table to standard output."""
    console = Console()
    console.print(result)


def show_report(report: Mapping[str, Any]) -> None:
    """Print a run's ``report.json`` as tables."""
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
        ("SRAM: static data", _count(sram["static"]), ""),
        ("SRAM: stack, measured", _count(sram["stack_high_water"]), ""),
        ("SRAM: total", _count(sram["total"]), f"of {sram['budget']:,}"),
        ("flash: weights", _count(flash["weights"]), ""),
        ("flash: code", _count(flash["code"]), ""),
        ("flash: total", _count(flash["total"]), f"of {flash['budget']:,}"),
        ("multiply-accumulates", _count(report["macs"]), ""),
        ("instructions an image", _count(report["instructions"]), ""),
        (
            "milliseconds, estimated",
            _estimate(report.get("estimated_ms")),
            "one instruction a cycle",
        ),
    ]
    print_table(table("memory (bytes) and work", ("", "", "budget"), rows))
    admission = report["admission"]
    print(
        f"admission: of {admission['sampled']} subnets sampled over the whole space, "
        f"{admission['sram']} exceed SRAM alone, {admission['flash']} flash alone, "
        f"{admission['both']} both; {admission['admitted']} fit"
    )
    seconds = report["seconds"]
    parts = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    print(f"seconds: {parts}; together {sum(seconds.values()):.0f}")
    for line in report["not_verified"]:
        print(f"not verified: {line}")


def _percent(value: float | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:.2f} %"


def _count(value: int | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:,}"


def _estimate(value: float | None) -> str:
    return NOT_VERIFIED if value is None else f"{value:,.1f}"


def _exact(value: bool | None, images: int) -> str:
    if value is None:
        return ""
    return f"{'equal to' if value else 'DIFFERS FROM'} the reference on {images} images"
