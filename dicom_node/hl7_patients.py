"""What a message about patients changes: Patient IDs that are one person, and a patient's name, birth date and sex."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from itertools import product

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.audit import AuditAction, record
from archive.links import Author, Label, LinkRefused, merge
from archive.models import Hl7Message, Patient
from archive.resolution import alerts_about, is_estimate, judge_anew
from dicom_node.hl7_message import Adt, Demographics, Identifier, MessageRefused, PatientGroup

logger = logging.getLogger(__name__)


def take(session: Session, adt: Adt, content: bytes, address: str, local_authority: str) -> bool:
    """Apply a message; with the commit it is taken, and the very same message again changes nothing.

    A40 (merge) and A47 (change of the identifier) both say that the identifiers of MRG-1 and PID-3 are one person,
    whose Patient ID is that of PID-3 from now on (IHE RAD-12, Patient Update). A08 corrects name, birth date and sex of
    a patient that is known. Alerts that name one of the labels are closed, or their images judged anew.

    Args:
        content: the message as it came.
        local_authority: see the option `hl7.local_authority`.

    Returns:
        whether the message is new.

    Raises:
        MessageRefused: two identifiers cannot be one person's, or have no counterpart.
    """
    digest = hashlib.sha256(content).hexdigest()
    if session.scalar(select(Hl7Message.id).where(Hl7Message.sha256 == digest)) is not None:
        return False
    author = Author(f"HL7 ADT^{adt.event}", address)
    for group in adt.groups:
        if adt.event != "A08":
            _join(session, group, author, local_authority)
        _update(session, group, author, local_authority)
    session.add(
        Hl7Message(
            sha256=digest,
            control_id=adt.control_id[:199],
            event=adt.event,
            sender=adt.sender[:64],
            address=address[:64],
        )
    )
    session.flush()
    return True


def labels(session: Session, identifier: Identifier, local_authority: str) -> list[Label]:
    """The labels under which images of an identifier are filed; the one under which they would be when none are yet.

    Issuer of Patient ID (0010,0021) is the namespace of the assigning authority, in some archives its universal ID.
    Images may come without an issuer: their Patient IDs are those of the local authority.
    """
    issuers = [issuer for issuer in (identifier.namespace, identifier.universal_id) if issuer]
    is_local = not issuers or local_authority in issuers
    issuers += ["", local_authority] if is_local else []
    known = set(session.scalars(select(Patient.issuer).where(Patient.patient_id == identifier.number)))
    found = [issuer for issuer in dict.fromkeys(issuers) if issuer in known]
    if not found:
        found = [""] if is_local else [identifier.authority]
    return [(identifier.number, issuer) for issuer in found]


def _join(session: Session, group: PatientGroup, author: Author, local_authority: str) -> None:
    for prior in group.prior:
        surviving = _counterpart(prior, group.identifiers)
        olds, news = labels(session, prior, local_authority), labels(session, surviving, local_authority)
        if set(olds) & set(news):
            raise MessageRefused("AE", 204, "A Patient ID cannot be merged into itself.")
        if not any(_is_known(session, label) for label in (*olds, *news)):
            logger.info(
                "%s names Patient IDs under which nothing is filed yet; if that is wrong, see hl7.local_authority",
                author.name,
            )
        try:
            for old, new in product(olds, news):
                merge(session, old, new, author)
        except LinkRefused as error:
            raise MessageRefused("AE", 207, str(error)) from error


def _counterpart(prior: Identifier, surviving: Collection[Identifier]) -> Identifier:
    """The surviving identifier of the same assigning authority; the only one there is if its authority is not given."""
    for identifier in surviving:
        if (identifier.namespace, identifier.universal_id) == (prior.namespace, prior.universal_id):
            return identifier
    for identifier in surviving:
        if prior.authority and prior.authority in (identifier.namespace, identifier.universal_id):
            return identifier
    if len(surviving) == 1 and not (prior.authority and next(iter(surviving)).authority):
        return next(iter(surviving))
    raise MessageRefused("AE", 204, "PID-3 holds no Patient ID of the assigning authority of one in MRG-1.")


def _is_known(session: Session, label: Label) -> bool:
    patient_id, issuer = label
    known = select(Patient.id).where(Patient.patient_id == patient_id, Patient.issuer == issuer)
    return session.scalar(known) is not None


def _update(session: Session, group: PatientGroup, author: Author, local_authority: str) -> None:
    for identifier in group.identifiers:
        for number, issuer in labels(session, identifier, local_authority):
            known = select(Patient).where(Patient.patient_id == number, Patient.issuer == issuer).with_for_update()
            patient = session.scalar(known)
            if patient is None or not _correct(patient, group.demographics):
                continue
            session.flush()
            record(session, author.name, AuditAction.PATIENT_UPDATED, "patient", patient.id, patient.id, author.address)
            about = alerts_about(session, (patient.id,))
            judge_anew(session, (alert.instance_pk for alert in about if is_estimate(alert)))


def _correct(patient: Patient, said: Demographics) -> bool:
    """Put what was said into a label; returns whether that changed anything."""
    new = {"name": said.name, "birth_date": said.birth_date, "sex": said.sex}
    changed = {name: value for name, value in new.items() if value is not None and value != getattr(patient, name)}
    for name, value in changed.items():
        setattr(patient, name, value[:512])
    return bool(changed)
