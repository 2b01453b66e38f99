"""Charts: places computed by hand, round ticks, and text that cannot become markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from mcuformer.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Chart, round_ticks

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.floats(-1e9, 1e9, allow_nan=False)


def chart() -> Chart:
    return Chart("a title", "what is seen", Axis("x", 0.0, 10.0), Axis("y", 0.0, 4.0))


def test_values_lie_where_they_belong() -> None:
    assert chart().at(0.0, 0.0) == (LEFT, HEIGHT - BOTTOM)
    assert chart().at(10.0, 4.0) == (WIDTH - RIGHT, TOP)
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    assert chart().at(5.0, 2.0) == middle


def test_points_at_one_place_are_drawn_once() -> None:
    drawn = chart()
    drawn.dots([(5.0, 2.0), (5.0, 2.0), (5.0001, 2.0), (6.0, 2.0)], "dim")
    assert drawn.parts[0].count("h0") == 2


def test_steps_go_right_before_they_go_up() -> None:
    drawn = chart()
    drawn.steps([(0.0, 0.0), (10.0, 4.0)], "c0")
    left, right, low, high = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    assert f'd="M{left} {low}L{right} {low}L{right} {high}"' in drawn.parts[0]


def test_text_stays_text_and_names_reach_screen_readers() -> None:
    hostile = '"><script>alert(1)</script>'
    drawn = Chart(hostile, hostile, Axis(hostile, 0.0, 1.0, [0.5], [hostile]), Axis("y", 0.0, 1.0))
    drawn.label(0.5, 0.5, hostile)
    root = ET.fromstring(drawn.markup())
    assert {child.tag for child in root.iter()} <= {"svg", "title", "desc", "path", "text"}
    assert root.find("title").text == hostile
    assert root.get("role") == "img"
    assert root.get("aria-label") == f"{hostile}. {hostile}"


@given(numbers, st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(low: float, length: float) -> None:
    high = low + length
    if (high - low) < 1e-9 * max(abs(low), abs(high)):
        return  # closer than numbers of the axis can tell
    ticks = round_ticks(low, high)
    margin = 1e-6 * length + 1e-9 * abs(low)
    assert 2 <= len(ticks) <= 6
    assert all(low - margin <= tick <= high + margin for tick in ticks)
