"""What every command's configuration shares, and how a command runs its stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from mcuformer.errors import ArtifactError
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


def execute(settings: Settings, stage: Stage, function: Callable[[], None]) -> None:
    """Run a stage in its locked run directory, unless it is complete and current.

    Raises:
        ArtifactError: an input is missing; nothing is made then.
    """
    for path in stage.inputs:
        if not path.exists():
            raise ArtifactError(
                f"no such file, which {stage.name} reads; run the stage that writes it first",
                where=path,
            )
    with settings.run.locked():
        execute_locked(settings, stage, function)


def execute_locked(settings: Settings, stage: Stage, function: Callable[[], None]) -> None:
    """Run a stage of a run directory that this process holds."""
    reason = "overwrite=true" if settings.overwrite else settings.run.why_stale(stage)
    if reason is None:
        say(f"{stage.name}: complete, nothing to do (overwrite=true runs it again)")
        return
    say(f"{stage.name}: running ({reason})")
    seconds = settings.run.run_stage(stage, function)
    say(f"{stage.name}: done in {seconds:.1f} s")
