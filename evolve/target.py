"""What commands that search under a budget share: device, budget and the cost of a subnet."""

from __future__ import annotations

from mcuformer.device import Budget, BudgetConfig, Device, Footprint
from mcuformer.run.command import Settings
from mcuformer.subnet import SubnetConfig
from oplib.forms import Forms
from oplib.plan.footprint import footprint


class TargetSettings(Settings):
    """Settings of a command that asks what fits.

    Args:
        forms: of the integer operators, which memory depends on.
    """

    device: Device
    budget: BudgetConfig
    forms: Forms

    def cost(self, subnet: SubnetConfig) -> Footprint:
        """Return the bytes of a subnet's firmware, by the exporter's own planner."""
        return footprint(subnet, self.device, self.forms, self.limit().sram_bytes)

    def limit(self) -> Budget:
        """Return the resolved budget.

        Raises:
            BudgetError: it is beyond what the device has.
        """
        return Budget.of(self.budget, self.device)
