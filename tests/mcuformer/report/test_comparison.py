"""Runs are compared if they are finished and have the same test images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from finished_runs import finished_run

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.report.command import report_runs

ACCURACY = {"inherited": 1.0, "float": 99.5, "int8": 99.25, "host": None, "emulated": None}


def test_a_table_and_a_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    finished_run(Path("a"), experiment="digits_8k")
    flash = {"weights": 1, "code": 1, "total": 20480, "budget": 131072}
    finished_run(Path("b<i>"), accuracy_percent=ACCURACY, flash_bytes=flash, device="stm32f746")
    report_runs("a", "b<i>")
    assert capsys.readouterr().out == "comparison.html\n"
    text = Path("comparison.html").read_text()
    assert "b&lt;i&gt; is the most accurate: 99.25 % int8 on the 400 test images." in text
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in text.split("<tr>")[2:]]
    assert rows[0][1:6] == ["a", "digits_8k", "stm32f100", "3", "98.25"]
    assert rows[0][7:10] == ["not verified", "not verified", "90,576"]
    assert rows[1][8] == "20,480"
    assert "2 runs, of which 1 are on the front" in text  # more accurate, and smaller
    assert "These runs differ in their device: stm32f100, stm32f746." in text
    assert "differ in their experiment: digits_8k, none." in text
    assert "Flash as planned, no firmware was built: a." in text


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        finished_run(tmp_path / name)
    return tmp_path


def test_runs_of_other_images_are_refused(two: Path) -> None:
    finished_run(two / "c", data="mnist")
    with pytest.raises(ConfigError, match=r"c: runs of different data sets .*got mnist, expected"):
        report_runs("a", "b", "c")
    record = two / "b/stages/report.json"
    record.write_text(record.read_text().replace('"split_seed": 0', '"split_seed": 1'))
    with pytest.raises(ConfigError, match=r"b: data\.split_seed: runs of different test images"):
        report_runs("a", "b")
    assert not (two / "comparison.html").exists()


def test_bad_arguments_are_one_line(two: Path) -> None:
    (two / "b/report.json").unlink()
    (two / "mine").write_text("mine")
    for arguments, message in (
        (["a", "b"], "b: incomplete run"),
        (["a", "b/../a"], "a run is named twice"),
        (["a", "none"], "none: no such run directory"),
        (["a", "b", "out=mine"], "mine: exists, and is no page"),
        (["a", "b", "out=x", "out=y"], "out: names no single file"),
        (["a", "out=x"], "out: the page of a run is RUN/report.html"),
        (["out=x"], "no run is named"),
    ):
        with pytest.raises(McuformerError) as caught:
            report_runs(*arguments)
        assert message in str(caught.value), json.dumps(arguments)
    assert sorted(path.name for path in two.iterdir()) == ["a", "b", "mine"]
