"""Pictures are files of bytes that do not change with the time of day."""

from __future__ import annotations

from mcuformer.pictures import draw_memory


def test_a_memory_picture_is_drawn_twice_alike() -> None:
    calls = ["patch_embed", "blocks.0.mlp"]
    buffers = [{"image": 64, "patch_embed": 32}, {"patch_embed": 32, "scratch: tile": 16}]
    picture = draw_memory(calls, buffers, 128, 96)
    assert picture.startswith(b"\x89PNG\r\n")
    assert picture == draw_memory(calls, buffers, 128, 96)
    assert picture != draw_memory(calls, buffers, 100, 96)
