from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.data.manifest import Split
from retrieval.data.splits import Splits
from retrieval.errors import ConfigInvalid

NAMES = [f"nih:{number}" for number in range(4000)]


@settings(deadline=None)
@given(st.text(), st.integers(), st.tuples(*[st.floats(0, 1e6)] * 3).filter(any))
def test_a_patient_is_always_dealt_to_the_same_split_and_never_to_one_without_a_share(
    patient: str, seed: int, shares: tuple[float, float, float]
) -> None:
    dealt = Splits(*shares, seed).of(patient)
    assert dealt is Splits(*shares, seed).of(patient)
    assert dict(zip(Split, shares, strict=True))[dealt] > 0


def test_shares_are_met() -> None:
    splits = Splits.parse("70/10/20")
    dealt = [splits.of(name) for name in NAMES]
    shares = [dealt.count(split) / len(NAMES) for split in Split]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


def test_shares_are_scaled() -> None:
    assert [Splits(7, 1, 2).of(name) for name in NAMES] == [Splits(0.7, 0.1, 0.2).of(name) for name in NAMES]


def test_another_seed_deals_otherwise() -> None:
    assert [Splits(seed=1).of(name) for name in NAMES] != [Splits(seed=2).of(name) for name in NAMES]


def test_a_larger_share_for_training_takes_nobody_out_of_it() -> None:
    before = {name for name in NAMES if Splits(60, 20, 20).of(name) is Split.TRAIN}
    assert before < {name for name in NAMES if Splits(80, 10, 10).of(name) is Split.TRAIN}


@pytest.mark.parametrize("text", ["70/30", "a/b/c", "70/10/-20", "0/0/0", "inf/1/1", "nan/1/1", ""])
def test_impossible_shares_are_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="70/10/20"):
        Splits.parse(text)
