"""Host C that takes its memory from the heap: one block of exact size per group of buffers.

A group is what the planner places as one piece. In an arena the neighbour of a tensor is another
tensor, and an address sanitizer finds no access beyond the first. Here it does.
"""

from __future__ import annotations

from pathlib import Path

from oplib.codegen.component import Component
from oplib.codegen.model_c import Arena, emit_model
from oplib.graph import Node
from oplib.plan.arena import SCRATCH, heap_blocks
from oplib.plan.schedule import Schedule
from oplib.target.firmware import COMPONENT


class Heap(Arena):
    """Blocks from ``malloc``, allocated at first use."""

    def __init__(self, scheduled: Schedule) -> None:
        super().__init__(scheduled)
        self._blocks, self._sizes = heap_blocks(scheduled.calls)

    def definition(self) -> list[str]:
        """Return the lines that define the blocks and the function that allocates them."""
        sizes = ", ".join(map(str, self._sizes))
        count = len(self._sizes)
        return [
            "#include <stdlib.h>",
            "",
            f"static uint8_t *blocks[{count}];",
            "",
            "static void allocate(void)",
            "{",
            f"    static const size_t sizes[{count}] = {{{sizes}}};",
            f"    for (int32_t i = 0; i < {count}; i++)",
            "        if (blocks[i] == NULL)",
            "            blocks[i] = malloc(sizes[i]);",
            "}",
        ]

    def preparation(self) -> list[str]:
        """Return the call that allocates the blocks."""
        return ["    allocate();"]

    def tensor(self, name: str) -> str:
        """Return the address of a tensor in its block, as C."""
        block, start = self._blocks[name]
        return f"blocks[{block}] + {start}"

    def kept(self, name: str) -> str:
        """Return the address of a tensor in its block, which it may need to allocate, as C."""
        return f"((void)context, allocate(), {self.tensor(name)})"

    def scratch(self, node: Node) -> str | None:
        """Return the address of a node's scratch, a block of its own, as C, if it needs any."""
        key = f"{SCRATCH}{node.name}"
        return self.tensor(key) if key in self._blocks else None


def use_heap(folder: Path, component: Component) -> None:
    """Rewrite the calls of an exported network for the host, with its memory on the heap.

    Args:
        folder: what :func:`oplib.target.firmware.write_firmware` wrote.
        component: the network.
    """
    source = folder / COMPONENT / component.names.file(".c")
    source.write_text(emit_model(component, Heap(component.scheduled)))
