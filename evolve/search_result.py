"""What a search leaves: a row per candidate, and the winner with its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolve.evaluation.evaluator import Evaluator, Workbench
from evolve.subnet_search.candidate import Candidate
from evolve.subnet_search.pareto import front
from evolve.subnet_search.task import Task
from mcuformer.device import MemoryModel
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import RunDir, save_arrays, write_bytes, write_json
from supernet.pruning.counts import describe_pruning, pruning_counts
from supernet.pruning.settings import with_share

if TYPE_CHECKING:
    from supernet.vit import Vit


def evaluated_network(
    evaluator: Evaluator, bench: Workbench, history: Sequence[Candidate], candidate: Candidate
) -> Vit:
    """Return the network whose accuracy a candidate has, in evaluation mode.

    Raises:
        ArtifactError: pruned anew, it has another shape than the study records.
    """
    vit = evaluator.network(bench, Task(0, candidate.proposal, tuple(history)))
    if candidate.pruned is not None and vit.subnet != candidate.pruned.subnet:
        raise ArtifactError(
            f"candidate {candidate.key} was evaluated elsewhere, with other threads or versions; "
            "pruned here, it becomes another network; search with a study of this run",
            where="study",
            got=f"{vit.subnet.num_params} parameters",
            expected=candidate.pruned.subnet.num_params,
        )
    return vit


def describe_winner(
    evaluator: Evaluator, best: Candidate, candidates: int, memory_model: MemoryModel
) -> str:
    """Return the winner of so many candidates in one line."""
    time = "not modelled" if best.ms_high is None else f"at most {best.ms_high:,.1f} ms (modelled)"
    counts = _counts(evaluator, best)
    pruned = "" if counts is None else f"; {describe_pruning(counts)}"
    staged = "" if memory_model == "flash" else f" (budget.memory_model={memory_model})"
    return (
        f"best of {candidates} subnets: {best.accuracy_percent:.2f} % on steering data "
        f"(evaluator={evaluator.content()['name']}), "
        f"{best.sram_bytes} bytes of SRAM{staged}, {best.flash_bytes} of flash, time {time}{pruned}"
    )


def write_rows(
    run: RunDir,
    evaluator: Evaluator,
    bench: Workbench,
    candidates: Sequence[Candidate],
    int8: Mapping[str, float],
) -> None:
    """Write ``search.jsonl``; the front is of the candidates that keep the limits.

    Args:
        run: run directory.
        evaluator: the search's evaluator.
        bench: what it works with.
        candidates: candidates in their order, of which at least one keeps the limits.
        int8: int8 accuracies in percent by key.
    """
    fitting = [index for index, candidate in enumerate(candidates) if candidate.fits]
    losses = [bench.search.problem.losses(candidates[index]) for index in fitting]
    chosen = {fitting[index] for index in front(losses)}
    rows = [
        {**_row(evaluator, candidate, int8.get(candidate.key)), "on_front": index in chosen}
        for index, candidate in enumerate(candidates)
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    write_bytes(run.file("search.jsonl"), "".join(lines).encode())


def write_winner(
    run: RunDir,
    evaluator: Evaluator,
    bench: Workbench,
    history: Sequence[Candidate],
    best: Candidate,
) -> None:
    """Write ``subnet.json`` and ``weights.safetensors``.

    The weights are inherited from the supernet, or, of a pruned network, those that were evaluated.

    Raises:
        ArtifactError: pruned anew, it has another shape than the study records.
    """
    from supernet.checkpoint import model_arrays
    from supernet.extract import extract

    if best.pruned is None:
        vit = extract(bench.supernet, best.subnet)
    else:
        vit = evaluated_network(evaluator, bench, history, best)
    save_arrays(run.file("weights.safetensors"), model_arrays(vit))
    write_json(run.file("subnet.json"), "subnet", vit.subnet.dump())


def _row(evaluator: Evaluator, candidate: Candidate, int8_percent: float | None) -> dict[str, Any]:
    counts = _counts(evaluator, candidate)
    return {
        "accuracy_percent": candidate.accuracy_percent,
        "sram_bytes": candidate.sram_bytes,
        "flash_bytes": candidate.flash_bytes,
        "macs": candidate.deployed.macs,
        "ms_high": candidate.ms_high,
        "images": candidate.images,
        "int8_percent": int8_percent,
        "fits": candidate.fits,
        "subnet": candidate.deployed.dump(),
        "pruned": None if counts is None else {"from": candidate.subnet.dump(), **counts},
    }


def _counts(evaluator: Evaluator, candidate: Candidate) -> dict[str, Any] | None:
    """Return what pruning took away, or None."""
    settings, pruned = evaluator.prunes, candidate.pruned
    if settings is None or pruned is None:
        return None
    settings = with_share(settings, candidate.proposal.training.pruning_share)
    return pruning_counts(settings, candidate.subnet, pruned.subnet, pruned.nonzero_params)
