from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.data.phantoms import phantom_images
from retrieval.encoder import Encoder
from retrieval.evaluation import encodings
from retrieval.evaluation.encodings import codes_of


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    """Synthetic chests uint8 (2, 320, 320)."""
    return phantom_images(2, 1, seed=4)[:, 0]


def test_codes_of_another_precision_are_not_taken_for_these(chests: np.ndarray, tmp_path: Path) -> None:
    fine, coarse = (Encoder.load(device="cpu", precision=name) for name in ("fp32", "bf16"))
    expected = codes_of(fine, chests, "chests", tmp_path)
    found = codes_of(coarse, chests, "chests", tmp_path)
    assert not np.array_equal(found.embedding, expected.embedding)
    assert np.array_equal(codes_of(fine, chests, "chests", tmp_path).embedding, expected.embedding)
    assert len(list(tmp_path.glob("codes-*.npz"))) == 2


def test_codes_are_made_anew_when_any_code_that_makes_them_changes(
    chests: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = encodings._encoding_code()
    names = {path.name for path in used}
    assert {
        "encoder.py",
        "runtime.py",
        "gate.py",
        "upright.py",
        "codes.py",
        "stored.py",
        "regional.py",
        "attention_hash.py",
    } <= names
    encoder = Encoder.load(device="cpu", precision="fp32")
    codes_of(encoder, chests, "chests", tmp_path)
    changed = tmp_path / "regional.py"
    changed.write_text("# another network\n")
    others = tuple(path for path in used if path.name != "regional.py")
    monkeypatch.setattr(encodings, "_encoding_code", lambda: (*others, changed))
    codes_of(encoder, chests, "chests", tmp_path)
    assert len(list(tmp_path.glob("codes-*.npz"))) == 2
