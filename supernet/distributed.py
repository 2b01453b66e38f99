"""Commands that torchrun may start in several processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcuformer.run.command import Command, SettingsT
from mcuformer.run.progress import process_count

STOP, GO = 0, 1


@dataclass(frozen=True)
class DistributedCommand(Command[SettingsT]):
    """A command that runs in one process, or in those of torchrun, where the first one decides."""

    distributed: bool = True

    def execute(self, config: SettingsT) -> None:
        """Run the stage in its locked run directory, unless it is complete and current."""
        if process_count() == 1:
            super().execute(config)
            return
        self.stage(config)  # each process refuses a bad configuration before it waits for others
        from supernet.processes import Processes

        processes = Processes()
        if processes.is_main:
            self._lead(config, processes.agree)
        elif processes.agree(STOP) == GO:
            self.run(config)
        processes.wait()  # a process that leaves while another one still talks may be aborted
        processes.end()

    def _lead(self, config: SettingsT, agree: Callable[[int], float]) -> None:
        """Decide for all processes whether the stage must run, and tell them exactly once.

        The others wait in one `agree`. It gets GO when the stage starts, and STOP if it never does:
        the stage is complete, or the run directory is in use.
        """
        announced = False

        def together(config: SettingsT) -> None:
            nonlocal announced
            announced = True
            agree(GO)
            self.run(config)

        try:
            self.run_stage(config, together)
        finally:
            if not announced:
                agree(STOP)
