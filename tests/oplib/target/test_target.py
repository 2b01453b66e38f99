"""Device, budget and forms as one value: every budget that can be met is met."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.device import BudgetConfig, Device
from mcuformer.errors import BudgetError
from mcuformer.run.presets import load
from mcuformer.space import SearchSpace
from mcuformer.subnet import BlockConfig, SubnetConfig
from oplib.forms import Forms, Passes
from oplib.plan.arena import FastRoom
from oplib.plan.schedule import least_arena, schedule
from oplib.plan.time_model import weights_bytes, work_of
from oplib.target.target import Room, Target

# of the emulated application, in bytes: the wrap counter of SysTick and, with strips, the open file
# that their rows are read from
STATIC = {"image": 4 + 16, "strip": 4 + 16 + 28}  # the clock's counter, the context
FAST = 4  # of the context, where there is a region for a fast arena


def draw(space: SearchSpace, seed: int) -> SubnetConfig:
    rng = np.random.default_rng(seed)
    points = space.points()
    return space.sample(points[int(rng.integers(len(points)))], rng)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), image=st.sampled_from(["image", "strip"]))
def test_a_budget_that_can_be_met_is_met(
    digits_space: SearchSpace, stm32f746: Device, seed: int, image: str
) -> None:
    subnet = draw(digits_space, seed)
    forms = Forms(passes=Passes(input=image))
    rest = STATIC[image] + stm32f746.stack_reserve_bytes
    least = schedule(subnet, forms).plan.arena_bytes + rest
    for more in (0, 3, 4, *range(8, 600, 52)):
        limit = least + more
        target = Target(stm32f746, BudgetConfig(sram_bytes=limit), forms)
        assert target.schedule(subnet).plan.arena_bytes + rest <= limit
        assert target.cost(subnet).footprint.sram_bytes <= limit
        assert target.arena_bytes + rest == limit
    under = Target(stm32f746, BudgetConfig(sram_bytes=least - 1), forms)
    assert not under.admits(subnet)
    assert under.cost(subnet).footprint.sram_bytes == least


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_staged_weights_count_as_if_they_were_in_sram(
    digits_space: SearchSpace, stm32f746: Device, seed: int
) -> None:
    subnet = draw(digits_space, seed)
    staged = largest_matrix(subnet)
    least = schedule(subnet).plan.arena_bytes + staged + STATIC["image"] + 1024
    for more in (0, 3, 8, 600):
        budget = BudgetConfig(sram_bytes=least + more, memory_model="staged")
        target = Target(stm32f746, budget)
        footprint = target.cost(subnet).footprint
        assert target.admits(subnet)
        assert footprint.staged_bytes == staged
        assert footprint.firmware_sram_bytes + staged == footprint.sram_bytes <= least + more
        assert target.schedule(subnet).plan.arena_bytes == footprint.arena_bytes
    budget = BudgetConfig(sram_bytes=least - 1, memory_model="staged")
    assert not Target(stm32f746, budget).admits(subnet)
    assert Target(stm32f746, BudgetConfig(sram_bytes=least - 1)).admits(subnet)


def largest_matrix(subnet: SubnetConfig) -> int:
    """Largest factor of qkv, fc1 and fc2, or output projection, which has no factors."""
    dim, ratio, sizes = subnet.embed_dim, subnet.rank_ratio, []
    for block in subnet.blocks:
        attn, hidden = block.num_heads * block.head_dim, int(block.mlp_ratio * dim)
        sizes.append(attn * dim)
        for larger in (3 * attn, hidden):
            smaller = min(larger, dim)
            sizes.append((int(ratio * smaller) if ratio < 1 else smaller) * max(larger, dim))
    return max(sizes)


def test_staged_weights_lie_in_the_arenas_region(device: Callable[[str], Device]) -> None:
    """1,152 * 192 bytes exceed the 192 KB of SRAM; 256 KB with the CCM would hold everything."""
    block = BlockConfig(num_heads=3, head_dim=64, mlp_ratio=6.0)
    subnet = SubnetConfig(
        img_size=32, patch_size=8, in_chans=3, num_classes=10, embed_dim=192, blocks=(block,)
    )
    target = Target(device("stm32f427"), BudgetConfig(memory_model="staged"))
    footprint = target.cost(subnet).footprint
    assert footprint.staged_bytes == 1152 * 192
    assert footprint.sram_bytes < 256 * 1024
    assert [share.region for share in footprint.overflowing(target.limit)] == ["sram"]
    assert not target.admits(subnet)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_cost_by_blocks_is_the_whole_plans(
    digits_space: SearchSpace, stm32f100: Device, seed: int
) -> None:
    subnet = draw(digits_space, seed)
    for limit in (900, 4000, 8192):
        target = Target(stm32f100, BudgetConfig(sram_bytes=limit))
        cost, scheduled = target.cost(subnet), target.schedule(subnet)
        assert cost.footprint.arena_bytes == scheduled.plan.arena_bytes
        nodes = scheduled.calls.nodes
        assert cost.footprint.weights_bytes == weights_bytes(scheduled.calls, nodes)
        whole = target.timing.time(work_of(scheduled.calls, nodes))
        assert cost.time is not None
        assert whole is not None
        assert cost.time.ms_high == pytest.approx(whole.ms_high, abs=0.001)


@pytest.mark.parametrize(
    ("name", "arena", "fast"),
    [
        ("stm32f405", 128 * 1024 - 1048, 64 * 1024),  # stack and static data beside the arena
        ("stm32f427", 192 * 1024, 64 * 1024 - 1048),  # and beside the fast arena
        ("stm32f746", 320 * 1024 - 1044, 0),
        ("stm32h743", 512 * 1024 - 1048, 128 * 1024),
    ],
)
def test_a_firmware_gets_all_of_the_memory(
    small_subnet: SubnetConfig, name: str, arena: int, fast: int
) -> None:
    target = Target(load("device", name, Device))
    assert (target.arena_bytes, target.fast_bytes) == (arena, fast)
    assert target.room(small_subnet) == Room(arena, FastRoom(fast))
    rest = 1024 + STATIC["image"] + (FAST if fast else 0)
    assert arena + fast + rest == target.limit.sram_bytes


def test_tokens_that_only_two_regions_hold(device: Callable[[str], Device]) -> None:
    """324 tokens of 192 bytes in the CCM; in the SRAM the attention of one head at a time."""
    block = BlockConfig(num_heads=3, head_dim=64, mlp_ratio=4.0)
    subnet = SubnetConfig(
        img_size=144, patch_size=8, in_chans=3, num_classes=10, embed_dim=192, blocks=(block,) * 2
    )
    chip = device("stm32f405")
    one = Target(chip.model_copy(update={"fast_region": None}))
    assert one.cost(subnet).footprint.exceeds(one.limit)[0]
    footprint = Target(chip).cost(subnet).footprint
    assert not footprint.exceeds(Target(chip).limit)[0]
    stream, keys_values_and_slots = 324 * 192, 324 * (2 * 64 + 2 * 64)
    assert stream <= footprint.fast_bytes <= 64 * 1024
    assert keys_values_and_slots <= footprint.arena_bytes <= 128 * 1024 - 1048
    plan = Target(chip).schedule(subnet).plan
    assert (plan.arena_bytes, plan.fast_bytes) == (footprint.arena_bytes, footprint.fast_bytes)


def divided(stm32f100: Device, arena: int, fast: int) -> Device:
    """Return an STM32F100 with a third region for static data and stack."""
    flash = stm32f100.dump()["regions"][0]
    sizes = {"first": arena, "second": fast, "third": 4096}
    sram = [
        {"name": name, "kind": "sram", "origin": 0x20000000 + 0x100000 * index, "size_bytes": size}
        for index, (name, size) in enumerate(sizes.items())
    ]
    uses = {"arena_region": "first", "fast_region": "second", "data_region": "third"}
    content = stm32f100.dump() | uses | {"regions": [flash, *sram], "emulation": None}
    return Device.parse(content)


@settings(max_examples=3, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_budget_is_divided_between_two_regions(
    digits_space: SearchSpace, stm32f100: Device, data: st.DataObject, seed: int
) -> None:
    """The least sum is found by trying every size of the fast arena, with and without stream."""
    subnet = draw(digits_space, seed)
    subnet = subnet.model_copy(update={"blocks": subnet.blocks[:2]})
    whole = schedule(subnet).plan.arena_bytes
    arena = 8 * data.draw(st.integers(whole // 24, whole // 8 + 8))
    device, stream = divided(stm32f100, arena, fast=768), subnet.num_tokens * subnet.embed_dim
    rooms = [FastRoom(size) for size in range(0, 769, 8)]
    rooms += [FastRoom(size, stream=True) for size in range(-(-stream // 8) * 8, 769, 8)]
    arenas = {room: least_arena(subnet, Forms(), room) for room in rooms}
    sums = [size + room.num_bytes for room, size in arenas.items() if size <= arena]
    rest = STATIC["image"] + FAST + device.stack_reserve_bytes
    for more in (0, 8, 64, 512):
        least = min(sums, default=arena) + more + rest
        target = Target(device, BudgetConfig(sram_bytes=min(least, device.sram_bytes)))
        assert target.cost(subnet).footprint.exceeds(target.limit)[0] == (not sums)
        plan, cost = target.schedule(subnet).plan, target.cost(subnet).footprint
        assert (plan.arena_bytes, plan.fast_bytes) == (cost.arena_bytes, cost.fast_bytes)
    if sums:
        under = Target(device, BudgetConfig(sram_bytes=min(sums) + rest - 1))
        assert under.cost(subnet).footprint.exceeds(under.limit)[0]


def test_a_small_budget_uses_both_regions_if_that_is_not_slower(
    small_subnet: SubnetConfig, stm32f100: Device
) -> None:
    """One region needs less in sum, because a call's scratch may lie where a tensor was."""
    device = divided(stm32f100, 8192, 8192)
    rest = STATIC["image"] + FAST + stm32f100.stack_reserve_bytes
    least = schedule(small_subnet).plan.arena_bytes
    tight = Target(device, BudgetConfig(sram_bytes=least + rest)).cost(small_subnet).footprint
    assert (tight.arena_bytes, tight.fast_bytes) == (least, 0)
    generous = Target(device, BudgetConfig(sram_bytes=16_000)).cost(small_subnet)
    assert generous.footprint.fast_bytes > 0
    assert generous.ms_high == Target(device).cost(small_subnet).ms_high


