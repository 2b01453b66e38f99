"""Kill every command at random moments, run it again, and compare with undisturbed runs.

    python tools/kill_runs.py [--seed 0] [--kills 25] [--commands NAME ...] [--out FOLDER] [--json]

Each command of a small run on digits, and the whole chain, is run once undisturbed. Then it is
started again from the same inputs, and all its processes get SIGKILL at a random moment, several
times in a row; the last start may end. Of a search with several workers, all processes are killed,
or the first one, or one worker; without that worker it must end as it would with it. About a fourth
of the moments lie before its stage begins, the others within it. Its artefacts must be equal byte
for byte to the undisturbed ones. The journal of the search may hold no evaluation twice. No file
may be left that an undisturbed run does not leave, in the run directory or among temporary files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
import tool
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tool import Parser, Table

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run.artifact import RunDir, StageRecord, file_digest

SPACE = (
    "space.rank_ratio=[0.5,1.0]",
    "space.patch_size=[2,4]",
    "space.embed_dim=[32,48,64]",
    "space.depth=[1,2,3]",
)
SPACE_SEARCH = (
    "space_search.k=3",
    "space_search.initial_points=3",
    "space_search.visit_epochs=2",
    "space_search.max_visits=4",
    "space_search.num_samples=40",
    "space_search.accuracy_subnets=4",
)
STRATEGY = (
    "strategy.population=16",
    "strategy.generations=6",
    "strategy.mutants=8",
    "strategy.crossovers=4",
    "evaluator.samples=12",
    "evaluator.rounds=1",
    "evaluator.chosen=4",
    "evaluator.pool=20",
)
TRAINING = ("epochs=20", "warmup_epochs=1", "checkpoint_steps=5", "ema_decay=0.9")
TUNING = ("epochs=10", "warmup_epochs=1", "checkpoint_steps=5")


def under(field_name: str, settings: Sequence[str]) -> tuple[str, ...]:
    """Return settings of a recipe as settings of the command's field."""
    return tuple(f"{field_name}.{setting}" for setting in settings)


COMMANDS: dict[str, tuple[str, ...]] = {  # settings, by module and what the case sets itself
    "evolve.space": (*SPACE, *SPACE_SEARCH, *under("recipe", TRAINING)),
    "supernet.train": (*SPACE, *under("recipe", TRAINING)),
    "evolve.search": STRATEGY,
    "evolve.search workers=3": STRATEGY,
    "evolve.finetune": under("recipe", TUNING),
    "evolve.qat": under("recipe", ("epochs=4", "warmup_epochs=1", "checkpoint_steps=5")),
    "oplib.export": (),
    "mcuformer": (
        *(*SPACE, *SPACE_SEARCH, *STRATEGY),
        *(*under("train", TRAINING), *under("finetune", TUNING)),
    ),
}
WAIT_SECONDS = 300.0
EARLY = 0.25  # share of kills before the stage begins


