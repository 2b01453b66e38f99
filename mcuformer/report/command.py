"""``python -m mcuformer report``: the page of a run, or one that compares several."""

from __future__ import annotations

from pathlib import Path

from mcuformer.errors import ConfigError
from mcuformer.report.comparison import FILE, write_comparison
from mcuformer.report.page import write_run_page
from mcuformer.run.artifact import RunDir

OUT = "out="


def report_runs(*arguments: str) -> None:
    """Write RUN/report.html or, of several runs, a page that compares them (comparison.html).

    Args:
        arguments: run directories and, for a comparison, ``out=FILE``.

    Raises:
        ConfigError: no run is named, ``out`` is named twice or for one run, or the runs cannot be
            compared.
        ArtifactError: a run is no run directory, is damaged or, in a comparison, not finished.
    """
    runs = [RunDir(argument) for argument in arguments if not argument.startswith(OUT)]
    outs = [argument.removeprefix(OUT) for argument in arguments if argument.startswith(OUT)]
    if not runs:
        raise ConfigError("no run is named", expected="a run directory")
    if len(runs) == 1:
        if outs:
            raise ConfigError("the page of a run is RUN/report.html", where="out", got=outs[0])
        path = write_run_page(runs[0])
    else:
        if len(outs) > 1 or outs == [""]:
            raise ConfigError("names no single file", where="out", got=" ".join(outs))
        path = Path(outs[0] if outs else FILE)
        write_comparison(runs, path)
    print(path)
