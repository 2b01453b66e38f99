"""Quality of a space point: accuracy of its admissible subnets, and the share of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mcuformer.cost import Cost
from mcuformer.device import Budget
from mcuformer.errors import BudgetError
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig

CostOf = Callable[[SubnetConfig], Cost]


@dataclass(frozen=True)
class Admission:
    """Counts of sampled subnets by the verdict of a budget.

    Args:
        sampled: number of subnets.
        sram: number that exceed SRAM alone.
        flash: number that exceed flash alone.
        both: number that exceed both.
        time: number that exceed the time alone.
    """

    sampled: int
    sram: int
    flash: int
    both: int
    time: int = 0

    @property
    def fraction(self) -> float:
        """Admitted share of the subnets (rho)."""
        return 1.0 - self.refused / self.sampled

    @property
    def refused(self) -> int:
        """Number of refused subnets."""
        return self.sram + self.flash + self.both + self.time

    def dump(self) -> dict[str, int]:
        """Return the counts as plain containers, with the number of admitted subnets."""
        return {
            "sampled": self.sampled,
            "sram": self.sram,
            "flash": self.flash,
            "both": self.both,
            "time": self.time,
            "admitted": self.sampled - self.refused,
        }


def measure_admission(
    subnets: Iterable[SubnetConfig], cost_of: CostOf, budget: Budget
) -> tuple[Admission, list[SubnetConfig]]:
    """Count the subnets that the budget refuses, and why; return those it admits too."""
    # by (exceeds SRAM, exceeds flash)
    counts = {(True, False): 0, (False, True): 0, (True, True): 0, (False, False): 0}
    slow, admitted = 0, []
    for subnet in subnets:
        cost = cost_of(subnet)
        verdict = cost.footprint.exceeds(budget)
        counts[verdict] += 1
        if cost.admissible(budget):
            admitted.append(subnet)
        elif not any(verdict):
            slow += 1
    admission = Admission(
        sampled=sum(counts.values()),
        sram=counts[True, False],
        flash=counts[False, True],
        both=counts[True, True],
        time=slow,
    )
    return admission, admitted


def sample_point(
    space: SearchSpace, point: SpacePoint, num_samples: int, rng: np.random.Generator
) -> list[SubnetConfig]:
    """Draw subnets of one point uniformly."""
    return [space.sample(point, rng) for _ in range(num_samples)]


def sample_space(
    space: SearchSpace, num_samples: int, rng: np.random.Generator
) -> list[SubnetConfig]:
    """Draw subnets uniformly over all points of the space."""
    points = space.points()
    return [space.sample(points[int(rng.integers(len(points)))], rng) for _ in range(num_samples)]


def score(accuracy_percent: float, admitted_fraction: float, lambda_rho: float) -> float:
    """Return Q = Acc + lambda * rho (MCUFormer, section 3.1).

    The second term prefers points of which more subnets fit: with the same accuracy of a few
    samples, the search inside the point has more to choose from.

    >>> score(80.0, 0.5, lambda_rho=10.0)
    85.0
    """
    return accuracy_percent + lambda_rho * admitted_fraction


def check_feasible(
    points: Sequence[SpacePoint], space: SearchSpace, cost_of: CostOf, budget: Budget
) -> None:
    """Refuse a budget that the smallest subnet of every point exceeds.

    Raises:
        BudgetError: with the smallest SRAM and the smallest flash of any point or, if only the work
            or the time is exceeded, the least.
    """
    smallest = [cost_of(s) for point in points for s in space.smallest_of_each_rank(point)]
    if any(cost.admissible(budget) for cost in smallest):
        return
    fitting = [cost for cost in smallest if not any(cost.footprint.exceeds(budget))]
    macs = min((cost.macs for cost in fitting), default=0)
    if budget.macs is not None and macs > budget.macs:
        raise BudgetError(
            "no subnet of the space computes as little",
            where="budget.macs",
            got=budget.macs,
            expected=f"at least {macs}, of the smallest that fits",
        )
    times = [cost.ms_high for cost in fitting if cost.ms_high]
    if times:
        raise BudgetError(
            "no subnet of the space is as fast",
            where="budget.milliseconds",
            got=budget.milliseconds,
            expected=f"at least {min(times):g}, the modelled time of the fastest that fits",
        )
    footprints = [cost.footprint for cost in smallest]
    sram = min(footprints, key=lambda footprint: footprint.sram_bytes)
    flash = min(footprints, key=lambda footprint: footprint.flash_bytes)
    raise BudgetError(
        f"no subnet of the space fits {budget.sram_bytes} bytes of SRAM and {budget.flash_bytes} "
        f"of flash; the smallest footprints possible are {sram.sram_bytes} of SRAM (with "
        f"{sram.flash_bytes} of flash) and {flash.flash_bytes} of flash (with {flash.sram_bytes} "
        "of SRAM)",
        where="budget",
    )
