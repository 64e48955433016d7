"""Earlier images from real PACS, DCMTK's dcmqrscp and Orthanc: which are fetched, which are not, what if it fails."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, generate_uid
from pynetdicom.dsutils import decode
from sqlalchemy import select, update

from archive import priors as archived
from archive.audit_export import next_batch
from archive.database import Database
from archive.models import Instance, Patient, PriorSearch, RetrievedDay, RetrievedSeries, now
from archive.states import ImageState, SearchState
from config.paths import DataDir
from config.settings import Settings, load_settings
from dicom_node.discretion import keep_values_private
from dicom_node.priors import PriorRetrieval
from dicom_node.services import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from tests.dicom_node.pacs import TITLE, dcmqrscp, orthanc
from tests.dicom_node.sending import Sender, listening
from tests.listening import radiograph
from tests.ports import free_port

OPTIONS = {"peer": TITLE, "series_per_minute": 6000, "hours": "00:00-00:00"}
TODAY = date.today()

Serve = Callable[[Path, list[Dataset], int], AbstractContextManager[int]]


@contextmanager
def by_orthanc(folder: Path, images: list[Dataset], destination: int) -> Iterator[int]:
    with orthanc(folder, destination, images) as server:
        yield server.port


@contextmanager
def by_dcmqrscp(folder: Path, images: list[Dataset], destination: int) -> Iterator[int]:
    with dcmqrscp(folder, images, destination) as port:
        yield port


SERVERS = [by_dcmqrscp, by_orthanc]


@dataclass
class Site:
    """A listener beside a PACS.

    Attributes:
        settings: of the listener, for the retrieval beside it.
    """

    folder: DataDir
    database: Database
    settings: Settings
    sender: Sender

    def retrieval(self, **changed: Any) -> PriorRetrieval:
        options = self.settings.priors.model_copy(update=changed)
        settings = self.settings.model_copy(update={"priors": options})
        return PriorRetrieval(settings, self.folder, self.database, lambda _instance: None)

    def stored(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(select(Instance.sop_instance_uid)))

    def searches(self) -> dict[str, PriorSearch]:
        """The searches by Patient ID."""
        with self.database.read() as session:
            rows = session.execute(select(Patient.patient_id, PriorSearch).join(PriorSearch)).all()
        return {row[0]: row[1] for row in rows}

    def make_due(self) -> None:
        with self.database.write() as session:
            session.execute(update(PriorSearch).values(due_at=now()))
            session.execute(update(RetrievedDay).values(due_at=now()))

    def compare_all(self) -> None:
        """What encoder and matcher would do."""
        with self.database.write() as session:
            session.execute(update(Instance).values(state=ImageState.MATCHED, matched_at=now()))


@contextmanager
def site(
    folder: DataDir, database: Database, serve: Serve, place: Path, images: list[Dataset], **options: Any
) -> Iterator[Site]:
    keep_values_private()
    here = free_port()
    with serve(place, images, here) as port:
        peers = [{"ae_title": title, "address": "127.0.0.1", "port": port} for title in (TITLE, "MODALITY")]
        dicom = {"peers": peers, "host": "127.0.0.1", "port": here, "min_free_mib": 0}
        chosen = OPTIONS | options
        settings = load_settings(folder.root, environ={}, flags={"dicom": dicom, "priors": chosen})
        with listening(folder, database, priors=chosen, **dicom) as sender:
            yield Site(folder, database, settings, sender)


def image(number: int, patient: str = "PID1", days: int = 100, **elements: Any) -> Dataset:
    """An image of a patient, made so many days ago."""
    taken = f"{TODAY - timedelta(days=days):%Y%m%d}"
    return radiograph(number, PatientID=patient, StudyDate=taken, StudyID=str(number), SeriesNumber=1, **elements)


def uids(*images: Dataset) -> set[str]:
    return {str(one.SOPInstanceUID) for one in images}


EARLIER = [
    image(1),
    image(2, days=400, SOPClassUID=ComputedRadiographyImageStorage, Modality="CR", BodyPartExamined="CHEST"),
    image(3, days=10, BodyPartExamined="THORAX PA"),
]
OTHERS = [
    image(11, patient="PID2"),
    image(12, patient="PID12"),
    image(13, days=366 * 6),
    image(14, SOPClassUID=CTImageStorage, Modality="CT"),
    image(15, BodyPartExamined="HAND"),
]


@pytest.mark.parametrize("retrieve", ["move", "get"])
@pytest.mark.parametrize("serve", SERVERS)
def test_a_patient_first_seen_gets_the_earlier_chest_images_and_no_others(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve, retrieve: str
) -> None:
    with site(folder, database, serve, tmp_path / "pacs", EARLIER + OTHERS, retrieve=retrieve) as here:
        live = image(100, days=0)
        assert here.sender.send(live) == 0
        assert here.retrieval().work(60) == 1
        search = here.searches()["PID1"]
        assert (search.state, search.reason) == (SearchState.RETRIEVED, "")
        # dcmqrscp does not tell body parts, so the hand comes too; the gate sets it aside.
        hand = [OTHERS[4]] if serve is by_dcmqrscp else []
        assert here.stored() == uids(live, *EARLIER, *hand)
        with database.read() as session:
            assert all(session.scalars(select(RetrievedSeries.complete)))
        told = next_batch(database, "file")
        assert {one.requested for one in told.received} == {False, True}
        service = STUDY_ROOT_MOVE if retrieve == "move" else STUDY_ROOT_GET
        assert [one.sop_class_uid for one in told.asked].count(service) == 3 + len(hand)
        first = decode(BytesIO(told.asked[0].identifier), False, True)
        assert (told.asked[0].sop_class_uid, first.QueryRetrieveLevel) == (STUDY_ROOT_FIND, "STUDY")
        assert (told.asked[0].peer, first.PatientID) == (TITLE, "PID1")
        assert {one.patient.patient_id for one in told.asked if one.patient is not None} == {"PID1"}
        # Nobody is searched for whom the images were fetched, nor the same patient twice.
        assert set(here.searches()) == {"PID1"}
        here.make_due()
        assert here.sender.send(image(101, days=0)) == 0
        here.compare_all()
        assert here.retrieval().work(60) == 1
        assert here.searches()["PID1"].state is SearchState.DONE
        with database.read() as session:
            again = session.scalars(select(Instance.sop_instance_uid).where(Instance.judge_again))
            assert set(again) == uids(live, image(101))


@pytest.mark.parametrize("serve", SERVERS[:1])
def test_depth_is_as_configured(folder: DataDir, database: Database, tmp_path: Path, serve: Serve) -> None:
    with site(folder, database, serve, tmp_path / "pacs", EARLIER + OTHERS) as here:
        assert here.sender.send(image(100, days=0)) == 0
        here.retrieval(studies=1, body_parts=()).work(60)
        assert here.stored() == uids(image(100), EARLIER[2])
    with database.read() as session:
        assert session.scalar(select(Patient.patient_id).where(Patient.patient_id == "PID2")) is None


@pytest.mark.parametrize("serve", SERVERS)
def test_another_issuer_of_the_same_patient_id_is_another_patient(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve
) -> None:
    theirs, ours = image(1, IssuerOfPatientID="NORTH"), image(2, IssuerOfPatientID="SOUTH")
    with site(folder, database, serve, tmp_path / "pacs", [theirs, ours]) as here:
        assert here.sender.send(image(100, days=0, IssuerOfPatientID="SOUTH")) == 0
        here.retrieval().work(60)
        with database.read() as session:
            named = select(Instance.sop_instance_uid).join(Patient).where(Patient.issuer == "SOUTH")
            assert set(session.scalars(named)) == uids(image(100), ours)
            # A PACS that does not tell issuers apart sends both: each is filed under the label of its own header.
            others = select(Instance.sop_instance_uid).join(Patient).where(Patient.issuer != "SOUTH")
            assert set(session.scalars(others)) <= uids(theirs)


@pytest.mark.parametrize("serve", SERVERS[:1])
def test_a_pacs_that_is_away_is_asked_again(folder: DataDir, database: Database, tmp_path: Path, serve: Serve) -> None:
    with site(folder, database, serve, tmp_path / "pacs", EARLIER) as here:
        assert here.sender.send(image(100, days=0)) == 0
        away = here.settings.dicom.peers[0].model_copy(update={"port": free_port()})
        dicom = here.settings.dicom.model_copy(update={"peers": (away,)})
        lonely = PriorRetrieval(here.settings.model_copy(update={"dicom": dicom}), folder, database, lambda _: None)
        assert lonely.work(60) == 1
        search = here.searches()["PID1"]
        assert (search.state, search.attempts) == (SearchState.PENDING, 1) and "cannot be reached" in search.reason
        assert here.retrieval().work(60) == 0
        here.make_due()
        assert here.retrieval().work(60) == 1 and uids(image(100), *EARLIER) <= here.stored()


@pytest.mark.parametrize("serve", SERVERS[:1])
def test_a_search_is_given_up_after_the_configured_days(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve
) -> None:
    with site(folder, database, serve, tmp_path / "pacs", EARLIER) as here:
        assert here.sender.send(image(100, patient="PID*", days=0)) == 0
        with database.write() as session:
            session.execute(update(PriorSearch).values(requested_at=now() - timedelta(days=7)))
        here.retrieval().work(60)
        search = here.searches()["PID*"]
        assert search.state is SearchState.DEAD and "no PACS can be asked" in search.reason


@pytest.mark.parametrize("serve", SERVERS)
def test_a_day_is_fetched_and_goes_on_where_it_stopped(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve
) -> None:
    day = TODAY - timedelta(days=100)
    with site(folder, database, serve, tmp_path / "pacs", EARLIER + OTHERS) as here:
        with database.write() as session:
            assert archived.ask_for_days(session, [day, day - timedelta(days=1)]) == 2
            # What an earlier run had completed, and what it was killed over.
            session.add(RetrievedSeries(series_instance_uid=OTHERS[0].SeriesInstanceUID, complete=True))
            session.add(RetrievedSeries(series_instance_uid=OTHERS[1].SeriesInstanceUID, complete=False))
        assert here.retrieval().work(60) == 2
        hand = [OTHERS[4]] if serve is by_dcmqrscp else []
        assert here.stored() == uids(EARLIER[0], OTHERS[1], *hand)
        with database.read() as session:
            progress = archived.progress_of_days(session, day - timedelta(days=9), day)
            assert (progress.total, progress.done, progress.series) == (2, 2, 2 + len(hand))
            assert archived.ask_for_days(session, [day]) == 0
        assert here.searches() == {}


@pytest.mark.parametrize("serve", SERVERS[:1])
def test_what_came_before_a_kill_is_compared_too(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve
) -> None:
    with site(folder, database, serve, tmp_path / "pacs", EARLIER[:1]) as here:
        assert here.sender.send(image(100, days=0)) == 0
        here.retrieval().work(60)
        # As if the process had died between the last series and the end of the search.
        with database.write() as session:
            session.execute(update(PriorSearch).values(state=SearchState.PENDING, due_at=now()))
        assert here.retrieval().work(60) == 1
        assert here.searches()["PID1"].state is SearchState.RETRIEVED


@pytest.mark.parametrize("serve", SERVERS[:1])
def test_days_wait_for_their_hours_and_patients_do_not(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve
) -> None:
    later = f"{datetime.now() + timedelta(hours=2):%H:%M}-{datetime.now() + timedelta(hours=3):%H:%M}"
    with site(folder, database, serve, tmp_path / "pacs", EARLIER) as here:
        with database.write() as session:
            archived.ask_for_days(session, [TODAY - timedelta(days=100)])
        assert here.sender.send(image(100, patient="PID9", days=0)) == 0
        assert here.retrieval(hours=later).work(60) == 1
        assert here.stored() == uids(image(100)) and here.searches()["PID9"].state is SearchState.DONE


@pytest.mark.parametrize("serve", SERVERS)
def test_a_pacs_that_does_not_know_us_says_so(
    folder: DataDir, database: Database, tmp_path: Path, serve: Serve
) -> None:
    with site(folder, database, serve, tmp_path / "pacs", EARLIER) as here:
        assert here.sender.send(image(100, days=0)) == 0
        dicom = here.settings.dicom.model_copy(update={"ae_title": "STRANGER"})
        unknown = PriorRetrieval(here.settings.model_copy(update={"dicom": dicom}), folder, database, lambda _: None)
        assert unknown.work(60) == 1
        search = here.searches()["PID1"]
        assert search.state is SearchState.PENDING and search.reason
        assert here.stored() == uids(image(100))


def test_without_a_pacs_nobody_is_searched(sender: Sender, database: Database) -> None:
    assert sender.send(radiograph(1)) == 0
    with database.read() as session:
        assert session.scalar(select(PriorSearch.patient_pk)) is None


def test_an_image_without_a_patient_id_is_not_searched_for(folder: DataDir, database: Database) -> None:
    peers = [{"ae_title": title, "address": "127.0.0.1", "port": 104} for title in (TITLE, "MODALITY")]
    with listening(folder, database, priors=OPTIONS, host="127.0.0.1", peers=peers) as sender:
        assert sender.send(radiograph(1, PatientID="")) == 0
        assert sender.send(radiograph(2, StudyInstanceUID=generate_uid())) == 0
    with database.read() as session:
        searched = session.scalars(select(Patient.patient_id).join(PriorSearch))
        assert list(searched) == ["PID2"]


def test_the_example_holds() -> None:
    assert doctest.testmod(archived).failed == 0 < doctest.testmod(archived).attempted
