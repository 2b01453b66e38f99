"""No file of a user's acts: boards, networks, subnets and experiments, each refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evolve.finetune import FINETUNE
from evolve.space import SPACE
from mcuformer.errors import ConfigError
from mcuformer.run import entry
from mcuformer.run.user_file import MAX_NESTING, MAX_YAML_BYTES, read_user_yaml
from oplib.export import EXPORT
from supernet.train import TrainConfig

BOARD = """name: mine
core: cortex-m4
clock_hz: 168000000
regions:
  - {name: flash, kind: flash, origin: 0x08000000, size_bytes: 1048576}
  - {name: sram, kind: sram, origin: 0x20000000, size_bytes: 131072}
code_region: flash
arena_region: sram
data_region: sram
stack_reserve_bytes: 1024
"""
CALLBACK = "hydra: {callbacks: {x: {_target_: subprocess.run, args: [[touch, touched]]}}}\n"
OBJECT = "name: !!python/object/apply:os.system ['touch touched']\n"
SUBNET = '{"format": "mcuformer/subnet", "format_version": 1, '
LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
GROWING = "description: ${name}${name}\n"


def board(old: str, new: str) -> str:
    assert old in BOARD
    return BOARD.replace(old, new)


# name: (argument, content, part of the one line)
HOSTILE: dict[str, tuple[str, str | bytes, str]] = {
    "a board with a package": (
        "device",
        f"# @package _global_\n{CALLBACK}",
        "mine.yaml:1:1: not allowed in a file of yours (got # @package)",
    ),
    "a package after a remark": (
        "device",
        "# mine\n# @package hydra\n{}\n",
        "mine.yaml:2:1: not allowed in a file of yours (got # @package)",
    ),
    "Hydra's key in a board": (
        "device",
        BOARD + CALLBACK,
        "mine.yaml:11:1: hydra is not allowed in a file of yours",
    ),
    "a function to call": (
        "device",
        board("name: mine", "name: {_target_: os.system, command: touch touched}"),
        "mine.yaml:1:8: _target_ is not allowed in a file of yours",
    ),
    "an object of Python": (
        "device",
        OBJECT,
        "mine.yaml:1:7: tag tag:yaml.org,2002:python/object/apply:os.system is not allowed "
        "(expected a value without a tag)",
    ),
    "bytes": ("device", "name: !!binary aGk=\n", "(expected a value without a tag)"),
    "aliases that grow": (
        "device",
        LAUGHS,
        "mine.yaml:1:4: anchors and aliases are not allowed (expected the value itself)",
    ),
    "a list that holds itself": ("device", "a: &x [*x]\n", "(expected the value itself)"),
    "an environment variable": (
        "device",
        board("name: mine", 'name: "${oc.env:HOME}"'),
        "mine.yaml:1:7: interpolation ${oc.env:HOME} is not allowed (expected ${key} as the whole "
        "value of a key)",
    ),
    "a resolver inside": ("device", "name: '${a.${oc.env:HOME}}'\n", "whole value of a key)"),
    "a resolver that is put together": ("device", "name: '${${a}:HOME}'\n", "value of a key)"),
    "texts that grow": ("device", GROWING, "(expected ${key} as the whole value of a key)"),
    "an option of the emulator": (
        "device",
        BOARD + "emulation: {machine: 'virt,dumpdtb=touched', clock_hz: 1}\n",
        "emulation.machine: String should match pattern '^[a-z0-9][a-z0-9._-]*$' "
        "(got 'virt,dumpdtb=touched')",
    ),
    "a region for the linker": (
        "device",
        board("{name: sram,", "{name: 'sram (rwx); INCLUDE x',"),
        "String should match pattern '^[a-z][a-z0-9_]*$' (got 'sram (rwx); INCLUDE x')",
    ),
    "a region beyond 32 bits": (
        "device",
        board("0x20000000", "0xFFFFFFFFFF"),
        "regions.1.origin: out of range (got 1099511627775, expected less than 4294967296)",
    ),
    "a key twice": ("device", BOARD + "name: b\n", "mine.yaml:11:1: key 'name' stands twice"),
    "a tab": ("device", "name: a\n\tcore: b\n", "cannot start any token"),
    "no mapping": ("device", "[1, 2]", "mine.yaml: not a mapping of keys to values"),
    "a NUL byte": (
        "device",
        b"name: a\0b\n",
        "mine.yaml:1:8: not readable: a character not allowed in YAML",
    ),
    "no UTF-8": ("device", b"name: a\n# \xff\n", "mine.yaml:2:3: not a text in UTF-8"),
    "many megabytes": (
        "device",
        "#" * (MAX_YAML_BYTES + 1),
        f"mine.yaml: too large (expected at most {MAX_YAML_BYTES} bytes)",
    ),
    "deep brackets": (
        "device",
        "a: " + "[" * 20_000,
        f"nested too deeply (expected at most {MAX_NESTING} levels)",
    ),
    "a date": ("device", board("mine", "2020-01-01x/../y"), "(got '2020-01-01x/../y')"),
    "endless digits": (
        "device",
        f"clock_hz: {'9' * 5000}\n",
        "too many digits (expected at most 40)",
    ),
    "a terminal's sequence": ("device", board("mine", '"\\e[31m"'), "(got '\\x1b[31m')"),
    "presets by name": (
        "device",
        "defaults: [/hydra/launcher: joblib]\n",
        "defaults is not allowed in a file of yours: give its keys here, or set them on the "
        "command line",
    ),
    "Hydra's key in a network": (
        "vit",
        f"img_size: 32\n{CALLBACK}",
        "mine.yaml:2:1: hydra is not allowed in a file of yours",
    ),
    "a network without end": (
        "vit",
        "{img_size: 1000000000}",
        "vit.img_size: out of range (got 1000000000, expected at most 2048)",
    ),
    "Hydra's key in an experiment": ("+experiment", CALLBACK, "is not allowed in a file of yours"),
    "Hydra's groups in an experiment": (
        "+experiment",
        "defaults: [{override /hydra/launcher: joblib}]\n",
        "give its keys here, or set them on the command line",
    ),
    "a folder to write to": (
        "+experiment",
        "run_dir: /etc\n",
        "mine.yaml:1:1: run_dir is not allowed in a file of yours: set it on the command line",
    ),
    "a data set that names a folder": (
        "data",
        "{name: ../../x, format: digits, img_size: 8, num_classes: 10, preprocessing: "
        "{img_size: 8, channel_order: L, mean: [0.5], std: [0.5]}}\n",
        "(got '../../x')",
    ),
    "deep objects in a subnet": ("subnet", '{"a":' * 100_000, "damaged: nested too deeply"),
    "a key twice in a subnet": ("subnet", SUBNET + '"format": "x"}', "key 'format' stands twice"),
    "no number in a subnet": ("subnet", SUBNET + '"img_size": NaN}', "NaN is not a number of JSON"),
    "endless digits in a subnet": (
        "subnet",
        SUBNET + f'"img_size": {"9" * 5000}}}',
        "damaged: Exceeds the limit (4300 digits) for integer string conversion",
    ),
    "a pickle as a subnet": ("subnet", b"\x80\x04cos\nsystem\n.", "1:1: not a text in UTF-8"),
}
COMMANDS = {
    "device": SPACE,
    "data": FINETUNE,
    "+experiment": SPACE,
    "vit": EXPORT,
    "subnet": FINETUNE,
}


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str, file: Path) -> str:
    """Return the one line that a command prints for a file; it must write nothing."""
    before = sorted(tmp_path.rglob("*"))
    line = [f"{key}={file}", f"run_dir={tmp_path}/run", *(["weights=x"] if key == "vit" else [])]
    assert COMMANDS[key].main(line) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    return printed.err.strip()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    key, content, part = HOSTILE[case]
    monkeypatch.chdir(tmp_path)  # the files try to create `touched` there
    file = tmp_path / "mine.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert part in refused(capsys, tmp_path, key, file)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
@pytest.mark.parametrize("key", ["device", "subnet"])
def test_only_regular_files_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make: Callable[[Path], None], key: str
) -> None:
    make(tmp_path / "mine.yaml")
    line = refused(capsys, tmp_path, key, tmp_path / "mine.yaml")
    assert line.endswith("mine.yaml: not a regular file")


def test_what_a_file_of_ones_own_may_hold(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "a: 1e-3\nb: [0x10, 010, -7, 1_000, .5]\nc: {d: '3', e: ~, f: True}\n"
        "g: ${data.img_size}\nh: ${..x}\ni: 2020-01-01\nj: yes\n"
    )
    assert read_user_yaml(file) == {
        "a": 0.001,
        "b": [16, 8, -7, 1000, 0.5],
        "c": {"d": "3", "e": None, "f": True},
        "g": "${data.img_size}",
        "h": "${..x}",
        "i": "2020-01-01",
        "j": "yes",
    }
    file.write_text("# nothing\n")
    assert read_user_yaml(file) == {}
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file"):
        read_user_yaml(tmp_path / "absent.yaml")


def test_an_experiment_may_be_a_users_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("recipe: {epochs: 7}\n")
    found: list[TrainConfig] = []
    line = [f"+experiment={tmp_path}/mine.yaml"]
    assert entry.run("supernet_train", TrainConfig, found.append, line) == 0
    assert found[0].recipe.epochs == 7
