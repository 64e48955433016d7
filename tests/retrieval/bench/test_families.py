from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.bench.families import families
from retrieval.bench.limits import limits, readings
from retrieval.bench.picture import draw_comparison
from retrieval.bench.results import Line, Origin, Results

ORIGIN = Origin("full", "much is done", "test", "2026-01-02", "a machine", "1.0", "abc")


def line(key: str, group: str, auc: float, images: int = 100, learned: str = "nothing") -> Line:
    words = {"key": key, "group": group, "name": f"the {key}", "source": group, "learned": learned, "dataset": "all"}
    figures = {"auc": auc, "auc_low": auc - 0.1, "auc_high": auc, "precision_at_1": auc, "images": images}
    return Line(words, {**figures, "patients": 10.0})


def results(*lines: Line) -> Results:
    return Results(lines, (), ORIGIN)


def test_each_kind_is_shown_by_its_best_method_on_all_images() -> None:
    found = families(
        results(
            line("ahash", "p3", 0.6),
            line("phash", "p3", 0.7),
            line("dhash", "p3", 0.5),
            line("siamese-resnet18", "p3", 0.5),
            line("siamese-resnet18-gated", "p3", 0.9, images=90),
            line("attention-hash-16", "p4", 0.6),
            line("lungprint", "ours", 0.95),
        )
    )
    assert [(kind.name, kind.best.word("key"), kind.count) for kind in found] == [
        ("global hashes", "phash", 3),
        ("classic Siamese network", "siamese-resnet18", 1),
        ("attention hash codes", "attention-hash-16", 1),
        ("Lungprint", "lungprint", 1),
    ]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    found = results(line("sift", "p3", 0.6), line("lungprint", "ours", float("nan")), line("dsh", "p4", 0.5))
    assert draw_comparison(found, tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        ("150 steps of 32 images at 96 pixels on 3,984 chests from ImageNet", "learned for 150 steps here"),
        (
            "6 steps of 8 images at 64 pixels on 237 chests from random weights",
            "start from random weights learned for 6",
        ),
        ("9 of 150 steps of 32 images at 96 pixels on 9 chests, resnet18 from ImageNet", "“9 of 150 steps” means"),
    ],
)
def test_the_limits_say_how_long_networks_learned(learned: str, said: str) -> None:
    text = "\n".join(limits(results(line("p1-resnet50-m0.5", "p1", 0.6, learned=learned))))
    assert said in text
    assert "“" in text or " of 150" not in text


def test_only_what_took_part_is_explained() -> None:
    text = "\n".join(readings(results(line("dsh", "p4", 0.6))))
    assert "DRH's formulas" in text
    assert "pHash" not in text
