"""Which groups go: the least important ones, until enough of the network's parameters are gone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.errors import ConfigError
from mcuformer.subnet import SubnetConfig
from supernet.pruning.groups import KINDS, GroupSet, choose, group_sets, kept_subnet, largest_share
from supernet.pruning.settings import (
    BayesianCompression,
    FeedbackPruning,
    PruningConfig,
    SparseDropout,
)

TINY = SubnetConfig.parse(
    {
        "img_size": 2,
        "patch_size": 1,
        "in_chans": 1,
        "num_classes": 2,
        "embed_dim": 2,
        "qkv_bias": False,
        "blocks": [{"num_heads": 4, "head_dim": 1, "mlp_ratio": 4.0}] * 2,
    }
)
HEAD, HIDDEN = 2 * 4, 2 * 2 + 1  # parameters: rows of q, k and v, a column of proj; with a bias
BLOCK = 4 * HEAD + 8 * HIDDEN + 2 * 2 + 4 * 2  # biases of proj and fc2, two norms
REST = 2 * 2 + 4 * 2 + 2 * 2 + 6  # patches, positions, last norm, head


def sets() -> dict[tuple[str, int], GroupSet]:
    return {(s.kind, s.block): s for s in group_sets(TINY)}


def importance(change: dict[tuple[str, int], list[float]]) -> dict[GroupSet, np.ndarray]:
    """Return an importance of 9 for every group but those of `change`."""
    return {s: np.array(change.get(key, [9.0] * s.size)) for key, s in sets().items()}


def test_the_parameters_by_hand() -> None:
    assert TINY.num_params == 2 * BLOCK + REST == 190


@pytest.mark.parametrize(
    ("lost", "heads", "hidden"),
    [(0, 4, 8), (1, 4, 7), (HIDDEN, 4, 7), (HIDDEN + 1, 3, 7), (HIDDEN + HEAD, 3, 7)],
)
def test_the_least_important_go_first(lost: int, heads: int, hidden: int) -> None:
    """A hidden unit of importance 1, then a head of importance 2, until so much is gone."""
    values = importance({("hidden", 1): [9, 9, 1, 9, 9, 9, 9, 9], ("head", 1): [9, 9, 9, 2]})
    masks = choose(TINY, values, KINDS, lost / TINY.num_params)
    left = kept_subnet(TINY, masks)
    assert (left.blocks[1].num_heads, left.hidden_dim(1)) == (heads, hidden)
    assert left.blocks[0].num_heads == 4
    if hidden == 7:
        assert not masks[sets()["hidden", 1]][2]
    if heads == 3:
        assert not masks[sets()["head", 1]][3]


def test_a_block_goes_as_a_whole_but_not_for_a_little() -> None:
    """A block of importance 1 goes for its own parameters; for one less, single groups do."""
    values = importance({("block", 0): [1.0], ("head", 1): [2.0, 9.0, 2.0, 9.0]})
    assert kept_subnet(TINY, choose(TINY, values, KINDS, BLOCK / 190)).depth == 1
    left = kept_subnet(TINY, choose(TINY, values, KINDS, (HEAD + 1) / 190))
    assert [block.num_heads for block in left.blocks] == [4, 2]


def test_the_last_groups_stay() -> None:
    """Even if all others are more important: a head and a hidden unit of a block, and a block."""
    values = importance({("head", 0): [1.0] * 4, ("hidden", 0): [1.0] * 8})
    share = largest_share(TINY, ("head", "hidden"))
    assert share == pytest.approx(2 * (3 * HEAD + 7 * HIDDEN) / 190)
    left = kept_subnet(TINY, choose(TINY, values, ("head", "hidden"), share))
    assert [(b.num_heads, left.hidden_dim(i)) for i, b in enumerate(left.blocks)] == [(1, 1)] * 2
    share = largest_share(TINY, KINDS)
    assert share == pytest.approx((BLOCK + 3 * HEAD + 7 * HIDDEN) / 190)
    left = kept_subnet(TINY, choose(TINY, values, KINDS, share))
    assert (left.depth, left.blocks[0].num_heads, left.hidden_dim(0)) == (1, 1, 1)


@given(seed=st.integers(0, 2**32 - 1), portion=st.floats(0.0, 1.0))
def test_a_share_is_met(small_subnet: SubnetConfig, seed: int, portion: float) -> None:
    """And without its most important loser, by any kinds but blocks, it would not be."""
    rng = np.random.default_rng(seed)
    values = {s: rng.random(s.size) for s in group_sets(small_subnet)}
    for kinds in (KINDS, ("head", "hidden", "rank"), ("hidden",)):
        share = portion * largest_share(small_subnet, kinds)
        masks = choose(small_subnet, values, kinds, share)
        target = (1 - share) * small_subnet.num_params
        assert kept_subnet(small_subnet, masks).num_params <= target + 1e-6
        lost = [(values[s][i], s, i) for s, kept in masks.items() for i in np.flatnonzero(~kept)]
        if lost and "block" not in kinds:
            _, group_set, index = max(lost, key=lambda item: item[0])
            masks[group_set][index] = True
            assert kept_subnet(small_subnet, masks).num_params > target


@pytest.mark.parametrize(
    ("method", "change", "line"),
    [
        (FeedbackPruning, {"share": 0.9}, "pruning.share: this would leave a layer without heads"),
        (FeedbackPruning, {"groups": ["head"], "share": 0.3}, "expected at most 0.252)"),
        (FeedbackPruning, {"groups": ["rank"]}, "pruning.groups: the network has no such groups"),
        (BayesianCompression, {"groups": ["rank"]}, "expected some of head, hidden)"),
        (FeedbackPruning, {"begin": 0.8}, "begin 0.8 exceeds end 0.7"),
        (FeedbackPruning, {"share": 1.0}, "share: out of range"),
        (FeedbackPruning, {"groups": []}, "groups: out of range"),
    ],
)
def test_what_cannot_be_pruned_is_refused(
    method: type[FeedbackPruning], change: dict[str, Any], line: str
) -> None:
    names = {FeedbackPruning: "feedback", BayesianCompression: "bayesian"}
    with pytest.raises(ConfigError) as caught:
        method.parse({"name": names[method], **change}).check(TINY)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_should_be_left_by_hand() -> None:
    """A quarter of the heads and hidden units of each block goes, then a further hidden unit."""
    lost = 2 * (HEAD + 2 * HIDDEN)  # one head and two hidden units of each block
    left = FeedbackPruning(name="feedback").expected(TINY, lost / TINY.num_params)
    assert [block.num_heads for block in left.blocks] == [3, 3]
    assert [left.hidden_dim(index) for index in range(2)] == [6, 6]
    more = FeedbackPruning(name="feedback", share=(lost + 1) / TINY.num_params)
    assert more.expected(TINY, None).num_params < TINY.num_params - lost
    assert more.expected(TINY, 0.99) is None
    for settings in (BayesianCompression(name="bayesian"), SparseDropout(name="sparse")):
        assert settings.expected(TINY, None) == TINY


def test_sparse_dropout_takes_any_network() -> None:
    settings: PruningConfig = SparseDropout(name="sparse")
    settings.check(TINY)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [0, 0, 0.3, 0.6, 0.6]), ("cubic", [0, 0, 0.525, 0.6, 0.6])],
)
def test_the_share_rises(schedule: str, expected: list[float]) -> None:
    """Zhu and Gupta: the cubic one has lacked 1 - 1/8 of the share half way."""
    content = {"name": "feedback", "share": 0.6, "schedule": schedule, "begin": 0.2, "end": 0.6}
    settings = FeedbackPruning.parse(content)
    found = [settings.share_at(progress) for progress in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert found == pytest.approx(expected)
