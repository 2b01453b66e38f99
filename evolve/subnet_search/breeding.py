"""Breeding by rejection: children that are new and keep the limits."""

from __future__ import annotations

from collections.abc import Callable, Container

from evolve.subnet_search.candidate import Proposal
from evolve.subnet_search.problem import Problem
from mcuformer.subnet import SubnetConfig

ATTEMPTS = 10  # per child, before a fresh candidate takes its place


def bred(
    breed: Callable[[], SubnetConfig],
    count: int,
    problem: Problem,
    taken: Container[str],
) -> list[SubnetConfig]:
    """Return up to `count` different admissible children whose keys are not taken.

    A child may exceed the limits although its parents do not, so breeding is by rejection. It gives
    up after :data:`ATTEMPTS` draws per child: near a tight budget few fit.

    Args:
        breed: draws a child.
        count: number of children.
        problem: knows the limits.
        taken: keys that are refused.
    """
    found: dict[str, SubnetConfig] = {}
    for _ in range(ATTEMPTS * count):
        if len(found) == count:
            break
        child = breed()
        if child.key not in taken and child.key not in found and problem.takes(Proposal(child)):
            found[child.key] = child
    return list(found.values())
