"""Bars of a chart."""

from __future__ import annotations

from dashboard.chart import HEIGHT, WIDTH, bars


def test_highest_bar_is_as_high_as_the_drawing_and_zero_is_a_line() -> None:
    none, half, most = bars((0, 2, 4))
    assert (most.y, most.height) == (0.0, HEIGHT)
    assert half.height == HEIGHT / 2
    assert (none.height, none.y) == (1.0, HEIGHT - 1)
    assert most.x + most.width <= WIDTH


def test_quiet_minutes_are_lines() -> None:
    assert {bar.height for bar in bars((0,) * 30)} == {1.0}
    assert bars(()) == ()
