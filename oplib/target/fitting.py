"""The schedule with which a network fits a device, or what it needs more."""

from __future__ import annotations

from mcuformer.cost import Cost
from mcuformer.errors import BudgetError, InternalError
from mcuformer.subnet import SubnetConfig
from oplib.plan.schedule import Schedule
from oplib.plan.timeline import explain
from oplib.target.target import Target


def fitting_schedule(target: Target, subnet: SubnetConfig) -> tuple[Cost, Schedule]:
    """Return the subnet's cost, planned block by block, and the whole network's schedule.

    Raises:
        BudgetError: the network does not fit, with the bytes that it needs; or it is too slow, with
            its least time in these bytes.
        InternalError: the plan of the whole network differs from the footprint.
    """
    cost, scheduled, limit = target.cost(subnet), target.schedule(subnet), target.limit
    footprint = cost.footprint
    for name in ("arena_bytes", "fast_bytes"):
        got, expected = getattr(scheduled.plan, name), getattr(footprint, name)
        if got != expected:
            raise InternalError(
                f"the network's plan needs other {name} than its footprint promised",
                got=got,
                expected=expected,
            )
    over_sram, over_flash = footprint.exceeds(limit)
    if over_sram or over_flash:
        reason = f"; {explain(scheduled, target.forms)}" if over_sram else ""
        staged = f" ({footprint.staged_bytes} staged weights)" if footprint.staged_bytes else ""
        got = f"{footprint.sram_bytes} bytes of SRAM{staged} and {footprint.flash_bytes} of flash"
        expected = f"at most {limit.sram_bytes} and {limit.flash_bytes}"
        for share in footprint.overflowing(limit):
            got += f", {footprint.held_by(share)} in region {share.region}"
            expected += f", {share.size_bytes} in region {share.region}"
        raise BudgetError(
            f"the network does not fit {target.device.name}{reason}",
            where="budget",
            got=got,
            expected=expected,
        )
    if cost.too_slow(limit):
        raise BudgetError(
            f"the network is too slow for {target.device.name}, in the fastest schedule that fits",
            where="budget.milliseconds",
            got=f"{cost.ms_high:g} ms (modelled)",
            expected=f"at most {limit.milliseconds:g}",
        )
    return cost, scheduled
