"""A folder for projects of STM32CubeIDE: headers in Inc, sources in Src, no flags."""

from __future__ import annotations

from oplib.codegen.weights_c import WEIGHTS_SECTION
from oplib.package.sources import Sources

README = """\
# @name@ for STM32CubeIDE

@DESCRIPTION@. Written by mcuformer @VERSION@; the next export replaces this folder.

1. Copy this folder into your project's, beside `Core`, and call it `mcuformer`. A second network
   goes into the same folder, where it replaces equal files: export both for the same core.

       cp -r cube YOUR_PROJECT/mcuformer

   If the code is to stay elsewhere, link it: right-click the project > New > Folder > Advanced >
   Link to alternate location.

2. In the IDE press F5 on the project, then open its Properties > C/C++ General > Paths and Symbols,
   for all configurations:
   * Source Location > Add Folder: `mcuformer`
   * Includes > GNU C > Add > Workspace: `mcuformer/Inc` (a linked folder by its path)

   Nothing else: no macro, no other include path, no option of compiler or linker. In a Debug build
   the network is slow. To compile `mcuformer` with -O2 there as well, right-click the folder >
   Properties > C/C++ Build > Settings > MCU GCC Compiler > Optimization.

3. In `Core/Src/main.c`, between USER CODE comments:

       #include "@name@.h"

@INDENTED@

   and after the initialisation of the chip, `test_network()` returns @NAME@_OK (0) if the network
   computes what the reference does. `Inc/@name@.h` says what else to call.

Weights are C text in the section `@SECTION@.@name@`, which the linker script takes with
`*(.rodata*)`. For external flash give that section a line of its own, before this one.
"""


def cube_files(sources: Sources) -> dict[str, bytes]:
    """Return the files of the folder."""
    program = sources.fill("@PROGRAM@").decode().rstrip("\n").splitlines()
    indented = "\n".join(f"       {line}".rstrip() for line in program)
    return {
        "README.md": sources.fill(
            README.replace("@INDENTED@", indented).replace("@SECTION@", WEIGHTS_SECTION)
        ),
        **{f"Inc/{name}": content for name, content in sources.headers.items()},
        **{f"Src/{name}": content for name, content in sources.code.items()},
    }
