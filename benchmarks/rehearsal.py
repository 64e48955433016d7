"""A replay rehearsed on validation patients: the same plans, verdicts and list, from embeddings, in seconds a round.

Run as: python -m benchmarks.rehearsal --cache FOLDER

What a verdict rests on is chosen here; the `test` patients are replayed once, by `lungprint replay`. No image is
written, sent or encoded anew, and no database kept. The patients are divided in two halves, and each is judged by a
calibration that was fitted on the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from archive.alerts import label_key, pixels_key, record_key, record_rule
from archive.gallery import Images, Probe, Twin
from archive.states import AlertKind, AlertState, ImageState
from benchmarks.record import Row, append_rows
from cli.demonstration.filing import instance_uid
from cli.demonstration.score import LABEL_IS_WRONG
from cli.replaying.figures import figures
from cli.replaying.outcome import RoundOutcome, Shown, Truth
from cli.replaying.plan import Plan, Shares, planned
from cli.replaying.run import options_for
from cli.sources import Source, find_sources
from config.settings import Settings, load_settings
from retrieval.calibration import Calibration, calibration_beside
from retrieval.comparison import Comparer
from retrieval.data.cache import prepared_images
from retrieval.data.manifest import ImageRow, Split, read_manifest
from retrieval.data.source import LATERAL
from retrieval.data.trusted import trusted
from retrieval.encoder import Encoder
from retrieval.evaluation.encodings import Codes, codes_of, pairs_by_kind
from retrieval.headers import Header, log_ratio
from retrieval.normalisation import Strangers
from retrieval.training.calibrate import fit_calibration
from retrieval.training.kinds import SHARES, by_kind
from retrieval.verdict import VerdictKind
from retrieval.verification import read_verifier
from retrieval.weights.card import find_weights
from workers.index_owner import Network
from workers.match import ALERTS, Examination, weigh

Numbers = npt.NDArray[np.int64]
PLANTED = Shares(swap=0.02, second_record=0.01, resent=0.01)
BUDGET = 20.0


@dataclass
class Rehearsal:
    """A round under way: the gallery so far, and the alerts.

    Attributes:
        plan: of the round. codes: of every image. place: by path, its place among them.
        network, settings: as the replayed system has them.
        examined: by number of the shot, everything its verdict stands on.
    """

    plan: Plan
    codes: Codes
    place: Mapping[str, int]
    network: Network
    settings: Settings
    examined: dict[int, Examination] = field(default_factory=dict)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        records = self.plan.delivery.records
        self._numbers = {label: number for number, label in enumerate(records, 1)}
        self._patient_id = {self._numbers[label]: record.patient.patient_id for label, record in records.items()}
        self._header = {
            self._numbers[label]: Header(record.patient.sex, record.patient.birth_date)
            for label, record in records.items()
        }
        self._shots: list[int] = []
        self._rows: list[int] = []
        self._labels: list[int] = []
        self._doubted: set[int] = set()
        self._strangers: tuple[int, Strangers] | None = None

    def play(self) -> RoundOutcome:
        """Judge every image in order."""
        images = []
        for shot in self.plan.delivery.shots:
            row, planted = self.place[str(shot.film.content.path)], self.plan.errors.get(shot.number)
            if not self.codes.suitable[row]:
                images.append(Shown(planted, ImageState.UNSUITABLE, "", None))
                continue
            verdict = self._judge(shot.number, row, self._numbers[shot.label]).verdict
            images.append(Shown(planted, ImageState.MATCHED, verdict.kind.value, verdict.probability))
            self._shots.append(shot.number)
            self._rows.append(row)
            self._labels.append(self._numbers[shot.label])
        truth = Truth(self.plan)
        alerts = sorted((truth.of(alert) for alert in self.alerts.values()), key=lambda one: -one.probability)
        return RoundOutcome(images, alerts, records=record_rule(self.settings))

    def _judge(self, number: int, row: int, label: int) -> Examination:
        probe = Probe(
            number, label, label, number, ImageState.ENCODED, False, None, self.network.model_id,
            self.codes.embedding[row], self.codes.code[row],
        )  # fmt: skip
        shots, rows, labels = (np.array(one, np.int64) for one in (self._shots, self._rows, self._labels))
        believed = ~np.isin(shots, list(self._doubted))
        strangers = self._strangers_of(shots, rows, labels)
        others = np.flatnonzero(labels != label)
        best = others[np.argsort(-(self.codes.embedding[rows[others]] @ probe.embedding), kind="stable")]
        near = np.unique(labels[best[: self.settings.index.candidates]])
        own, other = labels == label, np.isin(labels, near)
        headers = {
            person: log_ratio(self._header[label], self._header[person], self.settings.verdict.header_error_rate)
            for person in near.tolist()
        }
        found = weigh(
            self.network,
            self.settings,
            probe,
            self._images(shots, rows, labels, own & believed),
            self._images(shots, rows, labels, other & believed),
            self._twin(row, label),
            len(np.unique(labels[others])),
            strangers,
            headers,
        )
        self.examined[number] = found
        if found.verdict.kind in ALERTS:
            self._raise(found)
        return found

    def _images(self, shots: Numbers, rows: Numbers, labels: Numbers, which: npt.NDArray[np.bool_]) -> Images:
        at = rows[which]
        return Images(shots[which], labels[which], self.codes.embedding[at], self.codes.code[at])

    def _twin(self, row: int, label: int) -> Twin | None:
        same = [at for at, other in enumerate(self._rows) if other == row]
        twins = [Twin(self._shots[at], self._labels[at]) for at in same]
        return min(twins, key=lambda twin: (twin.person == label, twin.instance_id), default=None)

    def _strangers_of(self, shots: Numbers, rows: Numbers, labels: Numbers) -> Strangers:
        if self._strangers is None or abs(len(shots) - self._strangers[0]) > self._strangers[0] // 100:
            self._strangers = len(shots), Strangers.of(self.codes.embedding[rows], labels)
        return self._strangers[1]

    def _raise(self, found: Examination) -> None:
        probe, verdict = found.probe, found.verdict
        kind, key, other = ALERTS[verdict.kind], label_key(probe.instance_id), verdict.other
        if found.twin is not None:
            key, other = pixels_key(probe.instance_id), found.twin.person
        elif verdict.kind is VerdictKind.DUPLICATE_RECORD and other is not None:
            key = record_key(probe.person, other)
        copied = kind is AlertKind.DUPLICATE_IMAGE and other != probe.person
        if verdict.probability >= 0.5 and (kind in LABEL_IS_WRONG or copied):
            self._doubted.add(probe.instance_id)
        if key in self.alerts and self.alerts[key]["probability"] >= verdict.probability:
            return
        self.alerts[key] = {
            "kind": kind.value,
            "probability": verdict.probability,
            "state": AlertState.OPEN,
            "sop_instance_uid": instance_uid(self.plan.delivery.seed, probe.instance_id),
            "patient_id": self._patient_id[probe.person],
            "other_patient_id": None if other is None else self._patient_id[other],
        }


def halves(rows: Sequence[ImageRow], seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Positions of the images to replay, and of those to calibrate on: of either half of the patients in turn."""
    patients = np.random.default_rng(seed).permutation(np.unique([row.patient for row in rows]))
    for half in (patients[::2], patients[1::2]):
        mine = np.isin([row.patient for row in rows], half)
        yield np.flatnonzero(mine).tolist(), np.flatnonzero(~mine).tolist()


