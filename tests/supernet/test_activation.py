from typing import get_args

from mcuformer.subnet import Activation
from supernet.activation import ACTIVATIONS


def test_every_activation_has_a_torch_form() -> None:
    assert set(ACTIVATIONS) == set(get_args(Activation))
