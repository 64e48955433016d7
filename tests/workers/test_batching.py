"""Which messages make up a batch; how batches live through a restart of the broker is tested in test_app."""

from __future__ import annotations

from workers.batching import ids_of


def test_a_malformed_message_does_not_spoil_its_batch() -> None:
    assert ids_of([[1], ["2"], [], [3, 4], [None], [5]]) == [1, 5]
