"""``python -m evolve.search``: find the most accurate subnet that fits the budget."""

from __future__ import annotations

import json
import sys
from typing import Any

from evolve.space_search.quality import check_feasible
from evolve.subnet_search.evolution import Candidate, EvolutionConfig, evolve
from evolve.subnet_search.population import Variation
from mcuformer.data.dataset import DataConfig, load
from mcuformer.run.artifact import Stage, read_json, save_arrays, write_bytes, write_json
from mcuformer.run.command import Command
from mcuformer.run.progress import say, track
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.target.target import TargetSettings


class SearchConfig(TargetSettings):
    """Configuration of the subnet search."""

    data: DataConfig
    strategy: EvolutionConfig


def stage(config: SearchConfig) -> Stage:
    """Return what the command reads and writes."""
    inputs = [config.run.file(name) for name in ("supernet.json", "supernet.safetensors")]
    outputs = ("subnet.json", "weights.safetensors", "search.jsonl")
    return Stage(SEARCH.name, config.content(), [*inputs, *config.data.files()], outputs)


def search(config: SearchConfig) -> None:
    """Search and write ``subnet.json``, its inherited weights and ``search.jsonl``.

    A joint supernet is searched at the point that ``space.json`` names.

    Raises:
        BudgetError: no subnet of the supernet's point fits.
    """
    supernet_file = config.run.file("supernet.json")
    content = read_json(supernet_file, "supernet")
    space = SearchSpace.parse(content["space"], where=str(supernet_file))
    own, joint = content["point"], content["point"] is None
    if joint:  # the space search says where in it to look
        own = read_json(config.run.file("space.json"), "space")["point"]
    point = SpacePoint.parse(own, where=str(supernet_file))
    target = config.target
    check_feasible([point], space, target.cost, target.limit)
    dataset = load(config.data, space.smallest(point).img_size)

    import torch

    from supernet.checkpoint import load_model, model_arrays
    from supernet.data import pad_value
    from supernet.evaluate import accuracy_percent
    from supernet.extract import extract
    from supernet.model import Supernet

    torch.set_num_threads(config.threads)
    supernet = Supernet(space, None if joint else point, pad_value(dataset.preprocessing))
    load_model(supernet, config.run.file("supernet.safetensors"))

    def evaluate(subnet: SubnetConfig) -> Candidate:
        cost = target.cost(subnet)
        accuracy = accuracy_percent(
            lambda x: supernet(x, subnet), dataset.steering, dataset.preprocessing
        )
        return Candidate(subnet, accuracy, cost.sram_bytes, cost.flash_bytes)

    lines: list[str] = []

    def journal(generation: int, candidates: list[Candidate]) -> None:
        lines.extend(json.dumps({"generation": generation, **_row(c)}) for c in candidates)

    settings = config.strategy
    variation = Variation(
        space,
        point,
        target.admits,
        settings.depth_probability,
        settings.embed_dim_probability,
        settings.block_probability,
    )
    generations = track(range(settings.generations), "subnet search")
    best = evolve(
        settings, variation, evaluate, stream(config.seed, "search"), generations, journal
    )
    say(
        f"best of {len(lines)} subnets: {best.accuracy_percent:.2f} % on steering data, "
        f"{best.sram_bytes} bytes of SRAM, {best.flash_bytes} of flash"
    )
    write_bytes(config.run.file("search.jsonl"), "".join(line + "\n" for line in lines).encode())
    vit = extract(supernet, best.subnet)
    save_arrays(config.run.file("weights.safetensors"), model_arrays(vit))
    write_json(config.run.file("subnet.json"), "subnet", vit.subnet.dump())


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "accuracy_percent": candidate.accuracy_percent,
        "sram_bytes": candidate.sram_bytes,
        "flash_bytes": candidate.flash_bytes,
        "subnet": candidate.subnet.dump(),
    }


SEARCH = Command("evolve.search", SearchConfig, stage, search)


if __name__ == "__main__":
    sys.exit(SEARCH.main())
