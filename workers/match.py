"""The match task: compare an encoded image with its label's priors and everybody else, and write down the verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from archive import gallery, priors, progress
from archive.alerts import Finding, label_key, pixels_key, raise_alert, record_key
from archive.changes import newest_change, take_turn
from archive.corrections import replace_rejected
from archive.database import Database
from archive.gallery import Images, Probe, Twin
from archive.links import is_denied
from archive.models import Instance, now
from archive.resolution import settle
from archive.states import AlertKind, ImageState, check_step
from config.settings import Settings
from retrieval.errors import IndexUnavailable
from retrieval.headers import Header, log_ratio
from retrieval.normalisation import Strangers
from retrieval.verdict import Evidence, Person, Rates, Verdict, VerdictKind, judge
from workers.index_owner import IndexOwner, Network

logger = logging.getLogger(__name__)

# Said of an image that waits for its verdict with codes of other weights.
OUTDATED = "outdated"

ALERTS = {
    VerdictKind.WRONG_PATIENT: AlertKind.WRONG_PATIENT,
    VerdictKind.PRIOR_MISMATCH: AlertKind.PRIOR_MISMATCH,
    VerdictKind.DUPLICATE_RECORD: AlertKind.DUPLICATE_RECORD,
    VerdictKind.DUPLICATE_IMAGE: AlertKind.DUPLICATE_IMAGE,
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """A probe against some images.

    Attributes:
        images: n images.
        cosines: float64 (n,). log_ratios, probabilities, rarities: float64 (n,), see `Similarities`.
    """

    images: Images
    cosines: NDArray[np.float64]
    log_ratios: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    rarities: NDArray[np.float64]

    def persons(self, headers: Mapping[int, float]) -> tuple[Person, ...]:
        """The comparisons by person, with what the headers of some say."""
        numbers = np.unique(self.images.person).tolist()
        return tuple(
            Person(number, self.log_ratios[self.images.person == number], headers.get(number, 0.0))
            for number in numbers
        )

    def best(self, person: int) -> int:
        """Row of a person's image that is most alike; ties by cosine, then by id."""
        rows = np.flatnonzero(self.images.person == person)
        order = np.lexsort((self.images.instance[rows], -self.cosines[rows], -self.log_ratios[rows]))
        return int(rows[order[0]])


@dataclass(frozen=True)
class Extent:
    """How large a gallery is."""

    images: int
    persons: int


@dataclass(frozen=True, eq=False)
class Examination:
    """Everything a verdict stands on."""

    probe: Probe
    own: Comparison
    others: Comparison
    twin: Twin | None
    evidence: Evidence
    verdict: Verdict


def match(owner: IndexOwner, database: Database, settings: Settings, instance_id: int) -> str:
    """`match_image`, with a failure of one image counted as an attempt, so that it ends as a dead letter.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is away; the image stays where it is.
        IndexUnavailable: the cluster that keeps the index is away; only an owner that starts anew is equal to it again.
    """
    try:
        return match_image(owner, database, settings, instance_id)
    except IndexUnavailable:
        raise
    except Exception as error:
        logger.exception("image %d was not matched", instance_id)
        with database.write() as session:
            reason = f"matching failed: {type(error).__name__}"
            state = progress.record_failure(session, instance_id, reason, settings.workers)
        return str(state or "gone")


def match_image(owner: IndexOwner, database: Database, settings: Settings, instance_id: int) -> str:
    """Give an ENCODED image its verdict and let it join the index; again, or after a crash, the result is the same.

    Alert and state are committed together; only then the image joins the index, which catches up at start with whatever
    was committed. A MATCHED image only joins the index, unless it is to be judged again: then it gets another verdict,
    and what was said of it before and does not hold any longer closes. An image in another state, or with codes of
    other weights, is left to those who move it on.

    Returns:
        what came of it: a verdict, or the image's state when there was nothing to do; `gone` if there is no such image;
        `outdated` if it waits with codes of other weights and must be encoded anew.
    """
    while True:
        known = owner.catch_up()
        with database.read() as session:
            probe = gallery.load_probe(session, instance_id)
            if probe is None:
                return "gone"
            if probe.model_id != owner.network.model_id:
                return OUTDATED if probe.state is ImageState.ENCODED else str(probe.state)
            found = examine(session, owner, settings, probe) if _is_to_judge(probe) else None
        if found is None or _conclude(database, settings, owner, found, known):
            break
    if probe.state in (ImageState.ENCODED, ImageState.MATCHED):
        owner.add(probe)
    return str(probe.state) if found is None else str(found.verdict.kind)


