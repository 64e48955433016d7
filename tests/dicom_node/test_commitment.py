"""Storage commitment with a real user of the service: what is safe, what is not, and reports that are never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.presentation import build_context
from sqlalchemy import select

from archive import commitments
from archive.database import Database
from archive.files import ImageFiles
from archive.models import Commitment, Instance
from archive.states import NotificationState
from config.paths import DataDir
from config.settings import Settings, load_settings
from dicom_node.commitment import deliver_by_call
from dicom_node.services import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from dicom_node.status import CommitFailure, CommitStatus
from tests.dicom_node.sending import Sender, listening
from tests.listening import ListenerProcess, radiograph
from tests.ports import free_port

Report = tuple[int, Dataset]


class User:
    """A PACS or modality that asks for commitment and listens for reports.

    Attributes:
        reports: event type and event information of each report. answer: status it answers with.
    """

    def __init__(self, title: str = "PACS1") -> None:
        self.title = title
        self.reports: list[Report] = []
        self.answer = 0x0000
        self._came = threading.Condition()

    def take(self, event: Event) -> tuple[int, None]:
        with self._came:
            assert event.event_type is not None
            self.reports.append((event.event_type, event.event_information))
            self._came.notify_all()
        return self.answer, None

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Report]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.reports) >= count, seconds), "no report came"
            return self.reports

    def ask(
        self,
        port: int,
        references: list[tuple[str, str]],
        transaction: str = "",
        stay: bool = False,
        action_type: int = 1,
        instance: str = STORAGE_COMMITMENT_INSTANCE,
    ) -> int:
        """Send an N-ACTION; with `stay`, hold the association open until a report came. Returns the status."""
        ae = AE(self.title)
        ae.add_requested_context(STORAGE_COMMITMENT)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self.take)]
        association = ae.associate("127.0.0.1", port, ae_title="LUNGPRINT", evt_handlers=handlers)
        assert association.is_established and association.accepted_contexts
        before = len(self.reports)
        status, _ = association.send_n_action(
            requested(references, transaction), action_type, STORAGE_COMMITMENT, instance
        )
        if stay:
            self.wait_for(before + 1)
        association.release()
        return int(status.Status)

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Accept associations on which this node is the provider of the service."""
        ae = AE(self.title)
        ae.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
        server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)])
        try:
            yield
        finally:
            assert server is not None
            server.shutdown()


def requested(references: list[tuple[str, str]], transaction: str = "") -> Dataset:
    action = Dataset()
    action.TransactionUID = transaction or generate_uid()
    action.ReferencedSOPSequence = []
    for sop_class, sop_instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        action.ReferencedSOPSequence.append(item)
    return action


def named(number: int, sop_class: str = "") -> tuple[str, str]:
    image = radiograph(number)
    return sop_class or str(image.SOPClassUID), str(image.SOPInstanceUID)


def failures(report: Report) -> dict[str, int]:
    items = report[1].get("FailedSOPSequence") or []
    return {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in items}


def safe(report: Report) -> set[str]:
    return {str(item.ReferencedSOPInstanceUID) for item in report[1].get("ReferencedSOPSequence") or []}


def entry(database: Database) -> Commitment:
    with database.read() as session:
        return session.scalars(select(Commitment)).one()


def reaching(folder: DataDir, port: int, title: str = "PACS1") -> Settings:
    peers = [{"ae_title": title, "address": "127.0.0.1", "port": port}]
    return load_settings(folder.root, environ={}, flags={"dicom": {"peers": peers}})


