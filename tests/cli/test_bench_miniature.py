"""Every method of `lungprint bench`, in miniature: drawn chests, three steps of training."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import lungprint
from cli.outcome import ExitCode
from retrieval.bench.columns import COSTS, DECISION, FIELD, FINDINGS, IDENTITY
from retrieval.bench.recipes import MARGINS
from tests.phantoms import COMPARED, phantom_manifest

P3 = ("siamese", "verification")
P1 = (*(f"m{margin}" for margin in MARGINS), "round1", "round2", "round2-augmented")
EXPECTED = [
    *(f"histogram-{metric}" for metric in ("correlation", "chi-square", "intersection", "bhattacharyya")),
    *("grey-cosine", "ahash", "phash", "dhash", "sift", "orb"),
    *(f"{kind}-{backbone}{gate}" for backbone in ("vgg16", "resnet18") for kind in P3 for gate in ("", "-gated")),
    *(f"p1-{backbone}-{word}" for backbone in ("resnet50", "efficientnet_b4") for word in P1),
    *(
        f"{backbone}-{measure}"
        for backbone in ("resnet18", "resnet50", "resnet152")
        for measure in ("cosine", "l1", "l2", "jaccard")
    ),
    "resnet50-max",
    *("lungprint", "lungprint-calibrated"),
]
"""Every method that the issue names, but P4's, whose keys are its own."""
P4 = 16


RUNS = (
    ("histogram-correlation", "histogram-chi-square", "histogram-intersection", "histogram-bhattacharyya"),
    ("grey-cosine", "ahash", "phash", "dhash", "sift", "orb", "p2", "p5", "ours"),
    tuple(key for key in EXPECTED if key.startswith(P3)),
    tuple(key for key in EXPECTED if key.startswith("p1-resnet50")),
    tuple(key for key in EXPECTED if key.startswith("p1-efficientnet_b4")),
    ("p4",),
)
"""In several runs, so that none takes long; the last one reads what the others measured."""


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of every run."""
    made = tmp_path_factory.mktemp("miniature")
    manifest = phantom_manifest(made)
    folders = ["-o", str(made / "out"), "--cache", str(made / "cache")]
    return ["--profile", "miniature", "--rounds", "20", "--data", str(manifest), *folders]


def bench(*arguments: str) -> None:
    """Run the command in this process."""
    done = CliRunner().invoke(lungprint, ["bench", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == ExitCode.OK


def rows_of(where: list[str]) -> dict[str, dict[str, str]]:
    with (folder_of(where) / "comparison.csv").open(encoding="utf-8") as stream:
        return {row["key"]: row for row in csv.DictReader(stream)}


def folder_of(where: list[str]) -> Path:
    return Path(where[where.index("-o") + 1])


@pytest.mark.parametrize("methods", RUNS, ids=lambda methods: methods[-1])
def test_no_method_s_row_is_empty(where: list[str], methods: tuple[str, ...]) -> None:
    bench(*methods, *where)
    # Pairs of two persons are too few for the rate 1e-2 here.
    columns = [column for column in (*IDENTITY, *COSTS, *DECISION, *FIELD, *FINDINGS) if "fpr" not in column.field]
    for key, row in rows_of(where).items():
        assert (key, [column.field for column in columns if not row[column.field]]) == (key, [])
        assert all(math.isfinite(float(row[column.field])) for column in columns)
        assert int(row["images"]) == 2 * COMPARED
        assert row["learned"]
    assert not (folder_of(where) / "runs").exists() or not list((folder_of(where) / "runs").iterdir())


def test_all_methods_together_have_a_row_each_and_every_table_is_there(where: list[str]) -> None:
    """Nothing is measured twice: this run reads what those above left."""
    bench(*where)
    rows = rows_of(where)
    assert [key for key in rows if rows[key]["group"] != "p4"] == EXPECTED
    assert len(rows) == len(EXPECTED) + P4
    page, tables = ((folder_of(where) / name).read_text(encoding="utf-8") for name in ("comparison.md", "tables.md"))
    assert [row["name"] for row in rows.values() if f"| {row['name']} |" not in tables] == []
    headings = (
        "P1, table 1: partner among the nearest",
        "P1, margins",
        "P2, table 3: recall",
        "P2, table 2: speed",
        "P3, tables 9 and 10",
        "P5, recall@",
    )
    assert [heading for heading in headings if f"### {heading}" not in tables] == []
    assert "Networks that start from random weights learned for 3 steps" in page
    assert "DRH's formulas could not be looked up again" in page
    assert (folder_of(where) / "comparison.png").stat().st_size > 10_000
