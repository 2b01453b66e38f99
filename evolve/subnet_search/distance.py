"""Transport distance between architectures, for the kernel of a Gaussian process.

Source: OTMANN (Kandasamy et al., 2018, section 3), with the layers of a vision transformer. The
mass of a layer moves to layers of the other network, at a cost per unit that grows with the
difference of both layers, or stays unmatched. A transformer is a chain of layers, so one position
per layer stands for OTMANN's lengths of paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mcuformer.errors import InternalError
from mcuformer.subnet import LinearName, SubnetConfig

Matrix = npt.NDArray[np.float64]

MASS_MACS = 1000.0  # multiply-accumulates per unit of mass
UNMATCHED = 1.0  # cost of a unit of mass without a partner, in either network
PATCH, ATTENTION, MLP, HEAD = range(4)  # labels; mass moves inside one, or from ATTENTION to MLP
ACROSS = 1.0  # cost of a unit that moves from attention to MLP, besides their positions
POSITION = 1.0  # cost of a unit per difference of positions: 0 is the first layer, 1 the last
# Further costs of a unit that moves inside a label, per difference of one. A step of a space (a
# head, half a ratio, 16 channels) costs about a tenth of an unmatched unit.
NUM_HEADS, HEAD_DIM, MLP_RATIO, RANK_RATIO = 0.1, 0.1 / 16, 0.2, 0.5
PATCH_SIZE = 0.05
OTHER_NAME = 0.2  # of an activation or a tokenizer
BATCH = 2000  # variables of one linear program, which solves several pairs
DIGITS = 9  # of a distance per mass: later ones depend on the pairs that are solved together


@dataclass(frozen=True)
class Layers:
    """The layers of a network, in order.

    Args:
        label: label of each layer, (n,).
        mass: mass of each layer, (n,).
        position: place of each layer from 0 to 1, (n,).
        features: numbers that describe a layer, times their costs, (n, 3).
        name: name of the activation or the tokenizer, empty for other layers, (n,).
    """

    label: npt.NDArray[np.int64]
    mass: Matrix
    position: Matrix
    features: Matrix
    name: npt.NDArray[np.str_]


@lru_cache(maxsize=65536)
def layers_of(subnet: SubnetConfig) -> Layers:
    """Return the layers of a subnet; their masses sum to its MACs in thousands."""
    tokens, dim = subnet.num_tokens, subnet.embed_dim
    first = sum(9 * c.in_chans * c.out_chans * c.size**2 for c in subnet.convs)
    if subnet.tokenizer == "patch":
        first = subnet.num_patches * subnet.in_chans * subnet.patch_size**2 * dim
    rows: list[tuple[int, float, tuple[float, ...], str]] = [
        (PATCH, first, (PATCH_SIZE * subnet.patch_size, 0, 0), subnet.tokenizer)
    ]
    relative = 0 if subnet.relative_position is None else 4 * tokens * subnet.grid_size
    for index, block in enumerate(subnet.blocks):
        attention = _linears(subnet, index, "qkv", "proj")
        attention += (2 * tokens**2 + relative) * block.attn_dim
        ratio = RANK_RATIO * subnet.mean_ratio(index, ("qkv", "proj"))
        sizes = (NUM_HEADS * block.num_heads, HEAD_DIM * block.head_dim, ratio)
        rows.append((ATTENTION, attention, sizes, ""))
        ratio = RANK_RATIO * subnet.mean_ratio(index, ("fc1", "fc2"))
        sizes = (MLP_RATIO * block.mlp_ratio, 0, ratio)
        rows.append((MLP, _linears(subnet, index, "fc1", "fc2"), sizes, block.activation))
    rows.append((HEAD, dim * subnet.num_classes, (0, 0, 0), ""))
    labels, macs, features, names = zip(*rows, strict=True)
    return Layers(
        np.array(labels),
        np.array(macs) / MASS_MACS,
        np.linspace(0, 1, len(rows)),
        np.array(features, np.float64),
        np.array(names),
    )


def _linears(subnet: SubnetConfig, index: int, *names: LinearName) -> int:
    """Return the multiply-accumulates of some linears of a block, for all tokens."""
    total = 0
    for name in names:
        features_in, features_out = subnet.linear_shape(index, name)
        rank = subnet.rank(index, name)
        total += features_in * features_out if rank is None else rank * (features_in + features_out)
    return subnet.num_tokens * total


def distance(one: SubnetConfig, other: SubnetConfig) -> float:
    """Return the distance of two subnets, in thousands of MACs.

    It is 0 for subnets with equal layers, and at most the MACs of both.
    """
    return float(DistanceTable().between([one], [other])[0, 0])


class DistanceTable:
    """Distances that are computed once per pair of subnets."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], float] = {}

    def between(self, ones: Sequence[SubnetConfig], others: Sequence[SubnetConfig]) -> Matrix:
        """Return the distances (n, m) of every subnet to every other, in thousands of MACs."""
        by_key = {subnet.key: subnet for subnet in (*ones, *others)}
        rows, columns = [subnet.key for subnet in ones], [subnet.key for subnet in others]
        # the pair in one order only: so distances are symmetric in their last digit
        pairs = [[(min(a, b), max(a, b)) for b in columns] for a in rows]
        wanted = dict.fromkeys(pair for row in pairs for pair in row)
        new = [pair for pair in wanted if pair not in self._known]
        problems = [_Problem(layers_of(by_key[a]), layers_of(by_key[b])) for a, b in new]
        self._known |= zip(new, _solved(problems), strict=True)
        distances = [self._known[pair] for row in pairs for pair in row]
        return np.array(distances, np.float64).reshape(len(rows), len(columns))


