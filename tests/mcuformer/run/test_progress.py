"""Progress without a terminal: a line at intervals, with the time left at the average pace."""

from __future__ import annotations

import pytest

from mcuformer.run import progress


def test_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Continued at 10 of 50: 5 units in 20 s, so 35 more take 140 s."""
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    lines: list[str] = []
    monkeypatch.setattr(progress, "say", lines.append)
    with progress.Meter("epochs", 50, done=10) as meter:
        clock[0] += 20
        meter.update(15)
        assert meter.seconds_left == pytest.approx(140)
        clock[0] += 5  # too soon for another line
        meter.update(16)
    assert lines == ["epochs: 15 of 50, about 2 min left"]


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(progress.console, "print", lambda text, **_: printed.append(text))
    progress.say("one")
    monkeypatch.setenv("RANK", "1")
    progress.say("two")
    assert printed == ["one"]
    assert list(progress.track(iter("abc"), "letters", total=3)) == ["a", "b", "c"]
