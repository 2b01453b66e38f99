"""Lowering: the integers follow the float network."""

from __future__ import annotations

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from oplib.network.reference import run_float, run_integer


def test_integers_follow_the_float_network(
    random_network, small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    network = random_network(small_subnet, preprocessing)
    floating = run_float(network.floating, network.images)
    integer = run_integer(network.integer, network.images).astype(np.float64)
    assert np.corrcoef(floating.ravel(), integer.ravel())[0, 1] > 0.999
