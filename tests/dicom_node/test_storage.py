from __future__ import annotations

import pytest
from blake3 import blake3
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Alert, Instance, Patient, Quarantined, Variant
from archive.states import AlertKind, ImageState
from config.paths import DataDir
from tests.dicom_node.sending import Sender, encoded, listening
from tests.listening import dataset_bytes, radiograph

DX = str(DigitalXRayImageStorageForPresentation)
EXPLICIT = str(ExplicitVRLittleEndian)


def only(session: Session) -> Instance:
    return session.scalars(select(Instance)).one()


def kept(folder: DataDir) -> list[str]:
    """Everything in the folders of images and of files being received."""
    return sorted(
        path.name for place in (folder.images, folder.incoming) for path in place.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_image_is_stored_as_sent_and_received(
    sender: Sender, folder: DataDir, database: Database, syntax: object
) -> None:
    image = radiograph(1, syntax=syntax)
    assert sender.send(image) == 0x0000
    with database.read() as session:
        row = only(session)
        assert row.state is ImageState.RECEIVED and row.sop_instance_uid == image.SOPInstanceUID
        assert row.transfer_syntax_uid == syntax and row.calling_ae == "MODALITY"
        assert (row.patient.patient_id, row.patient.name) == ("PID1", "Doe1^Jane")
        assert row.series.study.study_instance_uid == image.StudyInstanceUID
    assert row.file_digest == blake3(encoded(image)).hexdigest() and row.size == len(encoded(image))
    assert dataset_bytes(ImageFiles(folder).path(row.file_digest)) == encoded(image)
    assert kept(folder) == [f"{row.file_digest}.dcm"]


def test_a_deflated_image_is_stored_as_sent(sender: Sender, folder: DataDir, database: Database) -> None:
    import zlib

    image = radiograph(1)
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = compressor.compress(encoded(image)) + compressor.flush()
    syntax = str(DeflatedExplicitVRLittleEndian)
    assert sender.send_bytes(content, DX, image.SOPInstanceUID, syntax) == 0x0000
    with database.read() as session:
        assert only(session).patient.patient_id == "PID1"
        assert dataset_bytes(ImageFiles(folder).path(only(session).file_digest)) == content


def test_the_same_bytes_again_change_nothing(sender: Sender, folder: DataDir, database: Database) -> None:
    assert [sender.send(radiograph(1)) for _ in range(3)] == [0, 0, 0]
    with database.read() as session:
        only(session)
        assert session.scalar(select(func.count()).select_from(Variant)) == 0
    assert len(kept(folder)) == 1


def test_other_bytes_under_one_uid_become_a_variant_and_one_alert(
    sender: Sender, folder: DataDir, database: Database
) -> None:
    first, second = radiograph(1), radiograph(1, StudyDescription="other")
    assert [sender.send(image) for image in (first, second, second, first)] == [0, 0, 0, 0]
    with database.read() as session:
        instance, variant, alert = (
            only(session),
            session.scalars(select(Variant)).one(),
            session.scalars(select(Alert)).one(),
        )
        assert instance.patient.patient_id == "PID1"
        assert dataset_bytes(ImageFiles(folder).path(instance.file_digest)) == encoded(first)
        assert dataset_bytes(ImageFiles(folder).path(variant.file_digest)) == encoded(second)
        assert alert.kind is AlertKind.DUPLICATE_IMAGE and alert.evidence == {"cause": "uid_conflict"}
        assert alert.patient.patient_id == "PID1" and alert.other_instance_pk == instance.id


@pytest.mark.parametrize(
    ("claimed_class", "claimed_instance", "negotiated"),
    [
        (DX, str(generate_uid()), DX),
        (str(ComputedRadiographyImageStorage), "", str(ComputedRadiographyImageStorage)),
        (str(ComputedRadiographyImageStorage), "", DX),
    ],
)
def test_a_claim_that_the_data_set_contradicts_is_refused_with_a900(
    sender: Sender, folder: DataDir, database: Database, claimed_class: str, claimed_instance: str, negotiated: str
) -> None:
    image = radiograph(1)
    claimed_instance = claimed_instance or image.SOPInstanceUID
    content = encoded(image)
    assert sender.send_bytes(content, claimed_class, claimed_instance, EXPLICIT, negotiated) == 0xA900
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == 0
        row = session.scalars(select(Quarantined)).one()
        assert row.status == 0xA900 and row.sop_instance_uid == claimed_instance
    assert kept(folder) == []
    assert dataset_bytes(folder.quarantine / row.file_name) == content


UNREADABLE = {
    "nothing": b"",
    "noise": bytes(range(256)) * 40,
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "no study": encoded(radiograph(1, StudyInstanceUID=None)),
    "no series": encoded(radiograph(1, SeriesInstanceUID=None)),
    "no instance": encoded(radiograph(1, SOPInstanceUID=None)),
    "no class": encoded(radiograph(1, SOPClassUID=None)),
    "cut off in the header": encoded(radiograph(1))[:150],
    "nested without end": b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 20_000,
}


@pytest.mark.parametrize("what", [name for name in UNREADABLE if name != "nothing"])
def test_what_cannot_be_read_is_quarantined_with_c210(
    sender: Sender, folder: DataDir, database: Database, what: str
) -> None:
    content = UNREADABLE[what]
    statuses = [sender.send_bytes(content, DX, radiograph(1).SOPInstanceUID, EXPLICIT) for _ in range(2)]
    assert statuses == [0xC210, 0xC210]
    with database.read() as session:
        row = session.scalars(select(Quarantined)).one()
        assert row.status == 0xC210 and row.reason and row.calling_ae == "MODALITY" and row.size == len(content)
    assert dataset_bytes(folder.quarantine / row.file_name) == content
    assert kept(folder) == []
    assert sender.send(radiograph(2)) == 0x0000


def test_a_claim_is_entered_without_what_postgresql_refuses(sender: Sender, database: Database) -> None:
    content = encoded(radiograph(1))
    assert sender.send_bytes(content, DX, "1.2\0.3", EXPLICIT) == 0xA900
    with database.read() as session:
        assert session.scalars(select(Quarantined.sop_instance_uid)).all() == ["1.2.3"]


def test_without_space_images_are_refused_with_a700_and_echo_still_works(folder: DataDir, database: Database) -> None:
    with listening(folder, database, min_free_mib=1 << 30) as sender:
        assert sender.send(radiograph(1, side=512)) == 0xA700
        with sender.association([("1.2.840.10008.1.1", EXPLICIT)]) as association:
            assert association.send_c_echo().Status == 0x0000
    assert kept(folder) == []
    with listening(folder, database) as sender:
        assert sender.send(radiograph(1, side=512)) == 0x0000


def test_a_database_that_cannot_be_written_is_answered_with_a700(
    sender: Sender, folder: DataDir, database: Database
) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE instances RENAME TO hidden")
    assert sender.send(radiograph(1)) == 0xA700
    with database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE hidden RENAME TO instances")
    assert sender.send(radiograph(1)) == 0x0000
    with database.read() as session:
        only(session)


def test_a_folder_that_cannot_be_written_is_answered_with_a700(
    sender: Sender, folder: DataDir, database: Database
) -> None:
    digest = blake3(encoded(radiograph(1))).hexdigest()
    place = ImageFiles(folder).path(digest).parent
    place.rmdir()
    place.write_text("in the way")
    assert sender.send(radiograph(1)) == 0xA700
    place.unlink()
    assert sender.send(radiograph(1)) == 0x0000


def test_images_without_patient_id_are_one_patient_only_within_a_study(sender: Sender, database: Database) -> None:
    study = generate_uid()
    images = [
        radiograph(1, PatientID=None, StudyInstanceUID=study),
        radiograph(2, PatientID="", StudyInstanceUID=study),
        radiograph(3, PatientID="  "),
    ]
    assert [sender.send(image) for image in images] == [0, 0, 0]
    with database.read() as session:
        patients = [row.patient_pk for row in session.scalars(select(Instance).order_by(Instance.id))]
        assert patients[0] == patients[1] != patients[2]
        assert {patient.patient_id for patient in session.scalars(select(Patient))} == {""}


def test_errors_of_the_database_do_not_quote_patients(database: Database) -> None:
    with pytest.raises(OperationalError) as caught, database.write() as session:
        session.connection().exec_driver_sql("DROP TABLE studies")
        session.connection().exec_driver_sql("INSERT INTO studies (study_instance_uid) VALUES (?)", ("Doe^Jane",))
    assert "Doe" not in str(caught.value)


def test_nothing_about_a_patient_is_logged(
    sender: Sender, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level("INFO")
    named = {"PatientName": "Mustermann^Erika", "PatientID": "SECRET77", "AccessionNumber": "ACC77"}
    sender.send(radiograph(1, **named))
    sender.send(radiograph(1, PatientComments="x", **named))
    sender.send_bytes(encoded(radiograph(1, **named)), DX, str(generate_uid()), EXPLICIT)
    sender.send_bytes(encoded(radiograph(2, StudyInstanceUID="Mustermann", **named)), DX, "1.2.3", EXPLICIT)
    sender.send_bytes(encoded(radiograph(3, PatientBirthDate="SECRET77", **named))[:-40], DX, "1.2.3", EXPLICIT)
    said = caplog.text + "".join(str(warning.message) for warning in recwarn)
    assert "0xA900" in said and "0xC210" in said
    assert not any(value in said for value in ("Mustermann", "Erika", "SECRET77", "ACC77"))


def test_an_unexpected_class_is_not_negotiated(sender: Sender) -> None:
    refused = [str(CTImageStorage), "1.2.840.10008.5.1.4.1.1.7.3"]
    with sender.association([(uid, EXPLICIT) for uid in [*refused, DX]]) as association:
        assert [context.abstract_syntax for context in association.accepted_contexts] == [DX]
