from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydicom.uid import CTImageStorage
from sqlalchemy import func, select

from archive.database import Database
from archive.files import ImageFiles
from archive.models import Instance, Quarantined
from config.paths import DataDir
from config.settings import Settings, load_settings
from dicom_node.backfill import Imported, backfill, dicom_files
from dicom_node.status import StoreStatus
from tests.listening import dataset_bytes, radiograph, save


def archive_folder(root: Path, images: int = 3) -> Path:
    """A folder as a PACS exports it: images in subfolders, other things between them."""
    for number in range(images):
        (root / f"patient{number}").mkdir(parents=True)
        save(radiograph(number), root / f"patient{number}" / "IM0001")
    (root / "README.txt").write_text("exported")
    (root / ".hidden").write_text("hidden")
    return root


def run(settings: Settings, folder: DataDir, database: Database, root: Path) -> list[Imported]:
    return list(backfill(settings, folder, database, dicom_files([root])))


def statuses(imported: list[Imported]) -> Counter[StoreStatus | None]:
    return Counter(item.answer.status if item.answer else None for item in imported)


def test_files_are_taken_in_byte_for_byte(
    settings: Settings, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    root = archive_folder(tmp_path / "export")
    assert statuses(run(settings, folder, database, root)) == {StoreStatus.SUCCESS: 3, StoreStatus.UNREADABLE: 1}
    with database.read() as session:
        digests = session.scalars(select(Instance.file_digest).order_by(Instance.id)).all()
        assert session.scalar(select(func.count()).select_from(Quarantined)) == 0
    for number, digest in enumerate(digests):
        source = root / f"patient{number}" / "IM0001"
        assert dataset_bytes(ImageFiles(folder).path(digest)) == dataset_bytes(source)
    assert not any(folder.incoming.iterdir())


def test_a_second_run_passes_over_what_is_done_and_takes_what_is_new(
    settings: Settings, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    root = archive_folder(tmp_path / "export")
    run(settings, folder, database, root)
    save(radiograph(9), root / "new.dcm")
    (root / "README.txt").write_text("exported once more")
    assert statuses(run(settings, folder, database, root)) == {
        None: 3,
        StoreStatus.SUCCESS: 1,
        StoreStatus.UNREADABLE: 1,
    }


def test_an_interrupted_run_goes_on_where_it_stopped(
    settings: Settings, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    root = archive_folder(tmp_path / "export", images=5)
    steps = backfill(settings, folder, database, dicom_files([root]))
    for _ in range(3):
        next(steps)
    steps.close()
    assert statuses(run(settings, folder, database, root))[None] == 3
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == 5


def test_what_found_no_space_is_tried_again(
    settings: Settings, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    root = archive_folder(tmp_path / "export")
    full = load_settings(folder.root, environ={}, flags={"dicom": {"min_free_mib": 1 << 40}})
    assert statuses(run(full, folder, database, root))[StoreStatus.OUT_OF_RESOURCES] == 3
    assert statuses(run(settings, folder, database, root))[StoreStatus.SUCCESS] == 3


def test_other_classes_are_refused_with_a_reason(
    settings: Settings, folder: DataDir, database: Database, tmp_path: Path
) -> None:
    path = save(radiograph(1, SOPClassUID=CTImageStorage), tmp_path / "ct.dcm")
    (imported,) = backfill(settings, folder, database, [path])
    assert imported.answer is not None and imported.answer.status is StoreStatus.CLASS_NOT_SUPPORTED
    assert "SOP class" in imported.answer.reason


def test_every_real_file_is_stored_or_refused_with_a_reason(
    settings: Settings, folder: DataDir, database: Database, shared: Path
) -> None:
    files = dicom_files([shared / "data" / "dicom"])
    imported = list(backfill(settings, folder, database, files))
    assert len(imported) == len(files) > 250
    answers = [item.answer for item in imported if item.answer is not None]
    stored = [answer for answer in answers if answer.status is StoreStatus.SUCCESS]
    refused = [answer for answer in answers if answer.status is not StoreStatus.SUCCESS]
    assert len(stored) + len(refused) == len(files) and len(stored) > 100
    assert all(answer.reason and answer.status is not StoreStatus.OUT_OF_RESOURCES for answer in refused)
    chest = [item.answer for item in imported if item.path.parent.name == "chest"]
    assert chest and all(answer is not None and answer.status is StoreStatus.SUCCESS for answer in chest)
