"""Series are asked for no faster than the PACS shall be."""

from __future__ import annotations

from dicom_node.retrieve import Throttle


def test_steps_are_spaced_as_many_to_a_minute_as_may_be() -> None:
    pauses: list[float] = []
    throttle = Throttle(per_minute=1, sleep=pauses.append)
    throttle.wait()
    assert pauses == [], "the first need not wait"
    throttle.wait()
    throttle.wait()
    assert len(pauses) == 2 and all(0 < pause <= 60 for pause in pauses)
