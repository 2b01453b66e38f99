"""``mcuformer``, or ``python -m mcuformer``: from a search space to running firmware.

mcuformer [key=value ...]       run every stage that is not complete
mcuformer predict RUN IMAGE     classify a picture: float, int8, host C; RUN may be zoo:NAME
mcuformer inspect RUN           show what a run found and where it is
mcuformer zoo                   list the trained networks that come with the package
mcuformer export RUN device=... make firmware of a run, or of zoo:NAME, for another device
mcuformer report RUN [RUN ...]  write RUN/report.html, or a page that compares runs
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from mcuformer import __version__, execution, inspection, reexport
from mcuformer.errors import ConfigError, McuformerError, did_you_mean, of_system
from mcuformer.interrupt import INTERRUPTED, imports_done
from mcuformer.report.command import report_runs
from mcuformer.run import entry

COMMANDS: dict[str, tuple[Callable[..., int | None], tuple[str, ...]]] = {
    "predict": (inspection.predict_picture, ("RUN", "IMAGE")),
    "inspect": (inspection.inspect_run, ("RUN",)),
    "zoo": (inspection.list_zoo, ()),
    "export": (reexport.export_network, ("RUN", "device=DEVICE", "[key=value ...]")),
    "report": (report_runs, ("RUN", "[RUN ...]", "[out=FILE]")),
}
HELP = ("-h", "--help")


def main() -> int:
    """Run the command line; return the exit code."""
    name, *arguments = sys.argv[1:] or [""]
    if name in HELP:
        print(*str(__doc__).splitlines()[2:], "", sep="\n")
    try:
        if name not in COMMANDS:
            _refuse_unknown(name)
            return execution.main()
        return _run(name, arguments)
    except McuformerError as error:
        return entry.fail(error, error.exit_code)
    except OSError as error:
        return entry.fail(of_system(error))
    except KeyboardInterrupt:
        return entry.fail("interrupted", INTERRUPTED)


def _run(name: str, arguments: list[str]) -> int:
    imports_done()
    function, parameters = COMMANDS[name]
    usage = " ".join(("mcuformer", name, *parameters))
    if set(arguments) & set(HELP):
        print(f"usage: {usage}\n\n{str(function.__doc__).splitlines()[0]}")
    elif "--version" in arguments:
        print(f"mcuformer {__version__}")
    elif not _suits(len(arguments), parameters):
        raise ConfigError("wrong arguments", expected=usage)
    else:
        return function(*arguments) or 0
    return 0


def _suits(count: int, parameters: tuple[str, ...]) -> bool:
    """Return whether so many arguments suit a command; parameters in brackets are optional.

    >>> _suits(1, ("RUN",)), _suits(2, ("RUN",)), _suits(0, ("RUN", "[RUN ...]"))
    (True, False, False)
    >>> _suits(1, ("RUN", "[RUN ...]")), _suits(7, ("RUN", "[RUN ...]"))
    (True, True)
    """
    needed = sum(not parameter.startswith("[") for parameter in parameters)
    return count == needed or (count > needed and len(parameters) > needed)


def _refuse_unknown(name: str) -> None:
    """Refuse a first argument that is neither a command nor ``key=value`` nor a flag.

    Raises:
        ConfigError: with the nearest command.
    """
    if name and "=" not in name and name[0] not in "-~":
        raise ConfigError(
            f"no such command{did_you_mean(name, COMMANDS)}",
            got=repr(name),
            expected=f"{', '.join(COMMANDS)}, or key=value for a run",
        )


if __name__ == "__main__":
    sys.exit(main())
