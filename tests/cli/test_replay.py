"""`lungprint replay` from the manifest to the report, on synthetic persons, and stopped on the way."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from archive.alerts import record_rule
from cli.main import lungprint
from cli.replaying import run
from cli.replaying.outcome import RoundOutcome, outcome
from cli.replaying.pipeline import RememberingEncoder, opened
from cli.replaying.plan import Plan, Shares, planned
from cli.replaying.tables import read_csv
from cli.sources import Source, find_sources
from config.settings import load_settings
from retrieval import phantom
from retrieval.encoder import Encoder
from workers.decode_pool import DecodePool

PERSONS, EXAMS = 8, 4
SHARES = Shares(swap=0.06, second_record=0.03, resent=0.06)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight persons with four exams each, and one lateral view."""
    folder = tmp_path_factory.mktemp("persons")
    rows = [("file", "patient", "dataset", "split", "view", "sex", "age", "day")]
    for person in range(PERSONS):
        drawn = phantom.random_person(np.random.default_rng(person))
        for exam in range(EXAMS):
            name = f"secret{person}-{exam}.png"
            tones = phantom.render(drawn, phantom.random_exam(np.random.default_rng([person, exam])), 256)
            cv2.imwrite(str(folder / name), np.rint(tones * 255).astype(np.uint8))
            rows.append((name, f"SECRET{person}", "a", "test", "PA", "F", "50", str(exam * 30)))
    rows.append((rows[1][0], "SECRET9", "a", "test", "L", "", "", ""))
    path = folder / "manifest.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


@pytest.fixture(scope="module")
def sources(manifest: Path) -> tuple[Source, ...]:
    return find_sources(manifest)


@pytest.fixture(scope="module")
def encoder() -> RememberingEncoder:
    return RememberingEncoder(Encoder.load(threads=1))


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecodePool]:
    pool = DecodePool(load_settings(tmp_path_factory.mktemp("options"), environ={}).decoding)
    yield pool
    pool.close()


class Stopped(Exception):
    """What stops a replay in the middle."""


def played(
    plan: Plan, root: Path, encoder: RememberingEncoder, decoders: DecodePool, stop_after: int = 10_000
) -> tuple[RoundOutcome, list[int]]:
    """The outcome, and the numbers of the images that were looked at."""
    looked_at: list[int] = []

    def settled(number: int) -> None:
        if number >= stop_after:
            raise Stopped

    with opened(root, run.options_for(plan, "default", 20.0), encoder, decoders) as pipeline:
        pipeline.run(plan.delivery, lambda number, found: looked_at.append(number), settled)
        with pipeline.database.read() as session:
            return outcome(session, plan, record_rule(pipeline.settings)), looked_at


def test_a_replay_that_was_stopped_ends_as_if_it_had_not_been(
    sources: tuple[Source, ...], encoder: RememberingEncoder, decoders: DecodePool, tmp_path: Path
) -> None:
    plan = planned(sources, SHARES, 1, 0)
    whole, all_of_them = played(plan, tmp_path / "whole", encoder, decoders)
    with pytest.raises(Stopped):
        played(plan, tmp_path / "stopped", encoder, decoders, stop_after=20)
    continued, rest = played(plan, tmp_path / "stopped", encoder, decoders)
    assert continued == whole
    assert len(all_of_them) == len(plan.delivery.shots) - 1
    assert rest and min(rest) > 16


def test_the_report_tells_everything_but_who(manifest: Path, tmp_path: Path) -> None:
    arguments = ["--swap", "0.06", "--second-record", "0.03", "--resend", "0.06", "--rounds", "1"]
    result = CliRunner().invoke(lungprint, ["replay", str(manifest), *arguments, "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"report.md", "replay.csv", "replay.png", "images.csv"}
    lines = read_csv(out / "replay.csv")
    resent = [line for line in lines if line.kind.startswith("the same pixels")]
    assert resent and all(line.planted and line.found == line.planted for line in resent)
    assert {line.gallery for line in lines} == {0, 10_000, 100_000, 1_000_000}
    with (out / "images.csv").open() as stream:
        images = list(csv.DictReader(stream))
    assert len(images) == PERSONS * EXAMS + 1 + resent[0].planted
    assert {image["state"] for image in images} == {"MATCHED", "UNSUITABLE"}
    assert next(image for image in images if image["state"] == "UNSUITABLE")["row"] == str(PERSONS * EXAMS + 1)
    told = result.output + "".join(path.read_text() for path in out.iterdir() if path.suffix in (".md", ".csv"))
    assert "SECRET" not in told and "secret" not in told
    assert cv2.imread(str(out / "replay.png")).std() > 10


def test_finished_rounds_are_not_played_again(
    sources: tuple[Source, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = run.Task(sources, SHARES, 1, "default", 20.0, 2, False, tmp_path)
    for number in (1, 2):
        run.Replay(task, Console())
        RoundOutcome([], []).save(tmp_path / run.WORK / f"round-{number}.json")
    assert run.Replay(task, Console()).play() == [RoundOutcome([], [])] * 2


def test_another_task_begins_afresh_and_strange_folders_are_left_alone(
    sources: tuple[Source, ...], tmp_path: Path
) -> None:
    run.Replay(run.Task(sources, SHARES, 1, "default", 20.0, 2, False, tmp_path), Console())
    RoundOutcome([], []).save(tmp_path / run.WORK / "round-1.json")
    run.Replay(run.Task(sources, SHARES, 2, "default", 20.0, 2, False, tmp_path), Console())
    assert not (tmp_path / run.WORK / "round-1.json").exists()
    (tmp_path / "other" / run.WORK).mkdir(parents=True)
    (tmp_path / "other" / run.WORK / "thesis.tex").write_text("precious")
    with pytest.raises(run.InputNotUsable, match="something else"):
        run.Replay(run.Task(sources, SHARES, 1, "default", 20.0, 2, False, tmp_path / "other"), Console())


def test_rounds_are_as_many_as_misfile_a_hundred(sources: tuple[Source, ...], tmp_path: Path) -> None:
    few = run.Replay(run.Task(sources, SHARES, 1, "default", 20.0, None, False, tmp_path), Console())
    assert few.rounds == run.MOST_ROUNDS
    assert run.Replay(run.Task(sources, SHARES, 1, "default", 20.0, 3, False, tmp_path), Console()).rounds == 3


def test_a_manifest_without_the_split_is_refused(manifest: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(lungprint, ["replay", str(manifest), "--split", "val", "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "no images of the split 'val'" in str(result.exception)
