"""Puts results into the PACS: the report about an alert, or both images side by side, by C-STORE."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.presentation import build_context

from archive.audit import AuditAction, record
from archive.files import ImageFiles
from archive.models import Alert, Code, Instance, Patient
from archive.notifications import Message
from dicom_node.calling import PeerNotCalled, calling
from dicom_node.discretion import keep_values_private
from dicom_node.report_subject import Label, Subject, read_image_header
from dicom_node.sender import SUCCESS
from workers.delivery import Desk, NotDelivered
from workers.previews import upright_preview

SYSTEM = "(system)"


def deliver_report(desk: Desk, messages: Sequence[Message]) -> None:
    """Store the structured report about an alert in the PACS.

    Raises:
        NotDelivered: no PACS is set, it cannot be reached, or it does not take the report.
    """
    from dicom_node.report import structured_report  # highdicom takes a second to import

    for message in messages:
        _deliver(desk, message, lambda subject, _alert: structured_report(subject, desk.settings.dicom.ae_title))


def deliver_capture(desk: Desk, messages: Sequence[Message]) -> None:
    """Store the picture of both images side by side in the PACS; an alert about one image alone has none.

    Raises:
        NotDelivered: as `deliver_report`, or a preview cannot be made.
    """
    from dicom_node.report_capture import side_by_side

    def make(subject: Subject, alert: Alert) -> Dataset | None:
        other = _other_instance(alert)
        if subject.other is None or other is None:
            return None
        with desk.database.read() as session:
            images = [session.get_one(Instance, number) for number in (alert.instance_pk, other)]
        left, right = (_preview(desk, image) for image in images)
        return side_by_side(subject, left, right, (images[0].righting, images[1].righting))

    for message in messages:
        _deliver(desk, message, make)


def subject_of(desk: Desk, message: Message) -> tuple[Subject, Alert]:
    """The alert of a message as it is reported, with the headers of both images."""
    files, characters = ImageFiles(desk.folder), desk.settings.dicom.default_character_set
    with desk.database.read() as session:
        alert = session.get_one(Alert, message.alert_id)
        image = session.get_one(Instance, alert.instance_pk)
        patient = session.get_one(Patient, alert.patient_pk)
        number = _other_instance(alert)
        other = None if number is None else session.get(Instance, number)
        code = session.get(Code, image.id)
    compared = alert.evidence.get("other" if alert.other_instance_pk is not None else "own") or {}
    subject = Subject(
        uuid=message.uuid,
        alert_id=alert.id,
        kind=alert.kind.finding,
        probability=alert.probability,
        created_at=alert.created_at,
        label=Label(patient.patient_id, patient.issuer, patient.name, patient.birth_date, patient.sex),
        image=read_image_header(files.path(image.file_digest), characters),
        other=None if other is None else read_image_header(files.path(other.file_digest), characters),
        same_label=other is not None and other.patient_pk == image.patient_pk,
        same_person=compared.get("best_probability") if compared.get("best_instance") == number else None,
        weights=code.model_id if code is not None else "none",
    )
    return subject, alert


def _other_instance(alert: Alert) -> int | None:
    own = alert.evidence.get("own") or {}
    number = alert.other_instance_pk if alert.other_instance_pk is not None else own.get("best_instance")
    return None if number == alert.instance_pk else number


def _deliver(desk: Desk, message: Message, make: Callable[[Subject, Alert], Dataset | None]) -> None:
    peer = desk.settings.results.peer
    if not peer:
        raise NotDelivered("no PACS is configured for results any more")
    keep_values_private()
    place = desk.folder.outgoing / f"{message.uuid}.dcm"
    with desk.database.read() as session:
        patient_pk = session.get_one(Alert, message.alert_id).patient_pk
    if not place.exists():
        made = make(*subject_of(desk, message))
        if made is None:
            return
        _keep(made, place)
    _store(desk, peer, dcmread(place))
    with desk.database.write() as session:
        record(session, SYSTEM, AuditAction.RESULT_SENT, "alert", message.alert_id, patient_pk, peer)
    place.unlink(missing_ok=True)


def _keep(made: Dataset, place: Path) -> None:
    """Write what is to be sent, so that every attempt sends the same bytes under the same UID."""
    temporary = place.with_suffix(".new")
    with temporary.open("wb") as file:
        made.save_as(file, enforce_file_format=True)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(place)


def _store(desk: Desk, peer: str, made: Dataset) -> None:
    context = build_context(made.SOPClassUID)
    seconds = desk.settings.outbox.timeout_seconds
    try:
        with calling(desk.settings, peer, [context], answer_seconds=seconds) as association:
            if not association.accepted_contexts:
                raise NotDelivered(f"{peer} does not take objects of the class {made.SOPClassUID.name}")
            answer = association.send_c_store(made)
    except PeerNotCalled as error:
        raise NotDelivered(str(error)) from error
    except RuntimeError as error:
        raise NotDelivered(f"{peer} ended the association") from error
    if "Status" not in answer:
        raise NotDelivered(f"{peer} did not answer, or ended the association")
    status = int(answer.Status)
    if status != SUCCESS and not 0xB000 <= status <= 0xBFFF:
        raise NotDelivered(f"{peer} answered with status 0x{status:04X}")


def _preview(desk: Desk, image: Instance) -> NDArray[np.uint8]:
    is_there = desk.make_preview(image.id)
    found = upright_preview(ImageFiles(desk.folder), image) if is_there else None
    if found is None:
        raise NotDelivered(f"image {image.id} has no preview")
    return found