class _Problem:
    """How mass can move between the layers of two networks.

    Attributes:
        source: layer of the first network of each possible move, (k,).
        target: layer of the second.
        cost: cost of a unit.
    """

    def __init__(self, one: Layers, other: Layers) -> None:
        self.one, self.other = one, other
        same = one.label[:, None] == other.label
        across = one.label[:, None] + other.label == ATTENTION + MLP
        cost = np.abs(one.features[:, None] - other.features).sum(axis=2)
        cost += OTHER_NAME * (one.name[:, None] != other.name)
        cost = np.where(same, cost, np.where(across, ACROSS, np.inf))
        cost += POSITION * np.abs(one.position[:, None] - other.position)
        # a dearer move would be worse than both units without a partner
        self.source, self.target = np.nonzero(cost < 2 * UNMATCHED)
        self.cost = cost[self.source, self.target]
        self.total = float(one.mass.sum() + other.mass.sum())

    @property
    def mass(self) -> Matrix:
        """Share of each layer of both networks in the mass of both."""
        return np.concatenate([self.one.mass, self.other.mass]) / self.total

    def distance(self, moved: Matrix) -> float:
        """Return the distance, given the share of mass of each move."""
        unmatched = 1.0 - 2.0 * float(moved.sum())
        share = float(moved @ self.cost) + UNMATCHED * unmatched
        return self.total * max(0.0, round(share, DIGITS))


def _solved(problems: Sequence[_Problem]) -> Iterator[float]:
    """Yield the distance of each problem; several are solved as one linear program."""
    batch: list[_Problem] = []
    size = 0
    for problem in problems:
        batch.append(problem)
        size += len(problem.cost)
        if size >= BATCH:
            yield from _solved_together(batch)
            batch, size = [], 0
    if batch:
        yield from _solved_together(batch)


def _solved_together(problems: Sequence[_Problem]) -> Iterator[float]:
    """Yield the distance of each problem.

    Raises:
        InternalError: the solver finds no optimum.
    """
    # Minimise the cost of all moves minus what unmatched mass would cost in both networks, while no
    # layer sends or receives more than its mass. Problems share no variable and no row.
    from scipy.optimize import LinearConstraint, milp
    from scipy.sparse import csr_array

    rows, masses, first = [], [], 0
    for problem in problems:
        count = len(problem.one.mass)
        rows.append([first + problem.source, first + count + problem.target])
        masses.append(problem.mass)
        first += len(problem.mass)
    places = np.concatenate(rows, axis=1)
    columns = np.broadcast_to(np.arange(places.shape[1]), places.shape)
    ones = np.ones(places.size)
    matrix = csr_array((ones, (places.ravel(), columns.ravel())), (first, places.shape[1]))
    gains = np.concatenate([problem.cost for problem in problems]) - 2 * UNMATCHED
    result = milp(gains, constraints=LinearConstraint(matrix, -np.inf, np.concatenate(masses)))
    if result.x is None:
        raise InternalError("no transport between two networks", got=result.message)
    ends = np.cumsum([len(problem.cost) for problem in problems])
    for problem, moved in zip(problems, np.split(result.x, ends[:-1]), strict=True):
        yield problem.distance(moved)
