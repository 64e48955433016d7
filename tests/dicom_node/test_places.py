from __future__ import annotations

import os
import signal
import time

from dicom_node.places import Places


def test_one_peer_cannot_take_every_place() -> None:
    places = Places(3, 2)
    assert [places.take("A") is not None for _ in range(3)] == [True, True, False]
    assert places.take("B") is not None
    assert places.take("C") is None


def test_a_place_given_back_can_be_taken_again() -> None:
    places = Places(1, 1)
    place = places.take("A")
    assert place is not None and places.take("B") is None
    places.give_back(place)
    assert places.take("B") is not None


def test_places_are_counted_over_processes_and_freed_after_a_kill() -> None:
    places = Places(2, 2)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        places.take("A")
        places.take("A")
        os.write(writing, b"x")
        time.sleep(60)
        os._exit(0)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)
    assert places.take("B") is None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    places.forget(child)
    assert places.take("B") is not None
