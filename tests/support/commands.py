"""Commands in processes of their own, forked from a server that has imported third-party packages.

A fresh interpreter spends three to five seconds of a core on importing torch, timm and
scikit-learn, which is most of what a command costs in a test. A forked one has its own memory,
arguments, environment, directory and streams, imports the project's modules itself, and can be
killed. What it shares with its siblings is the seed of hashes: where a test compares two runs, one
of them is `fresh`, so that the order of a set would show.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

IMPORTED = [
    "accelerate",
    "hydra.main",
    "matplotlib.pyplot",
    "optuna",
    "pydantic",
    "rich.progress",
    "safetensors.torch",
    "scipy.special",
    "sklearn.datasets",
    "timm.optim",
    "torch._dynamo",  # torch imports it for the first optimiser
]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(IMPORTED)
PATIENCE = 600.0  # seconds; a command of the tests that takes longer hangs
Line = Sequence[str | Path]
Printed = subprocess.CompletedProcess[str]


class Command:
    """A command that has been started.

    Args:
        line: what follows the interpreter on the command line: ``-m`` and a module, or a script,
            and its arguments.
        cwd: working directory; None is that of the tests.
        env: environment; None is that of the tests.
        fresh: whether the interpreter is a fresh one, as a user's, instead of a forked one.
    """

    def __init__(
        self,
        line: Line,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        *,
        fresh: bool = False,
    ) -> None:
        self.line = [str(part) for part in line]
        self._folder = tempfile.TemporaryDirectory()
        streams = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        for path in streams:
            path.touch()
        self._streams = streams
        environment = dict(os.environ if env is None else env)
        arguments = (self.line, str(cwd or Path.cwd()), environment, streams)
        # both start through the server, so that the tests treat them alike
        self._process = SERVER.Process(target=_replace if fresh else _execute, args=arguments)
        self._process.start()

    def running(self) -> bool:
        """Return whether the command has not ended."""
        return self._process.exitcode is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command, if it runs."""
        if self.running():
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def finish(self) -> Printed:
        """Wait for the end of the command; return its exit code and what it printed."""
        self._process.join(PATIENCE)
        if self.running():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode
        assert code is not None
        printed = [path.read_text() for path in self._streams]
        self._folder.cleanup()
        return subprocess.CompletedProcess(self.line, code, *printed)


def _prepare(cwd: str, streams: list[Path]) -> None:
    for number, path in enumerate(streams, start=1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it


def _replace(line: list[str], cwd: str, env: dict[str, str], streams: list[Path]) -> None:
    """Replace this process by a fresh interpreter."""
    _prepare(cwd, streams)
    os.execve(sys.executable, [sys.executable, *line], env)


def _execute(line: list[str], cwd: str, env: dict[str, str], streams: list[Path]) -> None:
    """Do in this process what the interpreter does with a command line."""
    import numpy as np

    _prepare(cwd, streams)
    os.environ.clear()
    os.environ.update(env)
    sys.orig_argv = [sys.executable, *line]
    np.random.seed()  # noqa: NPY002 - not the state that its siblings have, too
    try:
        if line[0] == "-m":
            sys.argv = line[1:]
            runpy.run_module(line[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = line
            sys.path.insert(0, str(Path(line[0]).resolve().parent))
            runpy.run_path(line[0], run_name="__main__")
    finally:  # the interpreter's end, which multiprocessing skips; joblib stops its workers in it
        threading._shutdown()
        atexit._run_exitfuncs()


def run(
    line: Line,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    fresh: bool = False,
) -> Printed:
    """Run a command to its end; the arguments are those of :class:`Command`."""
    return Command(line, cwd, env, fresh=fresh).finish()


def start_two(line: Line, *, fresh: bool = False) -> list[Command]:
    """Start a command in two processes with the environment that torchrun gives them.

    Args:
        line: the command line, as for :class:`Command`.
        fresh: whether one is a fresh interpreter: then they have different seeds of hashes, as
            those of torchrun have.
    """
    with socket.create_server(("localhost", 0)) as server:
        port = str(server.getsockname()[1])
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": port}
    group["MASTER_ADDR"] = "localhost"
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    return [
        Command(line, env=dict(os.environ) | group | rank, fresh=fresh and rank["RANK"] == "1")
        for rank in ranks
    ]


def run_two(line: Line, *, fresh: bool = False) -> Printed:
    """Run a command in two processes to its end; return what both said, and the first fault."""
    first, second = [command.finish() for command in start_two(line, fresh=fresh)]
    code = first.returncode or second.returncode
    printed = (first.stdout + second.stdout, first.stderr + second.stderr)
    return subprocess.CompletedProcess(first.args, code, *printed)


def kill(commands: Sequence[Command], ready: Callable[[], bool]) -> None:
    """Kill running commands as soon as `ready` returns true, in the middle of their work."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and all(map(Command.running, commands)) and not ready():
        time.sleep(0.005)
    assert all(map(Command.running, commands)), [command.finish() for command in commands]
    for command in commands:
        command.send(signal.SIGKILL)
    for command in commands:
        command.finish()