@dataclass
class Work:
    """One command, its undisturbed run, and what the killed runs showed.

    Args:
        name: name of the case: the command's module, and settings.
        out: folder of this command's run directories and temporary files.
        startup_seconds: time from start to stage, undisturbed.
        stage_seconds: duration of the command's stages, undisturbed.
        kills: number of SIGKILLs so far.
        differing: artefacts that differ from the undisturbed run's.
        repeated: evaluations that stand twice in a journal.
        leftovers: files that an undisturbed run does not leave.
    """

    name: str
    out: Path
    startup_seconds: float = 0.0
    stage_seconds: float = 0.0
    kills: int = 0
    differing: list[str] = field(default_factory=list)
    repeated: int = 0
    leftovers: list[str] = field(default_factory=list)

    @property
    def module(self) -> str:
        """The command's module."""
        return self.name.split()[0]

    @property
    def before(self) -> Path:
        """Run directory with the command's inputs only."""
        return self.out / "before"

    @property
    def whole(self) -> Path:
        """Run directory of the undisturbed run."""
        return self.out / "whole"

    @property
    def run_dir(self) -> Path:
        """Run directory of the killed runs."""
        return self.out / "killed"

    def start(self, run_dir: Path) -> subprocess.Popen[str]:
        """Start the command in a session of its own, with temporary files beside `run_dir`."""
        temporary = temporary_folder(run_dir)
        temporary.mkdir(exist_ok=True)
        settings = [*self.name.split()[1:], *COMMANDS[self.name], f"run_dir={run_dir}"]
        command = [sys.executable, "-m", self.module, *settings]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def run(self, run_dir: Path) -> None:
        """Run the command to its end.

        Raises:
            McuformerError: it failed.
        """
        self._end(self.start(run_dir))

    def run_undisturbed(self) -> None:
        """Run the command once, and take its times.

        Raises:
            McuformerError: it failed.
        """
        shutil.copytree(self.before, self.whole)
        started = time.monotonic()
        self.run(self.whole)
        seconds = time.monotonic() - started
        records = self._records(self.whole).values()
        self.stage_seconds = sum(record.seconds for record in records)
        self.startup_seconds = seconds - self.stage_seconds

    def reset(self) -> None:
        """Give the killed runs the command's inputs and nothing else."""
        shutil.rmtree(self.run_dir, ignore_errors=True)
        shutil.copytree(self.before, self.run_dir)

    def kill(self, rng: np.random.Generator) -> bool:
        """Start the command and kill it at a random moment.

        Returns:
            Whether it was killed; if not, it had ended.

        Raises:
            McuformerError: it failed.
        """
        process = self.start(self.run_dir)
        early = rng.random() < EARLY
        moment = float(rng.uniform(0, self.startup_seconds if early else self.stage_seconds))
        if not early:
            wait_for_stage(process)
        limit = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        if process.poll() is not None:
            self._end(process)
            return False
        self.kills += 1
        workers = workers_of(process.pid)
        everything = [-process.pid]  # a process group, by the convention of kill(2)
        victims = (
            [*everything, process.pid, *rng.permutation(workers)[:1]] if workers else everything
        )
        victim = int(rng.choice(victims))
        os.kill(victim, signal.SIGKILL)
        if victim in workers:
            self._end(process)
            return False
        process.communicate()
        return True

    def check(self) -> None:
        """Compare the killed run, which has ended since, with the undisturbed one."""
        self.differing += self.differing_from(self.run_dir)
        self.repeated += repeated_evaluations(self.run_dir / "search" / "journal.log")
        left = extra_files(self.run_dir, self.whole)
        temporary = extra_files(temporary_folder(self.run_dir), temporary_folder(self.whole))
        left += [f"TMPDIR/{path}" for path in temporary]
        self.leftovers += [f"{self.name}: {path}" for path in left]

    def differing_from(self, run_dir: Path) -> list[str]:
        """Return the artefacts of a finished run that differ from the undisturbed run's."""
        expected, found = self._records(self.whole), self._records(run_dir)
        return [
            f"{stage}: {name}"
            for stage, record in expected.items()
            for name, digest in record.outputs.items()
            if stage not in found
            or not found[stage].outputs.get(name) == digest == file_digest(run_dir / name)
        ]

    def _end(self, process: subprocess.Popen[str]) -> None:
        _, printed = process.communicate(timeout=WAIT_SECONDS)
        if process.returncode != 0:
            last = printed.strip().splitlines()[-1:] or ["no message"]
            raise McuformerError(f"exit code {process.returncode}: {last[0]}", where=self.name)

    def _records(self, run_dir: Path) -> dict[str, StageRecord]:
        """Return the records of the command's stages, or of all the chain's."""
        records = {record.stage: record for record in RunDir(run_dir).records()}
        return records if self.module == "mcuformer" else {self.module: records[self.module]}


def workers_of(pid: int) -> list[int]:
    """Return the processes that a search has started to evaluate along with it."""
    children = psutil.Process(pid).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def temporary_folder(run_dir: Path) -> Path:
    """Return the folder for temporary files of the runs in `run_dir`."""
    return run_dir.with_name(f"{run_dir.name}_tmp")