def _is_to_judge(image: Probe | Instance) -> bool:
    return image.state is ImageState.ENCODED or (image.state is ImageState.MATCHED and image.judge_again)


def examine(session: Session, owner: IndexOwner, settings: Settings, probe: Probe) -> Examination:
    """Compare a probe with everything that matters and judge; nothing is written."""
    model_id = owner.network.model_id
    ranked = owner.candidates(probe)
    own = _judges(session, probe, gallery.priors(session, probe, model_id))
    others = gallery.images_of(session, owner.persons_of(ranked.ids), probe, model_id)
    twin = gallery.same_pixels(session, probe)
    rivals, strangers = owner.other_persons(probe), owner.strangers()
    headers = _headers(session, settings, probe, others.person)
    return weigh(owner.network, settings, probe, own, others, twin, rivals, strangers, headers)


def _headers(session: Session, settings: Settings, probe: Probe, persons: NDArray[np.int64]) -> dict[int, float]:
    """What sex and birth date say about the probe's record and those of other persons being of one person."""
    known = gallery.demographics(session, [probe.patient_pk, *np.unique(persons).tolist()])
    mine, rate = Header(*known.get(probe.patient_pk, ("", ""))), settings.verdict.header_error_rate
    return {number: log_ratio(mine, Header(*entry), rate) for number, entry in known.items()}


def _judges(session: Session, probe: Probe, own: Images) -> Images:
    """The images of its label by which an image is judged: one that was fetched as history, by history alone.

    The image that came by itself is what a doctor is about to read: it is judged by its priors, never they by it.
    """
    fetched = priors.retrieved(session, [probe.instance_id, *own.instance.tolist()])
    return own.only(fetched) if probe.instance_id in fetched else own


def weigh(
    network: Network,
    settings: Settings,
    probe: Probe,
    own_images: Images,
    other_images: Images,
    twin: Twin | None,
    other_persons: int,
    strangers: Strangers,
    headers: Mapping[int, float] | None = None,
) -> Examination:
    """Judge a probe by all that it is to be compared with.

    Args:
        own_images: of the probe's own label. other_images: of persons that it may show.
        twin: an image with the same pixels.
        other_persons: how many persons the gallery holds besides the probe's own.
        strangers: images of the gallery by which likeness is measured.
        headers: by person, what the headers of the probe's and that person's record say, see `retrieval.headers`.
    """
    own, others = (compare(network, probe, images, strangers) for images in (own_images, other_images))
    evidence = Evidence(
        own=Person(probe.person, own.log_ratios) if len(own_images) else None,
        others=others.persons(headers or {}),
        other_persons=other_persons,
        same_pixels=twin is not None,
    )
    options = settings.verdict
    rates = Rates(options.base_rate, options.duplicate_rate, options.owner_in_gallery)
    return Examination(probe, own, others, twin, evidence, judge(evidence, rates, options.min_probability))


def compare(network: Network, probe: Probe, images: Images, strangers: Strangers) -> Comparison:
    """Compare a probe with images one by one, as alike as each is to strangers of the gallery."""
    if not len(images):
        nothing = np.zeros(0)
        return Comparison(images, nothing, nothing, nothing, nothing)
    found = network.comparer.compare(
        probe.embedding, probe.code, images.embedding, images.code, strangers, probe.person, images.person
    )
    return Comparison(images, found.cosine.astype(np.float64), found.log_ratio, found.probability, found.rarity)


