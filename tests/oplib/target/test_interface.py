"""The C interface of a network, called as an application calls it: statuses, strips, hooks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms, Passes
from oplib.network.reference import run_integer
from oplib.target import host

OK, NOT_YET, NOT_INITIALISED, TOO_SMALL, UNALIGNED = 0, 1, -1, -2, -3
WRONG_IMAGE, NO_ROWS = -5, -6
MY_ERROR = -123
HOOK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)
ROWS = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int32, ctypes.c_int32
)


class Context(ctypes.Structure):
    """struct model_context of an image in memory; its private members are not looked at."""

    _fields_ = [
        ("hook", HOOK),
        ("user", ctypes.c_void_p),
        ("private", ctypes.c_uint8 * 64),
    ]


class StripContext(ctypes.Structure):
    """struct model_context of an image in strips."""

    _fields_ = [
        ("fetch_rows", ROWS),
        ("hook", HOOK),
        ("user", ctypes.c_void_p),
        ("private", ctypes.c_uint8 * 96),
    ]


class Application:
    """One network with an arena of its own."""

    def __init__(self, library: ctypes.CDLL, context: ctypes.Structure, arena_bytes: int) -> None:
        self.library, self.context = library, context
        self.library.model_logits.restype = ctypes.POINTER(ctypes.c_int32)
        self.memory = np.zeros(arena_bytes // 8 + 2, np.uint64)
        self.arena_bytes = arena_bytes

    def call(self, name: str, *arguments: Any) -> int:
        function = getattr(self.library, f"model_{name}")
        return int(function(ctypes.byref(self.context), *arguments))

    def init(self, offset: int = 0, missing: int = 0) -> int:
        place = ctypes.c_void_p(self.memory.ctypes.data + offset)
        return self.call("init", place, ctypes.c_size_t(self.arena_bytes - missing))

    def logits(self) -> list[int]:
        return list(self.library.model_logits(ctypes.byref(self.context))[:10])


def set_image(application: Application, image: np.ndarray, size: int) -> int:
    place = ctypes.c_void_p(image.ctypes.data)
    return application.call("set_image", place, ctypes.c_size_t(size))


@pytest.fixture
def library(
    small_network, write: Callable[..., Path], stm32f100: Device, tmp_path: Path, host_tools: None
) -> Iterator[ctypes.CDLL]:
    built = host.build(write(small_network, stm32f100), tmp_path / "host", sanitize="undefined")
    with host.loaded(built) as loaded:
        yield loaded


def test_what_is_wrong_is_a_status(small_network, library: ctypes.CDLL) -> None:
    arena_bytes = small_network.scheduled.plan.arena_bytes
    application = Application(library, Context(), arena_bytes)
    image = small_network.images[0]
    assert application.call("run") == NOT_INITIALISED
    assert set_image(application, image, 64) == NOT_INITIALISED
    assert application.init(missing=1) == TOO_SMALL
    assert application.call("run") == TOO_SMALL
    assert application.init(offset=4) == UNALIGNED
    assert application.call("init", None, ctypes.c_size_t(arena_bytes)) == TOO_SMALL
    assert application.call("selftest") == TOO_SMALL
    assert application.init() == OK
    assert set_image(application, image, 63) == WRONG_IMAGE
    assert set_image(application, image, 64) == OK
    assert application.call("run") == OK
    assert application.logits() == run_integer(small_network.integer, image[None])[0].tolist()
    assert application.call("class") == int(np.argmax(application.logits()))
    assert application.call("selftest") == OK


def test_two_contexts_run_at_once_and_a_hook_sees_every_call(
    small_network, library: ctypes.CDLL
) -> None:
    """The hook of one network runs the other one."""
    arena_bytes = small_network.scheduled.plan.arena_bytes
    first, second = (Application(library, Context(), arena_bytes) for _ in range(2))
    images, calls = small_network.images, []
    expected = run_integer(small_network.integer, images[:2]).tolist()

    def hook(user: int, call: int) -> None:
        calls.append((user, call))
        set_image(second, images[1], 64)
        assert second.call("run") == OK
        assert second.logits() == expected[1]

    assert first.init() == OK
    assert second.init() == OK
    first.context.hook, first.context.user = HOOK(hook), 77
    set_image(first, images[0], 64)
    assert first.call("run") == OK
    assert first.logits() == expected[0]
    count = len(small_network.scheduled.calls.nodes)
    assert calls == [(77, number) for number in range(count)]


STRIPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "patches": ({}, {}),
    "passes": ({}, {"patch_kernel": 1}),
    "convolutions": ({"tokenizer": "conv2", "patch_size": 4, "stem_dim": 8}, {}),
}


@pytest.mark.usefixtures("host_tools")
@pytest.mark.parametrize("case", STRIPS)
def test_rows_may_come_late_fail_and_begin_again(
    random_network,
    write: Callable[..., Path],
    *,
    small_subnet: SubnetConfig,
    preprocessing: Preprocessing,
    stm32f100: Device,
    tmp_path: Path,
    case: str,
) -> None:
    change, forms = STRIPS[case]
    subnet = SubnetConfig.parse(small_subnet.dump() | change)
    network = random_network(subnet, preprocessing, 4, Forms(passes=Passes(input="strip"), **forms))
    built = host.build(write(network, stm32f100), tmp_path / "host", sanitize="undefined")
    rng = np.random.default_rng(0)
    answers: list[int] = []
    image = network.images[0]

    def rows(user: int, place: Any, first: int, count: int) -> int:
        answer = answers.pop(0) if answers else OK
        if answer == OK:
            ctypes.memmove(place, image[first : first + count].tobytes(), count * image[0].size)
        return answer

    with host.loaded(built) as loaded:
        arena_bytes = network.scheduled.plan.arena_bytes
        application = Application(loaded, StripContext(), arena_bytes)
        assert application.init() == OK
        assert application.call("run") == NO_ROWS
        application.context.fetch_rows = ROWS(rows)
        for image in network.images[:3]:
            expected = run_integer(network.integer, image[None])[0].tolist()
            answers[:] = [OK, MY_ERROR]
            assert application.call("run") == MY_ERROR
            answers[:] = [OK, NOT_YET, *map(int, rng.integers(0, 2, 20))]
            statuses = [NOT_YET]
            while statuses[-1] == NOT_YET:
                statuses.append(application.call("run"))
            assert len(statuses) > 2
            assert statuses[-1] == OK
            assert application.logits() == expected
            answers[:] = [OK, NOT_YET]
            assert application.call("run") == NOT_YET
            loaded.model_restart(ctypes.byref(application.context))
            assert application.call("run") == OK
            assert application.logits() == expected
