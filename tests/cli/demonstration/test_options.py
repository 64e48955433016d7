"""The demo's option file: errors are as frequent as they are planted, and the alert list is worth reading."""

from __future__ import annotations

import datetime
import tomllib

from cli.demonstration.run import Delivery, options_for
from cli.demonstration.stream import Film, Planted, Shot


def delivery(right: int, swapped: int, doubled: int) -> Delivery:
    kinds = [Planted.NOTHING] * right + [Planted.WRONG_PATIENT] * swapped + [Planted.DUPLICATE_RECORD] * doubled
    shots = [Shot(n, Film("P", "all", False, None), "P", kind) for n, kind in enumerate(kinds)]
    return Delivery(shots, {}, [datetime.datetime(2024, 1, 1)] * len(shots), 1)


def test_the_list_has_three_places_for_every_two_errors() -> None:
    options = tomllib.loads(options_for(delivery(388, 11, 1))[0])["verdict"]
    assert options["base_rate"] == 11 / 400
    assert options["alerts_per_1000"] == 1.5 * 12 / 400 * 1000


def test_a_short_stream_is_lent_places_and_so_has_a_smaller_budget() -> None:
    options = tomllib.loads(options_for(delivery(90, 9, 1))[0])["verdict"]
    assert options["alerts_per_1000"] == 1.5 * 10 / 250 * 1000