def _conclude(database: Database, settings: Settings, owner: IndexOwner, found: Examination, known: int) -> bool:
    """Write alert and state in one transaction, unless another delivery of the same message was faster.

    Args:
        known: the newest change that the examination knew of, see `archive.changes`.

    Returns:
        False, with nothing written, if somebody has joined, separated or corrected records since.
    """
    with database.write() as session:
        take_turn(session)
        if newest_change(session) > known:
            return False
        instance = session.get(Instance, found.probe.instance_id, with_for_update=True)
        if instance is not None and _is_to_judge(instance):
            _write_down(session, settings, owner, found, instance)
        return True


def _write_down(
    session: Session, settings: Settings, owner: IndexOwner, found: Examination, instance: Instance
) -> None:
    moment, key = now(), None
    extent = Extent(len(owner.rows), owner.rows.person_count)
    if found.verdict.kind in ALERTS:
        finding = finding_of(session, settings, found, extent)
        if not is_denied(session, finding.kind, finding.patient_pk, finding.other_patient_pk):
            fetched = bool(priors.retrieved(session, [instance.id]))
            alert = raise_alert(session, settings, finding, moment, anew=instance.judge_again, is_history=fetched)
            key = alert.key
    if instance.state is ImageState.MATCHED:
        instance.judge_again = False
    else:
        check_step(instance.state, ImageState.MATCHED)
        instance.state, instance.matched_at = ImageState.MATCHED, moment
    settle(session, instance.id, key)
    replace_rejected(session, instance)
    instance.due_at, instance.attempts, instance.reason = moment, 0, ""
    instance.verdict, instance.probability = found.verdict.kind.value, found.verdict.probability


def finding_of(session: Session, settings: Settings, found: Examination, extent: Extent) -> Finding:
    """What an alert says about a probe whose verdict asks for one, in a gallery of a certain size."""
    probe, verdict = found.probe, found.verdict
    other: int | None = None
    key = label_key(probe.instance_id)
    if found.twin is not None:
        other, key = found.twin.instance_id, pixels_key(probe.instance_id)
    elif verdict.other is not None:
        other = int(found.others.images.instance[found.others.best(verdict.other)])
        if verdict.kind is VerdictKind.DUPLICATE_RECORD:
            key = record_key(probe.person, verdict.other)
    return Finding(
        key=key,
        kind=ALERTS[verdict.kind],
        probability=verdict.probability,
        instance_id=probe.instance_id,
        patient_pk=probe.patient_pk,
        other_instance_id=other,
        other_patient_pk=None if other is None else session.get_one(Instance, other).patient_pk,
        evidence={
            "cause": "comparison" if found.twin is None else "same_pixels",
            "gallery_patients": extent.persons,
            "gallery_images": extent.images,
            "base_rate": settings.verdict.base_rate,
            "own": _summary(found.own, found.evidence.own),
            "other": _summary_of_other(found, extent),
        },
    )


def _summary_of_other(found: Examination, extent: Extent) -> dict[str, Any] | None:
    """The person that the verdict names, else the one most alike, with everything that makes the match worth less."""
    ranked, named = found.evidence.ranked, found.verdict.other
    if not ranked:
        return None
    person = next((one for one in ranked if one.number == named), ranked[0])
    rest = [one.log_ratio for one in ranked if one is not person]
    rarity = float(found.others.rarities[found.others.best(person.number)])
    return {
        **_summary(found.others, person),
        "runner_up_log_lr": max(rest, default=None),
        "header_log_lr": person.log_header,
        "rarity": rarity,
        "expected_strangers": rarity * extent.images,
    }


def _summary(comparison: Comparison, person: Person | None) -> dict[str, Any]:
    if person is None:
        return {"images": 0, "log_lr": None, "best_instance": None, "best_cosine": None, "best_probability": None}
    best = comparison.best(person.number)
    mine = comparison.images.person == person.number
    return {
        "images": len(person.log_ratios),
        "log_lr": person.log_ratio,
        "best_instance": int(comparison.images.instance[best]),
        "best_cosine": float(comparison.cosines[best]),
        "mean_cosine": float(comparison.cosines[mine].mean()),
        "best_probability": float(comparison.probabilities[best]),
    }
