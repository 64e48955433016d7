"""P4's own tables, of figures that the common table holds already."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.bench.columns import Column
from retrieval.bench.extras import Extra
from retrieval.bench.hashing.recipes import BITS, FEATURE_HASHES, LENGTHS
from retrieval.bench.results import Line, Results
from retrieval.evaluation.report import share, spanned

_WHOLE = f"attention-hash-{BITS}"
_COMPARED = (*FEATURE_HASHES, "dsh", "drh", "ath", _WHOLE)
_NDCG = Column("nDCG@100", "findings_ndcg_at_100")
_TRAINING = (
    Column("training, s", "training_s", lambda value: f"{value:,.1f}"),
    Column("training, MiB", "training_mib", lambda value: f"{value:,.0f}"),
)


def p4_tables(results: Results) -> list[Extra]:
    """Those of the tables 1, 2, 4 and 5, and of the code lengths, of which there are lines."""
    lengths = [f"attention-hash-{bits}" for bits in LENGTHS]
    tables = (
        _searches(results, f"P4, table 1: search by findings, codes of {BITS} bits", _COMPARED),
        _prices(results),
        _searches(results, "P4, table 4: descriptors of the attention", (_WHOLE, *_without("descriptors", "max-pool"))),
        _searches(results, "P4, table 5: features", ("attention-hash-local", "attention-hash-global", _WHOLE)),
        _searches(results, "P4, code lengths", lengths),
    )
    return [one for one in tables if one is not None]


def _without(*parts: str) -> list[str]:
    return [f"attention-hash-no-{part}" for part in parts]


def _searches(results: Results, title: str, keys: Sequence[str]) -> Extra | None:
    """nDCG@100 and mAP on every dataset with known findings, and below them those of chance; None without lines."""
    names = [name for name in results.datasets if any(map(_known, results.of(name)))]
    parts = [{line.word("key"): line for line in results.of(name)} for name in names]
    present = [key for key in keys if parts and key in parts[0]]
    if not present:
        return None
    rows = [
        (
            parts[0][key].word("name"),
            *(cell for part in parts for cell in (_NDCG.cell(part[key]), _precision(part[key]))),
        )
        for key in present
    ]
    chance = [cell for part in parts for cell in _chance(part[present[0]])]
    heading = ("method", *(f"{name}: {said}" for name in names for said in ("nDCG@100", "mAP (95 %)")))
    return Extra(title, heading, (*rows, ("chance", *chance)))


def _prices(results: Results) -> Extra | None:
    """Time and memory; a search compares one image with all of the last cohort; None without lines."""
    by_key = {line.word("key"): line for line in results.of(results.datasets[-1])}
    chosen = [by_key[key] for key in _COMPARED if key in by_key]
    rows = tuple(
        (
            line.word("name"),
            f"{line.figure('ms_per_image'):,.1f}",
            f"{1e-3 * line.figure('us_per_comparison') * line.figure('images'):,.3f}",
            *(column.cell(line) for column in _TRAINING),
        )
        for line in chosen
    )
    images = f"{chosen[0].figure('images'):,.0f}" if chosen else ""
    heading = ("method", "feature, ms", f"search of {images} images, ms", *(column.heading for column in _TRAINING))
    return Extra("P4, table 2: time and memory", heading, rows) if rows else None


def _known(line: Line) -> bool:
    return "findings_mean_average_precision" in line.figures


def _precision(line: Line) -> str:
    value, low, high = (line.figure(f"findings_{field}") for field in ("mean_average_precision", "map_low", "map_high"))
    return spanned(value, low, high)


def _chance(line: Line) -> tuple[str, str]:
    return share(line.figure("chance_ndcg_at_100")), share(line.figure("chance_mean_average_precision"))
