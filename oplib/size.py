"""``python -m oplib.size RUN [--json]``: show where the flash and the SRAM of an export go.

The sums are those of the linker. Layers are the calls of the network; the operators that several
of them share stand by themselves, as do the functions of the port and of the compiler's library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from mcuformer import __version__
from mcuformer.errors import ArtifactError, ConfigError, McuformerError, of_system
from mcuformer.interrupt import INTERRUPTED, imports_done
from mcuformer.run.artifact import RunDir, parsing, read_json
from mcuformer.run.entry import fail
from oplib.codegen.names import Names
from oplib.target.built import ELF_FILES
from oplib.target.elf import Elf
from oplib.target.firmware import COMPONENT, MANIFEST, PORT
from oplib.target.program_sizes import Layer, ProgramSizes, program_sizes

USAGE = "python -m oplib.size RUN [--json]"
SHOWN = 24  # symbols, of the largest; --json has all


def main() -> int:
    """Run the command line; return the exit code."""
    imports_done()
    arguments = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(arguments):
            print(f"usage: {USAGE}\n\n{str(__doc__).split(': ', 1)[1]}")
        elif "--version" in arguments:
            print(f"mcuformer {__version__}")
        else:
            _show(arguments)
    except McuformerError as error:
        return fail(error, error.exit_code)
    except OSError as error:
        return fail(of_system(error))
    except KeyboardInterrupt:
        return fail("interrupted", INTERRUPTED)
    return 0


def _show(arguments: list[str]) -> None:
    """Print the sizes of a run's programs.

    Raises:
        ConfigError: the arguments are not a run directory and ``--json``.
    """
    runs = [argument for argument in arguments if argument != "--json"]
    if len(runs) != 1 or runs[0].startswith("-"):
        raise ConfigError("wrong arguments", expected=USAGE)
    sizes = run_sizes(RunDir(runs[0]))
    if "--json" in arguments:
        print(json.dumps({name: size.dump() for name, size in sizes.items()}))
    else:
        print(*lines(sizes["device"]), sep="\n")


def run_sizes(run: RunDir) -> dict[str, ProgramSizes]:
    """Return the sizes of the programs of an export, by target.

    Raises:
        ArtifactError: there is no export, or a program is missing or not this export's.
    """
    path = run.file(f"{COMPONENT}/{MANIFEST}")
    content = read_json(path, "firmware")
    files = [run.file(name) for name in ELF_FILES.values() if run.file(name).exists()]
    if not run.file(ELF_FILES["device"]).exists():
        raise ArtifactError(
            "no program of this export: oplib.export builds it once the cross-compiler is "
            "installed (`make setup`)",
            where=run.file(ELF_FILES["device"]),
        )
    run.refuse_changed([run.file(COMPONENT), run.file(PORT), *files])
    with parsing(path):
        names, layers = Names(str(content["name"])), _layers(content)
    sources = {source.name for source in run.file(PORT).rglob("*.c")}
    return {
        target: program_sizes(Elf.read(run.file(name)), names, layers, sources)
        for target, name in ELF_FILES.items()
        if run.file(name) in files
    }


def _layers(content: Mapping[str, Any]) -> list[Layer]:
    """Return the calls of the network that a manifest tells of."""
    return [
        Layer(str(node["name"]), int(node["weights_bytes"]), tuple(map(str, node["parts"])))
        for node in content["nodes"]
    ]


def lines(sizes: ProgramSizes) -> Iterator[str]:
    """Yield the sizes of a program as text: by kind, by layer, by symbol."""
    for memory, total, parts in (
        ("flash", sizes.flash_bytes, sizes.flash),
        ("SRAM", sizes.sram_bytes, sizes.sram),
    ):
        yield f"{total:>10,}  {memory}"
        yield from (f"{size:>10,}    {kind}" for kind, size in parts.items())
        yield ""
    yield f"{'weights':>10}  {'parameters':>10}  layer"
    for layer in sizes.layers:
        yield f"{layer.weights_bytes:>10,}  {layer.parameters_bytes:>10,}  {layer.name}"
    yield ""
    yield f"{'bytes':>10}  {'section':<12}  {'kind':<12}  symbol (the largest {SHOWN})"
    for size in sizes.symbols[:SHOWN]:
        yield f"{size.size_bytes:>10,}  {size.section:<12}  {size.kind:<12}  {size.name}"


if __name__ == "__main__":
    sys.exit(main())
