"""Pictures are files of bytes that do not change with the time of day."""

from __future__ import annotations

from dataclasses import replace

from mcuformer.pictures import MemoryUse, draw_memory


def test_a_memory_picture_is_drawn_twice_alike() -> None:
    calls = ["patch_embed", "blocks.0.mlp"]
    buffers = [{"image": 64, "patch_embed": 32}, {"patch_embed": 32, "scratch: tile": 16}]
    arena = MemoryUse("arena", buffers, 128, 96)
    picture = draw_memory(calls, [arena])
    assert picture.startswith(b"\x89PNG\r\n")
    assert picture == draw_memory(calls, [arena])
    assert picture != draw_memory(calls, [replace(arena, limit=100)])
    assert picture != draw_memory(calls, [arena, MemoryUse("fast arena", [{}, {"x": 8}], 9, 8)])
