"""Names of networks: C identifiers that collide with nothing."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from oplib.codegen.names import NetworkName

ADAPTER = TypeAdapter(NetworkName)


@pytest.mark.parametrize("name", ["digits", "m", "net_2", "fashion_mnist_64k"])
def test_identifiers_are_names(name: str) -> None:
    assert ADAPTER.validate_python(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("Digits", "2net", "my-net", "a__b", "_net", "net_", "", "ü", "n" * 33, "a b", "net\n"),
        *("int", "class", "string", "test", "oplib", "oplib_net", "network", "port", "main"),
        *("isa", "tile", "softmax_s8", "semihosting"),  # files of the firmware
    ],
)
def test_other_texts_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(name)