def wait_for_stage(process: subprocess.Popen[str]) -> None:
    """Wait until a command says that its stage runs, or ends."""
    assert process.stderr is not None
    for line in process.stderr:
        if ": running (" in line:
            return


def extra_files(folder: Path, other: Path) -> list[str]:
    """Return the relative paths in `folder` that `other` lacks, but none inside such a folder."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    return [str(p) for p in paths if not (other / p).exists() and (other / p).parent.exists()]


def repeated_evaluations(journal: Path) -> int:
    """Return how many evaluations of an Optuna journal repeat an earlier one of their search."""
    if not journal.exists():
        return 0
    storage = JournalStorage(JournalFileBackend(str(journal)))
    repeated = 0
    for study in storage.get_all_studies():
        trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
        claims = [t.user_attrs["claim"] for t in trials if t.state == TrialState.COMPLETE]
        counts = Counter((claim["search"], claim["key"]) for claim in claims)
        repeated += sum(counts.values()) - len(counts)
    return repeated


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything undisturbed, then kill."""
    tool.require_at_least(1, kills=options.kills)
    for name in options.commands:
        if name not in COMMANDS:
            raise ConfigError("no such command", where="--commands", got=name)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kill_runs-", dir=options.out) as folder:
        works = undisturbed(Path(folder), options.commands)
        rng = np.random.default_rng(options.seed)
        for work, wanted in zip(works, shares(options.kills, len(works), rng), strict=True):
            kill_often(work, wanted, rng)
            print(f"{work.name}: {work.kills} kills", file=sys.stderr)
    return {
        "seed": options.seed,
        "kills": sum(work.kills for work in works),
        "per_command": {work.name: work.kills for work in works},
        "differing": sorted({name for work in works for name in work.differing}),
        "repeated_evaluations": sum(work.repeated for work in works),
        "leftovers": sorted({name for work in works for name in work.leftovers}),
    }


def undisturbed(out: Path, names: Sequence[str]) -> list[Work]:
    """Run the commands one after the other, as far as needed; return those asked for."""
    run_dir, works = out / "run", []
    run_dir.mkdir(parents=True)
    last = max(list(COMMANDS).index(name) for name in names)
    inputs: dict[str, Path] = {}
    for name in list(COMMANDS)[: last + 1]:
        work = Work(name, out / name.replace(" ", "_"))
        work.out.mkdir()
        if work.module == "mcuformer":
            work.before.mkdir()
        else:
            shutil.copytree(inputs.setdefault(work.module, run_dir), work.before)
        work.run_undisturbed()
        print(f"{name}: undisturbed, {work.stage_seconds:.1f} s", file=sys.stderr)
        if name in names:
            works.append(work)
        run_dir = work.whole
    return works


def shares(kills: int, commands: int, rng: np.random.Generator) -> list[int]:
    """Return the number of kills of each command: equal, the remainder to some at random."""
    lucky = set(rng.permutation(commands)[: kills % commands].tolist())
    return [kills // commands + (index in lucky) for index in range(commands)]


def kill_often(work: Work, wanted: int, rng: np.random.Generator) -> None:
    """Kill a command so many times, let it end, and compare."""
    work.reset()
    while work.kills < wanted:
        if not work.kill(rng):
            work.check()
            work.reset()
    work.run(work.run_dir)
    work.check()


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the table of kills, and one of the totals."""
    rows = [(name, str(kills)) for name, kills in result["per_command"].items()]
    totals = [
        ("kills", str(result["kills"])),
        ("artefacts that differ", ", ".join(result["differing"]) or "none"),
        ("evaluations repeated", str(result["repeated_evaluations"])),
        ("files left behind", ", ".join(result["leftovers"]) or "none"),
    ]
    return [Table(("command", "kills"), rows), Table(("in all", ""), totals, words=2)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS))
    parser.add_argument("--out", type=Path, help="folder for the runs, which are removed")
    wrong = ("differing", "repeated_evaluations", "leftovers")
    return tool.run(parser, measure, tables, wrong=lambda result: any(map(result.get, wrong)))


if __name__ == "__main__":
    raise SystemExit(main())
