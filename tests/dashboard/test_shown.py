"""Which images have just been audited."""

from __future__ import annotations

import pytest

from dashboard import shown
from dashboard.shown import Shown


def test_image_is_remembered_for_its_user_alone() -> None:
    memory = Shown()
    memory.add("anna", [1, 2])
    assert memory.has("anna", 1)
    assert not memory.has("boris", 1)
    assert not memory.has("anna", 3)


def test_image_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Shown()
    memory.add("anna", [1])
    monkeypatch.setattr(shown, "FRESH_SECONDS", 0.0)
    assert not memory.has("anna", 1)


def test_oldest_images_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "MOST_REMEMBERED", 2)
    memory = Shown()
    memory.add("anna", [1, 2, 1, 3])
    assert [memory.has("anna", key) for key in (1, 2, 3)] == [True, False, True]
