"""Evidence survives its file, and a crash while it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cli.replaying.evidence import EvidenceFile
from retrieval.verdict import Evidence, Person

KNOWN = Evidence(Person(4, np.array([1.5, -0.25])), (Person(7, np.array([3.0])),), 12)
NEW = Evidence(None, (), 3, same_pixels=True)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    kept = EvidenceFile(tmp_path / "evidence.jsonl")
    kept.append(0, KNOWN)
    kept.append(5, NEW)
    found = EvidenceFile(tmp_path / "evidence.jsonl").read()
    assert list(found) == [0, 5]
    own = found[0].own
    assert own is not None and own.number == 4
    assert own.log_ratios.tolist() == [1.5, -0.25]
    assert [(p.number, p.log_ratio) for p in found[0].others] == [(7, 3.0)]
    assert (found[0].other_persons, found[0].same_pixels) == (12, False)
    assert (found[5].own, found[5].others, found[5].same_pixels) == (None, (), True)


def test_a_line_cut_short_is_forgotten_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    EvidenceFile(path).append(0, NEW)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:17])
    kept = EvidenceFile(path)
    kept.append(1, NEW)
    assert list(kept.read()) == [0, 1]


def test_the_later_line_counts(tmp_path: Path) -> None:
    kept = EvidenceFile(tmp_path / "evidence.jsonl")
    kept.append(0, NEW)
    kept.append(0, KNOWN)
    assert kept.read()[0].other_persons == 12


def test_without_a_file_there_is_no_evidence(tmp_path: Path) -> None:
    assert EvidenceFile(tmp_path / "evidence.jsonl").read() == {}