def calibrated(rows: Sequence[ImageRow], codes: Codes, like: Network) -> Network:
    """The network with a calibration fitted on these images."""
    kinds = by_kind(rows, codes)
    pairs, population = pairs_by_kind(kinds, like.comparer.verifier)
    shares = {kind: share for kind, share in SHARES.items() if kind in kinds}
    found = fit_calibration(pairs, shares, like.model_id, like.bits // 2, population)
    return Network(like.model_id, like.dim, like.bits, Comparer(found, like.comparer.verifier))


def settings_for(plan: Plan, weights: str) -> Settings:
    """Those of a replay."""
    with tempfile.TemporaryDirectory(prefix="lungprint-rehearsal-") as scratch:
        (Path(scratch) / "lungprint.toml").write_text(options_for(plan, weights, BUDGET), encoding="utf-8")
        return load_settings(Path(scratch), environ={})


def rehearsed(
    rows: Sequence[ImageRow],
    codes: Codes,
    known: Mapping[str, Source],
    like: Network,
    weights: str,
    seed: int,
    rounds: int,
) -> Iterator[RoundOutcome]:
    """Play so many rounds of each half of the patients."""
    for replayed, fitted in halves(rows, seed):
        suitable = [position for position in fitted if codes.suitable[position]]
        network = calibrated([rows[position] for position in suitable], codes.chosen(suitable), like)
        paths = [str(rows[position].path) for position in replayed]
        place = {path: number for number, path in enumerate(paths)}
        for number in range(rounds):
            plan = planned([known[path] for path in paths], PLANTED, seed, number)
            yield Rehearsal(plan, codes.chosen(replayed), place, network, settings_for(plan, weights)).play()


@click.command()
@click.option("--weights", default="default", show_default=True, help="Name or path of the weight file.")
@click.option("--manifest", type=click.Path(path_type=Path), default="../shared/data/manifest.csv", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Folder for prepared images and codes.")
@click.option("--seed", default=1, show_default=True)
@click.option("--rounds", default=8, show_default=True, help="Of each half of the patients.")
def main(weights: str, manifest: Path, cache: Path, seed: int, rounds: int) -> None:
    """Say what a list of 20 alerts per 1,000 studies finds among validation patients."""
    encoder, path = Encoder.load(weights), find_weights(weights)
    rows = [row for row in trusted(read_manifest(manifest)) if row.split is Split.VAL and row.view != LATERAL]
    codes = codes_of(encoder, prepared_images(rows, cache), "val patients", cache)
    verifier = read_verifier(path, encoder.dim)
    like = Network(
        encoder.model_id, encoder.dim, encoder.bits, Comparer(Calibration.load(calibration_beside(path)), verifier)
    )
    known = {str(source.path): source for source in find_sources(manifest)}
    played = list(rehearsed(rows, codes, known, like, weights, seed, rounds))
    results = []
    for line in figures(played, (BUDGET,)):
        click.echo(f"{line.kind}: {line.found} of {line.planted} found, precision {line.precision:.2f}")
        conditions = f"{encoder.model_id}, val, {len(played)} rounds, seed {seed}, {BUDGET:g} alerts per 1,000 studies"
        results += [
            Row("rehearsal", f"{line.kind}, found", line.share, "share", conditions),
            Row("rehearsal", f"{line.kind}, precision", line.precision, "share", conditions),
        ]
    append_rows("rehearsal", results)


if __name__ == "__main__":
    main()
