"""Texts need no quotes, and no command line ends in anything but one line."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mcuformer.run import entry
from supernet.train import TrainConfig


def parsed(*arguments: str) -> list[TrainConfig]:
    """Return the configurations that `supernet.train` composes from a valid command line."""
    found: list[TrainConfig] = []
    assert entry.run("supernet_train", TrainConfig, found.append, arguments) == 0
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that `supernet.train` prints for an invalid command line."""
    assert entry.run("supernet_train", TrainConfig, lambda config: None, arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err.strip()


@pytest.mark.parametrize(
    "text",
    [
        "a (b)=ü",
        "/x y/z",
        "it's",
        'say "x"',
        "a\\b",
        "ends with\\",
        "\\'",
        "a,b",
        "[a]",
        "{a: b}",
        "3",
        "true",
        "null ",
        "$x",
        "#a",
        "a: b",
        "日本",
    ],
)
def test_texts_need_no_quotes(text: str) -> None:
    assert parsed(f"run_dir={text}", f"initial={text}")[0].initial == text
    assert parsed(f"run_dir={text}")[0].run_dir == text


def test_texts_with_quotes_and_interpolations() -> None:
    assert parsed("run_dir='a b'", 'initial="c d"')[0].initial == "c d"
    assert parsed("run_dir=a ${data.name}")[0].run_dir == "a digits"
    assert parsed("initial=null")[0].initial is None


def test_texts_in_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    swept = parsed("-m", "initial=a,b", "run_dir=x y")
    assert [config.initial for config in swept] == ["a", "b"]
    assert swept[0].run_dir == "x y/initial=a"


def test_paths_of_users_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a (b)=ü, c"
    folder.mkdir()
    (folder / "my recipe.yaml").write_text("{epochs: 7, batch_size: 1, lr: 1e-3}")
    assert parsed(f"recipe={folder}/my recipe.yaml")[0].recipe.epochs == 7
    monkeypatch.setenv("HOME", str(folder))
    assert parsed("recipe=~/my recipe.yaml")[0].recipe.epochs == 7


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--run", "-m"], "flags that exclude each other (got --run and --multirun)"),
        (["--cfg", "job", "--info"], "flags that exclude each other (got --cfg and --info)"),
        (["--resolve"], "--resolve is for --cfg"),
        (["--config-dir", "x"], "unknown flag (got config-dir"),
        (["--experimental-rerun", "x"], "unknown flag (got experimental-rerun"),
        (["device=3"], "device: no option of this name (got '3'"),
        (["device=[a,b]"], "device: several options without a sweep (got [a,b], expected -m)"),
        (["device=[a]"], "device: no option of this name (got '[a]'"),
        (["device="], "device: no option of this name (got ''"),
        (["device=a,b"], "device: several options without a sweep"),
        (["seed="], "seed: "),
        ([f"seed={'9' * 5000}"], "seed: too many digits (expected at most 40)"),
        (["data=npz"], "data.root: missing; give data.root=..."),
        (["device.regions.size_bytes=1"], "device.regions.size_bytes: unknown key"),
        (["seed.x=1"], "seed.x: unknown key"),
        (["=x"], "not an argument (got '=x', expected key=value)"),
        ([""], "not an argument (got '', expected key=value)"),
        (["inspct"], "not an argument (got 'inspct', expected key=value)"),
        (["a..b=1"], "a: unknown key"),
        (["~seed=1"], "seed"),
        (["~"], "not an argument"),
        (["+seed=1"], "seed"),
        (["recipe.epochs={a: 1}"], "recipe.epochs: Input should be a valid integer"),
        (["recipe.epochs=(1)"], "put a text into quotes: \"recipe.epochs='...'\""),
        (["recipe.precision=[/b]"], "recipe.precision"),
        (["seed=18446744073709551616"], "expected at most 9223372036854775807"),
        (["recipe=\0.yaml"], "recipe: no such file"),
        (["run_dir=\x1b[31m"], "run_dir: a path with a control character (got '\\x1b[31m')"),
        (["recipe.\x1b[31m=1"], "unknown key"),
    ],
)
def test_bad_lines(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    assert line in refused(capsys, *arguments)


def test_faults_of_the_system_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def full(config: TrainConfig) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/x/y")

    assert entry.run("supernet_train", TrainConfig, full, []) == 2
    assert capsys.readouterr().err == "error: No space left on device: /x/y\n"