def settle(database: Database, done: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not done(entry(database)):
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


def test_what_was_acknowledged_is_committed_on_the_same_association(sender: Sender, database: Database) -> None:
    for number in (1, 2):
        assert sender.send(radiograph(number)) == 0
    user, transaction = User(), generate_uid()
    assert user.ask(sender.port, [named(1), named(2)], transaction, stay=True) == CommitStatus.SUCCESS
    ((event_type, information),) = user.reports
    assert (event_type, information.TransactionUID) == (1, transaction)
    assert safe(user.reports[0]) == {named(1)[1], named(2)[1]} and "FailedSOPSequence" not in information
    settle(database, lambda found: found.state is NotificationState.SENT and found.failures == 0)


def test_each_image_that_is_not_safe_has_its_reason(sender: Sender, folder: DataDir, database: Database) -> None:
    for number in (1, 2, 3, 4):
        assert sender.send(radiograph(number)) == 0
    files = ImageFiles(folder)
    with database.read() as session:
        paths = {row.sop_instance_uid: files.path(row.file_digest) for row in session.scalars(select(Instance))}
    damaged = paths[named(3)[1]]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    paths[named(4)[1]].unlink()
    user = User()
    wanted = [
        named(1),
        named(2, ComputedRadiographyImageStorage),
        named(3),
        named(4),
        named(5),
        named(6, CTImageStorage),
    ]
    assert user.ask(sender.port, wanted, stay=True) == CommitStatus.SUCCESS
    assert user.reports[0][0] == 2 and safe(user.reports[0]) == {named(1)[1]}
    assert failures(user.reports[0]) == {
        named(2)[1]: CommitFailure.CLASS_INSTANCE_CONFLICT,
        named(3)[1]: CommitFailure.PROCESSING_FAILURE,
        named(4)[1]: CommitFailure.PROCESSING_FAILURE,
        named(5)[1]: CommitFailure.NO_SUCH_INSTANCE,
        named(6)[1]: CommitFailure.CLASS_NOT_SUPPORTED,
    }


def test_a_peer_that_has_left_is_called(sender: Sender, folder: DataDir, database: Database) -> None:
    assert sender.send(radiograph(1)) == 0
    user, port = User(), free_port()
    assert user.ask(sender.port, [named(1)]) == CommitStatus.SUCCESS
    number, settings, files = entry(database).id, reaching(folder, port), ImageFiles(folder)
    settle(database, lambda found: found.due_at <= commitments.now())
    assert not deliver_by_call(database, files, settings, number)
    waiting = entry(database)
    assert (waiting.state, waiting.attempts) == (NotificationState.PENDING, 1) and "cannot be reached" in waiting.reason
    with user.listening(port):
        assert deliver_by_call(database, files, settings, number)
        assert not deliver_by_call(database, files, settings, number)
    assert len(user.reports) == 1 and safe(user.reports[0]) == {named(1)[1]}
    assert entry(database).state is NotificationState.SENT


def test_a_report_that_is_refused_is_offered_again(sender: Sender, folder: DataDir, database: Database) -> None:
    user, port = User(), free_port()
    assert user.ask(sender.port, [named(1)]) == CommitStatus.SUCCESS
    user.answer = 0x0110
    with user.listening(port):
        assert not deliver_by_call(database, ImageFiles(folder), reaching(folder, port), entry(database).id)
        assert "status 0x0110" in entry(database).reason
        user.answer = 0x0000
        assert deliver_by_call(database, ImageFiles(folder), reaching(folder, port), entry(database).id)


def test_a_report_is_given_up_after_the_configured_days(sender: Sender, folder: DataDir, database: Database) -> None:
    assert User().ask(sender.port, [named(1)]) == CommitStatus.SUCCESS
    number = entry(database).id
    with database.write() as session:
        session.get_one(Commitment, number).requested_at -= commitments.timedelta(days=7)
    assert not deliver_by_call(database, ImageFiles(folder), reaching(folder, free_port()), number)
    assert entry(database).state is NotificationState.DEAD


def test_the_same_request_again_is_reported_again_and_entered_once(sender: Sender, database: Database) -> None:
    user, transaction = User(), generate_uid()
    assert sender.send(radiograph(1)) == 0
    for _ in range(2):
        assert user.ask(sender.port, [named(1)], transaction, stay=True) == CommitStatus.SUCCESS
    assert len(user.reports) == 2 and entry(database).transaction_uid == transaction


def test_a_transaction_uid_that_is_in_use_fails_all_its_images(sender: Sender, database: Database) -> None:
    user, transaction = User(), generate_uid()
    assert sender.send(radiograph(1)) == 0
    user.ask(sender.port, [named(1)], transaction, stay=True)
    user.ask(sender.port, [named(1), named(2)], transaction, stay=True)
    assert set(failures(user.reports[1]).values()) == {CommitFailure.DUPLICATE_TRANSACTION}
    assert len(failures(user.reports[1])) == 2


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"instance": "1.2.3"}, CommitStatus.NO_SUCH_INSTANCE),
        ({"action_type": 2}, CommitStatus.NO_SUCH_ACTION),
        ({"references": []}, CommitStatus.INVALID_ARGUMENT),
        ({"references": [("", "")]}, CommitStatus.INVALID_ARGUMENT),
        ({"transaction": "not.a.uid"}, CommitStatus.INVALID_ARGUMENT),
    ],
)
def test_a_request_that_makes_no_sense_gets_its_status(
    sender: Sender, database: Database, changed: dict[str, Any], status: CommitStatus
) -> None:
    asked: dict[str, Any] = {"references": [named(1)]} | changed
    assert User().ask(sender.port, **asked) == status
    with database.read() as session:
        assert session.scalar(select(Commitment.id)) is None


def test_a_peer_without_the_right_is_not_offered_the_service(folder: DataDir, database: Database) -> None:
    peers = [{"ae_title": "PACS1", "address": "127.0.0.1", "may": ["echo", "store"]}]
    with listening(folder, database, host="127.0.0.1", peers=peers) as sender:
        ae = AE("PACS1")
        ae.requested_contexts = [build_context(STORAGE_COMMITMENT), build_context("1.2.840.10008.1.1")]
        association = ae.associate("127.0.0.1", sender.port, ae_title="LUNGPRINT")
        assert [context.abstract_syntax for context in association.accepted_contexts] == ["1.2.840.10008.1.1"]
        association.release()


def test_a_request_survives_the_kill_of_the_listener(tmp_path: Path) -> None:
    listener = ListenerProcess(tmp_path / "data").start()
    try:
        assert Sender(listener.port).send(radiograph(1)) == 0
        user, port = User(), free_port()
        assert user.ask(listener.port, [named(1)]) == CommitStatus.SUCCESS
        listener.kill()
    finally:
        listener.close()
    settings = reaching(listener.folder, port)
    database = Database(f"sqlite:///{listener.folder.database}")
    with user.listening(port):
        assert deliver_by_call(database, ImageFiles(listener.folder), settings, entry(database).id)
    assert safe(user.reports[0]) == {named(1)[1]}
    database.close()


def test_a_peer_that_takes_no_reports_is_said_so(sender: Sender, folder: DataDir, database: Database) -> None:
    port = free_port()
    assert User().ask(sender.port, [named(1)]) == CommitStatus.SUCCESS
    ae = AE("PACS1")
    ae.add_supported_context("1.2.840.10008.1.1")
    server = ae.start_server(("127.0.0.1", port), block=False)
    try:
        assert not deliver_by_call(database, ImageFiles(folder), reaching(folder, port), entry(database).id)
        assert "offers none of the services" in entry(database).reason
    finally:
        assert server is not None
        server.shutdown()
