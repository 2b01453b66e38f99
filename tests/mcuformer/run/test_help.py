"""--help lists every key of a command with its default and a line, --version is ours."""

from __future__ import annotations

import re

import pytest

from evolve.finetune import FINETUNE
from evolve.qat import QAT
from evolve.search import SEARCH
from evolve.space import SPACE
from mcuformer import __version__, execution
from mcuformer.chain import ChainConfig
from mcuformer.run import entry
from mcuformer.run.command import Command
from oplib.export import EXPORT
from supernet.train import TRAIN

COMMANDS = (SPACE, TRAIN, SEARCH, FINETUNE, QAT, EXPORT)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_knows_every_key(capsys: pytest.CaptureFixture[str], command: Command) -> None:
    assert command.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m {command.name} [key=value ...]")
    assert f"  python -m {command.name}" in text  # an example
    for name in command.config.model_fields:
        assert re.search(rf"^  ({name}|\w+@{name})=\S*\s+\S", text, re.MULTILINE), name
    assert max(map(len, text.splitlines())) <= 115


def test_help_of_the_chain(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run("mcuformer", ChainConfig, execution.run_chain, ["-h"]) == 0
    text = capsys.readouterr().out
    assert "recipe@finetune=finetune " in text
    assert re.search(r"finetune\.epochs=60 +length of the schedule", text)
    assert re.search(r"space\.patch_size=\[1, 2, 3, 4\]", text)  # that of the default data set
    assert re.search(r"data\.preprocessing\.channel_order=L\s+``L``", text)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_version(capsys: pytest.CaptureFixture[str], command: Command) -> None:
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mcuformer {__version__}\n"
