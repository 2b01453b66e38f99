"""Commands: a typed configuration, the stage it asks for, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from mcuformer.errors import ArtifactError
from mcuformer.run import entry
from mcuformer.run.artifact import RunDir, Stage
from mcuformer.run.progress import say
from mcuformer.value import Value

PLACES = ("run_dir", "points_dir", "overwrite")


class Settings(Value):
    """Where a command works and how.

    Args:
        run_dir: the run's directory.
        seed: of every random stream.
        threads: CPU threads of torch; results are exact for an equal number.
        overwrite: run the stage although it is complete.
    """

    run_dir: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=1)] = 2
    overwrite: bool = False

    @property
    def run(self) -> RunDir:
        """Return the run directory."""
        return RunDir(self.run_dir)

    def content(self) -> dict[str, Any]:
        """Return what results depend on: everything but the place and `overwrite`."""
        return {k: v for k, v in self.dump().items() if k not in PLACES}


SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Command(Generic[SettingsT]):
    """A command of the toolchain, which runs one stage of a run.

    Args:
        name: of the module and of the stage, for instance ``evolve.space``.
        config: the model of its configuration.
        stage: returns what the command reads and writes; it may refuse a configuration that cannot
            succeed, before anything is made.
        run: does the stage's work.
        distributed: whether torchrun may start the command in several processes.
    """

    name: str
    config: type[SettingsT]
    stage: Callable[[SettingsT], Stage]
    run: Callable[[SettingsT], None]
    distributed: bool = False

    @property
    def config_name(self) -> str:
        """The primary configuration under ``conf/``, for instance ``evolve_space``."""
        return self.name.replace(".", "_")

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command line and return the exit code.

        Args:
            arguments: without the program's name; None takes this process's.
        """
        return entry.run(
            self.config_name, self.config, self.execute, arguments, distributed=self.distributed
        )

    def execute(self, config: SettingsT) -> None:
        """Run the stage in its locked run directory, unless it is complete and current.

        Raises:
            ArtifactError: an input is missing, or another process holds the directory.
        """
        self.run_stage(config, self.run)

    def run_stage(self, config: SettingsT, function: Callable[[SettingsT], None]) -> None:
        """As :meth:`execute`, with `function` in place of the command's own."""
        stage = self.stage(config)
        refuse_missing_inputs(stage)
        with config.run.locked():
            run_locked(config, stage, lambda: function(config))

    def execute_locked(self, config: SettingsT) -> None:
        """Run the stage as :meth:`execute` does, in a directory that this process already holds."""
        stage = self.stage(config)
        refuse_missing_inputs(stage)
        run_locked(config, stage, lambda: self.run(config))


def refuse_missing_inputs(stage: Stage) -> None:
    """Refuse a stage whose input does not exist.

    Raises:
        ArtifactError: naming the file and the stage that reads it.
    """
    for path in stage.inputs:
        if not path.exists():
            raise ArtifactError(
                f"no such file, which {stage.name} reads; run the stage that writes it first",
                where=path,
            )


def run_locked(settings: Settings, stage: Stage, function: Callable[[], None]) -> None:
    """Run a stage of a run directory that this process holds, unless it is complete and current."""
    reason = "overwrite=true" if settings.overwrite else settings.run.why_stale(stage)
    if reason is None:
        say(f"{stage.name}: complete, nothing to do (overwrite=true runs it again)")
        return
    say(f"{stage.name}: running ({reason})")
    seconds = settings.run.run_stage(stage, function)
    say(f"{stage.name}: done in {seconds:.1f} s")
