"""Sections on what comes after a run, and what made it: build and flash, configuration."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.report.blocks import Block, Code, Details, Table, Text
from mcuformer.report.run_files import RunFiles
from mcuformer.run.artifact import StageRecord, parsing, read_json
from mcuformer.run.progress import duration

NO_BREAK = "\u00a0"


def firmware(files: RunFiles) -> list[Block]:
    """Show how the firmware is built, called and flashed."""
    files.needs("oplib.export")
    path = files.run.file("firmware/manifest.json")
    with parsing(path):
        manifest = read_json(path, "firmware")
        name, device = str(manifest["name"]), manifest["device"]
        board, side = device["board"], manifest["subnet"]["img_size"]
    folder = files.run.path
    upper = name.upper()
    blocks: list[Block] = [
        Text(
            f"The network is a C99 library without operating system, heap or C library, for "
            f"{device['description'] or device['name']}. It takes images of {side} x {side} raw "
            "pixels. Its README has all of this at length. In a CMake project of your own:"
        ),
        Code(
            f"add_subdirectory({folder}/firmware {name})\n"
            f"target_link_libraries(your_program PRIVATE {name})"
        ),
        Text("and in your program:"),
        Code(
            f'#include "{name}.h"\n\n'
            f"static {upper}_ALIGNED uint8_t arena[{upper}_ARENA_BYTES];\n"
            f"static struct {name}_context context;\n\n"
            f"{name}_init(&context, arena, sizeof arena);  /* every call returns {upper}_OK */\n"
            f"{name}_set_image(&context, pixels, {upper}_INPUT_BYTES);\n"
            f"{name}_run(&context);\n"
            f"use({name}_class(&context));"
        ),
        Text("A whole program for the device, with your own files of C in a folder:"),
        Code(
            f"cmake -S {folder}/port/device -B build -DMODEL_BOARD_DIR=FOLDER\ncmake --build build"
        ),
    ]
    if manifest["fetches_rows"] or manifest["fast_arena_bytes"]:
        text = "This network takes its image in strips, or has a second arena"
        blocks.insert(4, Text(f"{text}: see firmware/README.md for the calls.", quiet=True))
    if board:
        text = f"boards/{board}/README.md has the steps to flash this board by ST's own library; "
        blocks.append(Text(text + "no such board has been tried."))
    else:
        text = "Flash the program that this builds with the tool of your board, for instance "
        blocks.append(Text(text + "OpenOCD or st-flash; the export writes no script for it."))
    return blocks


def configuration(files: RunFiles) -> list[Block]:
    """Show what each stage was given, when, and by which versions."""
    records = list(files.records.values())
    rows = [
        [
            record.stage,
            record.started[:16].replace("T", NO_BREAK),
            duration(record.seconds).replace(" ", NO_BREAK),
            record.git_revision[:12] + (" (dirty)" if "dirty" in record.git_revision else ""),
        ]
        for record in records
    ]
    table = Table(("stage", "started (UTC)", "took", "revision"), rows, words=4)
    together = sum(record.seconds for record in records)
    text = f"Together {duration(together)}."
    if files.run.file("rounds.json").exists():
        text += " Of the rounds of the search only the last one is counted (rounds.json has all)."
    blocks: list[Block] = [table, Text(text, quiet=True), _versions(records)]
    blocks += [
        Details(f"Configuration of {record.stage}", [Code(_yaml(record))]) for record in records
    ]
    return blocks


def _versions(records: Sequence[StageRecord]) -> Block:
    """Return versions and machines; those that differ between stages are all told."""
    names = dict.fromkeys(name for record in records for name in record.versions)
    rows = [
        [name, ", ".join(dict.fromkeys(str(r.versions.get(name, "")) for r in records))]
        for name in names
    ]
    rows.append(["machine", "; ".join(dict.fromkeys(record.machine for record in records))])
    return Details("Versions and machine", [Table(("", ""), rows, words=2)])


def _yaml(record: StageRecord) -> str:
    """Return what a stage's result depends on, as text."""
    import yaml  # type: ignore[import-untyped]

    return str(yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True, width=100))
