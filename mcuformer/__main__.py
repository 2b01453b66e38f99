"""``mcuformer``, or ``python -m mcuformer``: from a search space to running firmware.

mcuformer [key=value ...]       run every stage that is not complete
mcuformer predict RUN IMAGE     classify a picture: float, int8, host C
mcuformer inspect RUN           show what a run found and where it is
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from mcuformer import execution, inspection
from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run import entry

COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "predict": (inspection.predict_picture, ("RUN", "IMAGE")),
    "inspect": (inspection.inspect_run, ("RUN",)),
}


def main() -> int:
    """Run the command line; return the exit code."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        return execution.main()
    function, parameters = COMMANDS[name]
    try:
        if len(arguments) != len(parameters):
            usage = " ".join(("mcuformer", name, *parameters))
            raise ConfigError("wrong arguments", expected=usage)
        function(*arguments)
    except McuformerError as error:
        return entry.fail(error, error.exit_code)
    except KeyboardInterrupt:
        return entry.fail("interrupted", entry.INTERRUPTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
