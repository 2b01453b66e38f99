"""Spaces, subnets and devices as values; data sets and runs; above all packages, the chain."""

from mcuformer.interrupt import guard_imports

__version__ = "0.1.0"

guard_imports()
