"""The help of every tool, printed by one process: most of what a tool costs is its imports.

python tests/support/tool_help.py SCRIPT ...
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SCRIPTS = tuple(
    sorted(path for path in TOOLS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
)


@cache
def help_of_tools() -> dict[str, str]:
    """Return what each script of tools/ prints for ``--help``, by its name."""
    from commands import run

    printed = run([__file__, *SCRIPTS])
    assert printed.returncode == 0, printed.stderr
    return dict(json.loads(printed.stdout))


def helps(scripts: Sequence[str]) -> dict[str, str]:
    """Run scripts with ``--help`` in this process; return what they print, by name.

    Raises:
        RuntimeError: a script does not end with exit code 0.
    """
    found = {}
    for script in scripts:
        sys.argv = [script, "--help"]
        sys.path.insert(0, str(Path(script).parent))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as end:
                if end.code:
                    raise RuntimeError(f"{script} --help: exit code {end.code}") from end
            else:
                raise RuntimeError(f"{script} --help: no exit code")
        del sys.path[0]
        found[Path(script).name] = printed.getvalue()
    return found


if __name__ == "__main__":
    print(json.dumps(helps(sys.argv[1:])))