def test_a_target_beyond_the_device_does_not_exist(stm32f100: Device) -> None:
    with pytest.raises(BudgetError, match=r"budget\.sram_bytes: more than .*got 9000.*8192"):
        Target(stm32f100, BudgetConfig(sram_bytes=9000))


def test_equal_limits_have_one_identity(stm32f100: Device) -> None:
    """Targets share recovery points if their verdicts are equal, however they were written."""
    named = Target(stm32f100, BudgetConfig(sram_bytes=8192))
    assert named.identity() == Target(stm32f100).identity()
    less = Target(stm32f100, BudgetConfig(sram_bytes=8188))
    other = Target(stm32f100, forms=Forms(gelu="sigmoid"))
    staged = Target(stm32f100, BudgetConfig(memory_model="staged"))
    assert less.identity() != named.identity() != other.identity()
    assert staged.identity() != named.identity()


@pytest.mark.parametrize("merge", [False, True])
def test_the_last_byte_of_flash_admits(merge: bool, device: Callable[[str], Device]) -> None:
    """The count of weights that refuses without a plan knows which factors are merged."""
    space = load("space", "digits_1m", SearchSpace, img_size=8, num_classes=10)
    forms, rng = Forms(passes=Passes(merge_low_rank=merge)), np.random.default_rng(5)
    point = next(point for point in space.points() if point.rank_ratio == 0.75)
    for subnet in (space.smallest(point), *(space.sample(point, rng) for _ in range(5))):
        board = device("stm32f746_qspi")
        flash = Target(board, BudgetConfig(), forms).cost(subnet).footprint.flash_bytes
        for limit, admitted in ((flash, True), (flash - 1, False)):
            assert Target(board, BudgetConfig(flash_bytes=limit), forms).admits(subnet) == admitted
