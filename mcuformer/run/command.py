"""Commands: a typed configuration, the stage that it describes, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from mcuformer.errors import ArtifactError
from mcuformer.limits import PathText, Seed, Threads
from mcuformer.run import entry
from mcuformer.run.artifact import RunDir, Stage
from mcuformer.run.progress import say
from mcuformer.value import Value


class Settings(Value):
    """Settings common to all commands.

    Args:
        run_dir: directory of the run.
        seed: seed of all random streams.
        threads: number of CPU threads of torch, on which the last digit of sums depends; null takes
            that of the run so far or, in a new run, the number of idle CPUs.
        overwrite: whether to run the stage even if it is complete.
    """

    # `threads` has an effect on last digits only, as the machine has, which is no setting either
    without_effect: ClassVar[tuple[str, ...]] = ("run_dir", "points_dir", "overwrite", "threads")

    run_dir: PathText
    seed: Seed = 0
    threads: Threads | None = None
    overwrite: bool = False

    @property
    def run(self) -> RunDir:
        """The run directory."""
        return RunDir(self.run_dir)


SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Command(Generic[SettingsT]):
    """A command of the toolchain, which runs one stage of a run.

    Args:
        name: name of the module and of the stage, for instance ``evolve.space``.
        config: type of the configuration.
        stage: function that returns what the command reads and writes. It refuses a configuration
            that cannot succeed, before anything is written.
        run: function that does the work of the stage.
        distributed: whether torchrun may start the command in several processes.
    """

    name: str
    config: type[SettingsT]
    stage: Callable[[SettingsT], Stage]
    run: Callable[[SettingsT], None]
    distributed: bool = False

    @property
    def config_name(self) -> str:
        """Name of the primary configuration in ``conf/``, for instance ``evolve_space``."""
        return self.name.replace(".", "_")

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command line; return the exit code.

        Args:
            arguments: arguments without the program's name; None takes those of this process.
        """
        return entry.run(
            self.config_name, self.config, self.execute, arguments, distributed=self.distributed
        )

    def execute(self, config: SettingsT) -> None:
        """Run the stage in its locked run directory, unless it is complete and current.

        Raises:
            ArtifactError: an input is missing or changed, or another process holds the directory.
        """
        self.run_stage(config, self.run)

    def run_stage(self, config: SettingsT, function: Callable[[SettingsT], None]) -> None:
        """Run the stage as :meth:`execute` does, with `function` in place of :attr:`run`."""
        stage = self.stage(config)
        refuse_unsound_inputs(config.run, stage)
        with config.run.locked():
            run_locked(config, stage, lambda: function(config))

    def execute_locked(self, config: SettingsT) -> None:
        """Run the stage as :meth:`execute` does, in a directory that this process has locked."""
        stage = self.stage(config)
        refuse_unsound_inputs(config.run, stage)
        run_locked(config, stage, lambda: self.run(config))


def refuse_unsound_inputs(run: RunDir, stage: Stage) -> None:
    """Refuse a stage that lacks an input, or reads a file that is not as its stage left it.

    Raises:
        ArtifactError: naming the file.
    """
    for path in stage.inputs:
        if not path.exists():
            raise ArtifactError(
                f"no such file; {stage.name} reads it, so run the stage that writes it first",
                where=path,
            )
    run.refuse_changed(stage.inputs)


def run_locked(settings: Settings, stage: Stage, function: Callable[[], None]) -> None:
    """Run a stage unless it is complete and current; the caller has locked the run directory."""
    reason = "overwrite=true" if settings.overwrite else settings.run.why_stale(stage)
    if reason is None:
        say(f"{stage.name}: complete, nothing to do (overwrite=true runs it again)")
        return
    say(f"{stage.name}: running ({reason})")
    seconds = settings.run.run_stage(stage, function)
    say(f"{stage.name}: done in {seconds:.1f} s")
