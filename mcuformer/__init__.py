"""Spaces, subnets and devices as values; data sets and runs; above all packages, the chain."""

__version__ = "0.1.0"
