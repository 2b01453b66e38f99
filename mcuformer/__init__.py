"""The vocabulary of MCUFormer: spaces, subnets, devices, budgets and artefacts."""

__version__ = "0.1.0"
