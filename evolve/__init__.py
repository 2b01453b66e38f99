"""Moves the search space and searches subnets under a budget."""
