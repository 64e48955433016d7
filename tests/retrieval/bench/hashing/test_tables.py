from __future__ import annotations

from retrieval.bench.hashing.tables import p4_tables
from retrieval.bench.results import Line, Origin, Results

ORIGIN = Origin(*(["x"] * len(Origin.__dataclass_fields__)))


def line(key: str, dataset: str, precision: float | None) -> Line:
    figures = {"ms_per_image": 5.0, "us_per_comparison": 20.0, "images": 400.0, "training_s": 12.34, "training_mib": 99}
    if precision is not None:
        figures |= {
            "findings_mean_average_precision": precision,
            "findings_map_low": precision - 0.1,
            "findings_map_high": precision + 0.1,
            "findings_ndcg_at_100": precision / 2,
            "chance_mean_average_precision": 0.25,
            "chance_ndcg_at_100": 0.125,
        }
    return Line({"key": key, "name": key.upper(), "dataset": dataset}, figures)


def results(*keys: str) -> Results:
    lines = [
        line(key, dataset, precision)
        for place, key in enumerate(keys)
        for dataset, precision in (("unlabelled", None), ("nih", 0.3 + place / 10), ("all", 0.4 + place / 10))
    ]
    return Results(tuple(lines), (), ORIGIN)


def test_searches_stand_beside_each_other_and_above_chance() -> None:
    first, *_ = p4_tables(results("itq", "attention-hash-64"))
    assert first.title.startswith("P4, table 1")
    assert first.heading == ("method", "nih: nDCG@100", "nih: mAP (95 %)", "all: nDCG@100", "all: mAP (95 %)")
    assert first.rows == (
        ("ITQ", "0.150", "0.300 (0.200–0.400)", "0.200", "0.400 (0.300–0.500)"),
        ("ATTENTION-HASH-64", "0.200", "0.400 (0.300–0.500)", "0.250", "0.500 (0.400–0.600)"),
        ("chance", "0.125", "0.250", "0.125", "0.250"),
    )


def test_a_search_takes_as_long_as_its_comparisons() -> None:
    prices = next(table for table in p4_tables(results("dsh")) if "table 2" in table.title)
    assert prices.heading[2] == "search of 400 images, ms"
    assert prices.rows == (("DSH", "5.0", "8.000", "12.3", "99"),)


def test_parts_and_lengths_have_tables_of_their_own() -> None:
    keys = [f"attention-hash-{word}" for word in (16, 64, "no-descriptors", "no-max-pool", "local", "global")]
    found = {table.title: [row[0] for row in table.rows] for table in p4_tables(results(*keys))}
    assert found["P4, table 4: descriptors of the attention"] == [
        "ATTENTION-HASH-64",
        "ATTENTION-HASH-NO-DESCRIPTORS",
        "ATTENTION-HASH-NO-MAX-POOL",
        "chance",
    ]
    assert found["P4, table 5: features"] == [
        "ATTENTION-HASH-LOCAL",
        "ATTENTION-HASH-GLOBAL",
        "ATTENTION-HASH-64",
        "chance",
    ]
    assert found["P4, code lengths"] == ["ATTENTION-HASH-16", "ATTENTION-HASH-64", "chance"]


def test_without_p4_there_is_no_table() -> None:
    assert p4_tables(results("ahash")) == []
