"""``mcuformer export``: the integers of a trained network for another device, as they are."""

from __future__ import annotations

from pathlib import Path

from mcuformer.errors import ConfigError
from mcuformer.zoo_entry import PREFIX, in_zoo
from oplib.export import EXPORT

SETTLED = ("network", "data", "weights", "vit")  # keys that a network in integers leaves no choice


def export_network(place: str, *arguments: str) -> int:
    """Export the integers of ``zoo:NAME``, or of a run, for any device; return the exit code.

    It is ``python -m oplib.export network=PLACE``, with a folder of its own as the run.

    Args:
        place: ``zoo:NAME``, or a run's folder.
        arguments: settings of the export, ``key=value``; ``device=`` among them.

    Raises:
        ConfigError: there is no device, or a key that has no effect.
    """
    keys = [argument.partition("=")[0].lstrip("+~") for argument in arguments]
    for key in keys:
        if key.partition(".")[0] in SETTLED:
            raise ConfigError("settled by the network that is exported", where=key)
    if "device" not in keys:
        raise ConfigError("missing", where="device", expected="device=NAME or device=./FILE.yaml")
    own = [] if "run_dir" in keys else [f"run_dir={parent_folder(place)}/${{device.name}}"]
    return EXPORT.main([f"network={place}", *own, *arguments])


def parent_folder(place: str) -> str:
    """Return where exports of a network are unless `run_dir` says so: a folder per device in it.

    >>> parent_folder("zoo:digits"), parent_folder("runs/demo/")
    ('runs/zoo/digits', 'runs/demo_on')
    """
    if in_zoo(place):
        return f"runs/zoo/{place.removeprefix(PREFIX)}"
    path = Path(place) if Path(place).name.strip(".") else Path(place).resolve()
    return f"{path}_on"
