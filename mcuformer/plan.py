"""What a run would do: its stages, their states, expected time and disk space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from evolve.space import SPACE
from evolve.space_search.quality import measure_admission, sample_point
from mcuformer.chain import CHAIN, ChainConfig, stage_config, stages
from mcuformer.errors import McuformerError
from mcuformer.report.measure import REPORT
from mcuformer.report.terminal import print_table, table
from mcuformer.rounds import latest
from mcuformer.run.command import Command, refuse_unsound_inputs
from mcuformer.run.progress import duration
from mcuformer.run.threads import idle_threads
from mcuformer.seed import stream
from mcuformer.space import SearchSpace, SpacePoint
from mcuformer.subnet import SubnetConfig
from oplib.export import EXPORT
from supernet.train import TRAIN

STAGE_SECONDS = 2.0  # of every stage besides its work: data, records
PLANNING_SECONDS = 10.0  # of the first one: the subnets of a space are judged, and remembered
BUILD_SECONDS = 3.0  # of an export or a report, for its builds
EMULATED_PER_SECOND = 500e6  # instructions of an emulated chip
INSTRUCTIONS_PER_MAC = {"cortex-m4": 1.3, "cortex-m7": 1.3}  # which multiply in pairs
SINGLE_PER_MAC = 3.0  # on the other cores
REPORTED_NETWORKS = 4  # of which a report classifies the test images: inherited, float, int8, host
SAMPLES = 40  # subnets of which those that fit stand for the networks that are trained
FLOAT_BYTES = 4
CROWDS = (1, 8, 64)  # numbers of torchrun's processes, each with a device such as this one
DISTRIBUTED = {command.name for command in CHAIN if command.distributed}
RESULT_FILES = 3  # weights of the supernet, the search's winner and the fine-tuned network


@dataclass(frozen=True)
class Speed:
    """Speed of this machine for one configuration, in seconds.

    Args:
        supernet_step: a training step of a supernet, in the mean over points.
        network_step: a step of fine-tuning.
        candidate_step: a training step of a candidate of the search; 0 if none is trained.
        evaluation: the classification of one image by a subnet.
        picture: the decoding of one picture; 0 for a set of arrays.
    """

    supernet_step: float
    network_step: float
    candidate_step: float
    evaluation: float
    picture: float


@dataclass(frozen=True)
class Counts:
    """Numbers of images of the three splits."""

    train: int
    steering: int
    test: int

    @property
    def all(self) -> int:
        """Number of images of all splits."""
        return self.train + self.steering + self.test


def show_plan(config: ChainConfig) -> None:
    """Print the stages, their states, and the expected time and disk space."""
    states = stage_states(latest(config))
    waiting = {name for name, state in states.items() if state != "complete"}
    expected: Mapping[str, float] = {}
    crowds: list[dict[str, float]] = []
    if waiting:
        survey = config.data.survey()
        counts = Counts(survey.train, survey.steering, survey.test)
        speed = measured_speed(config)
        print(f"images: {counts.train} training, {counts.steering} steering, {counts.test} test")
        print(space_search_line(config))
        print(
            "measured now: "
            f"{1e3 * speed.supernet_step:.1f} ms per training step of a supernet, "
            f"{1e3 * speed.network_step:.1f} ms of a network, "
            f"{1e3 * speed.evaluation:.3f} ms per image of an evaluation, "
            f"{1e3 * speed.picture:.1f} ms per picture that is decoded"
        )
        crowds = [expected_seconds(config, counts, speed, count) for count in CROWDS]
        expected = crowds[0]
    rows = [
        (name, state, duration(expected[name]) if name in waiting else "0 s")
        for name, state in states.items()
    ]
    print_table(table(f"plan of {config.run.path}", ("stage", "state", "expected time"), rows))
    total = sum(expected[name] for name in waiting)
    print(f"together: about {duration(total)}")
    if waiting & DISTRIBUTED:
        shared = [sum(seconds[name] for name in waiting & DISTRIBUTED) for seconds in crowds]
        times = ", ".join(
            f"{duration(seconds)} with {count}"
            for seconds, count in zip(shared, CROWDS, strict=True)
        )
        print(f"of these, the searches and the supernet by processes of torchrun: {times}")
    megabytes = expected_bytes(config) / 1e6
    print(f"disk: at most about {megabytes:.0f} MB under {config.run.path} and {config.points_dir}")


def space_search_line(config: ChainConfig) -> str:
    """Return how often the space search visits points, and for how long."""
    search, shape = config.space_search, config.space.shape
    how = f"at most {search.visits(shape)} visits of {search.visit_epochs} epochs"
    if not search.trains:
        how = "by sizes, without training"
    return f"space search: {how}, in a grid of {math.prod(shape)} points"


def stage_states(config: ChainConfig) -> dict[str, str]:
    """Return the state of each stage: complete, or why it will run."""
    states: dict[str, str] = {}
    for command in stages(config):
        earlier = [name for name, state in states.items() if state != "complete"]
        state = _state(command, config)
        if state == "complete" and earlier:
            state = f"stale if {earlier[0]} changes"
        states[command.name] = state
    return states


def _state(command: Command[Any], config: ChainConfig) -> str:
    """Return the state of a stage, as if those before it were complete."""
    if not config.run.record_file(command.name).exists():
        return "not run yet"
    try:
        stage = command.stage(stage_config(command, config))
        refuse_unsound_inputs(config.run, stage)
        return config.run.why_stale(stage) or "complete"
    except McuformerError:
        return "waits for an earlier stage"


def measured_speed(config: ChainConfig) -> Speed:
    """Measure this machine on made-up images.

    Supernets are those of the middle of the space and of its largest point; the network that is
    fine-tuned is the largest that fits of a few samples of the middle, a candidate their median.
    """
    import torch

    from supernet.data import pad_value
    from supernet.model import Supernet
    from supernet.speed import evaluation_seconds, network_step_seconds, supernet_step_seconds
    from supernet.task import SupernetSetting

    torch.set_num_threads(config.threads or idle_threads())
    space, data = config.space, config.data
    setting = SupernetSetting(
        config.train, config.sampling, config.seed, Path(config.points_dir), config.target
    )
    steps, evaluations = {}, {}
    for point in measured_points(space):
        preprocessing = data.preprocessing.resized_to(space.smallest(point).img_size)
        supernet = None if config.axes == "all" else point
        steps[point] = supernet_step_seconds(space, supernet, preprocessing, setting)
        evaluations[point] = evaluation_seconds(space, point, preprocessing)
    networks, seed = measured_networks(config), config.seed
    preprocessing = data.preprocessing.resized_to(networks[0].img_size)
    candidates = [
        network_step_seconds(networks[len(networks) // 2], preprocessing, recipe, seed)
        for recipe in config.evaluator.recipes("evaluator").values()
    ]
    taught_by = Supernet(space, space.middle(), pad_value(preprocessing))
    return Speed(
        supernet_step=mean_over_points(space, steps),
        network_step=network_step_seconds(
            networks[-1], preprocessing, config.finetune, seed, taught_by
        ),
        candidate_step=sum(candidates),
        evaluation=mean_over_points(space, evaluations),
        picture=data.seconds_per_picture(),
    )


def measured_networks(config: ChainConfig) -> list[SubnetConfig]:
    """Return samples of the middle of the space that fit, by work; of none the smallest subnet."""
    space, target = config.space, config.target
    samples = sample_point(space, space.middle(), SAMPLES, stream(config.seed, "plan"))
    _, admitted = measure_admission(samples, target.cost, target.limit)
    return sorted(admitted, key=lambda subnet: subnet.macs) or [space.smallest(space.middle())]


def measured_points(space: SearchSpace) -> list[SpacePoint]:
    """Return the middle of the space and the point of the largest subnet, which may be one."""
    largest = max(space.points(), key=lambda point: space.largest(point).macs)
    return list(dict.fromkeys((space.middle(), largest)))


def mean_over_points(space: SearchSpace, measured: Mapping[SpacePoint, float]) -> float:
    """Return the mean of a time over all points of a space, of which one or two were measured.

    It is linear in the multiply-accumulates of a point's largest subnet, and not below 0 for none.
    """
    work = {point: float(space.largest(point).macs) for point in space.points()}
    first, last = min(measured, key=work.__getitem__), max(measured, key=work.__getitem__)
    if work[first] == work[last]:
        return sum(measured.values()) / len(measured)
    slope = (measured[last] - measured[first]) / (work[last] - work[first])
    slope = min(max(slope, 0.0), measured[first] / work[first])
    return measured[first] + slope * (sum(work.values()) / len(work) - work[first])


def expected_seconds(
    config: ChainConfig, counts: Counts, speed: Speed, processes: int = 1
) -> dict[str, float]:
    """Return the seconds that each stage may take at most, at the measured speed.

    Args:
        config: configuration of the chain.
        counts: numbers of images.
        speed: speed of one process.
        processes: number of torchrun's processes, which are assumed to share work without loss.
    """
    from supernet.validation import evaluations_per_epoch, validation_images

    search, strategy = config.space_search, config.strategy
    supernet_epoch = counts.train // config.train.batch_size * speed.supernet_step
    visits = config.rounds * search.visits(config.space.shape)
    visit = search.visit_epochs * supernet_epoch
    visit += search.accuracy_subnets * counts.steering * speed.evaluation
    probes = evaluations_per_epoch(counts.steering) * speed.evaluation
    warm = config.warm_start_epochs
    # a chosen point has been visited, and so trained, at least once, but not from a joint start
    visited = search.visit_epochs if visits and config.axes == "point" and not warm else 0
    epochs = max(0, config.train.epochs - visited)
    effort = config.evaluator.effort(strategy.evaluations, counts.train, counts.steering)
    trained_on = counts.train + counts.steering
    finetune_epoch = trained_on // config.finetune.batch_size * speed.network_step
    finetune_epoch += validation_images(counts.steering) * speed.evaluation
    emulated = emulated_seconds(config)
    found = effort.steps * speed.candidate_step + effort.images * speed.evaluation
    reported = emulated + REPORTED_NETWORKS * speed.evaluation
    work = {
        SPACE.name: visits * visit + warm * supernet_epoch,
        TRAIN.name: config.rounds * epochs * (supernet_epoch + probes),
        SEARCH.name: config.rounds * found,
        FINETUNE.name: config.finetune.epochs * finetune_epoch,
        EXPORT.name: BUILD_SECONDS + config.export.check_images * emulated,
        REPORT.name: BUILD_SECONDS + counts.test * reported,
    }
    parts = {name: processes if name in DISTRIBUTED else 1 for name in work}
    names = [command.name for command in stages(config)]
    expected = {name: STAGE_SECONDS + work[name] / parts[name] for name in names}
    # the others find the pictures in the cache
    expected[names[0]] += PLANNING_SECONDS + counts.all * speed.picture
    return expected


def emulated_seconds(config: ChainConfig) -> float:
    """Return the seconds in which the emulated chip may classify one image."""
    macs = measured_networks(config)[-1].macs
    per_mac = INSTRUCTIONS_PER_MAC.get(config.device.core, SINGLE_PER_MAC)
    return macs * per_mac / EMULATED_PER_SECOND


def expected_bytes(config: ChainConfig) -> int:
    """Return a rough upper bound of a run's disk space in bytes: every network is the largest."""
    # a checkpoint holds the weights, Adam's two moments and, optionally, averaged weights
    copies = 3 if config.train.ema_decay is None else 4
    joint = config.axes == "all"
    # one per visit, one each for supernet training and fine-tuning, and one being written
    visits = 0 if joint else config.rounds * config.space_search.visits(config.space.shape)
    checkpoints = visits + 3
    largest = config.space.largest(config.space.points()[-1])
    weights = (largest.factored if joint else largest).num_params
    return (checkpoints * copies + RESULT_FILES) * weights * FLOAT_BYTES
