"""DCMTK's programs, as PACS and modalities use them, against a listener process of ours."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from sqlalchemy import func, select

from archive.database import Database, open_database
from archive.files import ImageFiles
from archive.models import Instance, Quarantined
from config.settings import load_settings
from tests.listening import ListenerProcess, dataset_bytes, radiograph, save
from tests.peers import dcmtk

IMAGES = 500
# dcmsend proposes explicit little endian first for every uncompressed file, and converts the others to it.
SYNTAXES = (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
CONVERTED = (ImplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.fixture(scope="module", autouse=True)
def _has_dcmtk() -> None:
    """Skips all of it where DCMTK is not installed."""
    dcmtk("dcmsend")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[ListenerProcess]:
    made = ListenerProcess(tmp_path / "data").start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small radiographs of three classes in two transfer syntaxes, in folders part0 to part3."""
    root = tmp_path_factory.mktemp("images")
    classes = (None, ComputedRadiographyImageStorage, SecondaryCaptureImageStorage)
    for number in range(IMAGES):
        part = root / f"part{number % 4}"
        part.mkdir(exist_ok=True)
        chosen = classes[number % 3]
        elements = {} if chosen is None else {"SOPClassUID": chosen}
        save(
            radiograph(number, side=64, syntax=SYNTAXES[number % len(SYNTAXES)], **elements), part / f"{number:04}.dcm"
        )
    return root


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([dcmtk(program), *arguments], capture_output=True, text=True, check=False, timeout=300)


def peer(listener: ListenerProcess, called: str = "LUNGPRINT") -> list[str]:
    return ["-aec", called, "127.0.0.1", str(listener.port)]


def opened(listener: ListenerProcess) -> Database:
    return open_database(load_settings(listener.folder.root, environ={}), listener.folder)


def stored(listener: ListenerProcess) -> dict[str, bytes]:
    """The data set that is kept for each SOP Instance UID."""
    database, files = opened(listener), ImageFiles(listener.folder)
    with database.read() as session:
        rows = list(session.scalars(select(Instance)))
    database.close()
    return {row.sop_instance_uid: dataset_bytes(files.path(row.file_digest)) for row in rows}


def by_uid(root: Path) -> dict[str, Path]:
    """The files of a folder by their SOP Instance UID."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}


def sent(root: Path) -> dict[str, bytes]:
    """The data set in the file of each SOP Instance UID."""
    return {uid: dataset_bytes(path) for uid, path in by_uid(root).items()}


def test_echoscu_is_answered(listener: ListenerProcess) -> None:
    assert run("echoscu", *peer(listener)).returncode == 0
    refused = run("echoscu", *peer(listener, called="SOMEONE"))
    assert refused.returncode != 0 and "Called AE Title Not Recognized" in refused.stderr


def test_an_unknown_peer_is_told_so(tmp_path: Path) -> None:
    environ = {
        "LUNGPRINT_DICOM_PEERS": '[{"ae_title": "PACS", "address": "127.0.0.1"}]',
        "LUNGPRINT_DICOM_HOST": "127.0.0.1",
    }
    listener = ListenerProcess(tmp_path / "data", environ).start()
    try:
        assert run("echoscu", "-aet", "PACS", *peer(listener)).returncode == 0
        refused = run("echoscu", "-aet", "STRANGER", *peer(listener))
        assert refused.returncode != 0 and "Calling AE Title Not Recognized" in refused.stderr
    finally:
        listener.close()


@pytest.mark.parametrize("associations", [1, 4])
def test_dcmsend_of_500_files_loses_and_changes_nothing(
    listener: ListenerProcess, images: Path, associations: int
) -> None:
    shares = [[images]] if associations == 1 else [[images / f"part{number}"] for number in range(4)]
    done: list[subprocess.CompletedProcess[str]] = []

    def send(paths: list[Path]) -> None:
        # Never recompressed on the way: what arrives must be what lies in the files.
        options = ["-v", "-dn", "+sd", "+r"]
        done.append(run("dcmsend", *options, *peer(listener), *map(str, paths)))

    threads = [threading.Thread(target=send, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.returncode for result in done] == [0] * associations, [result.stderr[-500:] for result in done]
    received = sum(len(re.findall(r"Received C-STORE Response \(Success\)", result.stderr)) for result in done)
    assert received == IMAGES
    assert stored(listener) == sent(images)
    assert not any(listener.folder.incoming.iterdir())


def test_storescu_sends_folders_in_mixed_transfer_syntaxes(listener: ListenerProcess, images: Path) -> None:
    # storescu keeps a data set as it is only when just its own transfer syntax is proposed.
    proposals = {"-xe": ExplicitVRLittleEndian, "-xi": ImplicitVRLittleEndian, "-xb": ExplicitVRBigEndian}
    part = images / "part0"
    for option in proposals:
        done = run("storescu", option, "-v", "+sd", *peer(listener), str(part))
        assert done.returncode == 0, done.stderr[-500:]
        assert done.stderr.count("Received Store Response (Success)") == IMAGES // 4
    assert set(stored(listener)) == set(sent(part))


def test_real_chest_images_arrive_with_every_pixel(listener: ListenerProcess, shared: Path) -> None:
    """dcmsend itself writes the lengths of sequences anew, so whole files cannot be compared."""
    chest = by_uid(shared / "data" / "dicom" / "chest")
    done = run("dcmsend", "-v", "-dn", *peer(listener), *map(str, chest.values()))
    assert done.returncode == 0, done.stderr[-500:]
    files, database = ImageFiles(listener.folder), opened(listener)
    with database.read() as session:
        kept = {row.sop_instance_uid: files.path(row.file_digest) for row in session.scalars(select(Instance))}
    database.close()
    assert set(kept) == set(chest) and len(chest) > 3
    compared = 0
    for uid, path in chest.items():
        source, arrived = dcmread(path), dcmread(kept[uid])
        if source.file_meta.TransferSyntaxUID not in CONVERTED:
            assert arrived.file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
            assert arrived.PixelData.rstrip(b"\0") == source.PixelData.rstrip(b"\0")
            compared += 1
    assert compared > 3


def test_every_real_file_gets_an_answer(listener: ListenerProcess, shared: Path) -> None:
    """Files of all kinds, many broken on purpose: the sender leaves some out, the listener survives the rest."""
    folder = shared / "data" / "dicom"
    run("dcmsend", "-v", "-dn", "-nh", "-nuc", "+sd", "+r", *peer(listener), str(folder))
    database = opened(listener)
    with database.read() as session:
        assert (session.scalar(select(func.count()).select_from(Instance)) or 0) > 80
        assert all(row.reason for row in session.scalars(select(Quarantined)))
    database.close()
    assert run("echoscu", *peer(listener)).returncode == 0
    assert not any(listener.folder.incoming.iterdir())
    assert "Traceback" not in listener.log.read_text()


def test_no_acknowledged_image_is_lost_when_the_listener_is_killed(images: Path, listener: ListenerProcess) -> None:
    acknowledged: set[str] = set()
    for kill_after in (0.7, 1.5, 2.5, None):
        options = ["-d", "-dn", "+sd", "+r"]
        with subprocess.Popen(
            [dcmtk("dcmsend"), *options, *peer(listener), str(images)], stderr=subprocess.PIPE, text=True
        ) as dcmsend:
            if kill_after is not None:
                time.sleep(kill_after)
                listener.kill()
            assert dcmsend.stderr is not None
            acknowledged |= acknowledged_in(dcmsend.stderr.read())
        if kill_after is not None:
            listener.start()
            assert not any(listener.folder.incoming.iterdir())
            assert acknowledged <= set(stored(listener))
    wanted = sent(images)
    assert acknowledged == set(wanted)
    assert stored(listener) == wanted


def acknowledged_in(log: str) -> set[str]:
    """SOP Instance UIDs of the files that dcmsend, called with -d, got 0x0000 for."""
    found, current = set(), Path()
    for line in log.splitlines():
        if started := re.search(r"sending SOP instance from file: (.+)$", line):
            current = Path(started[1])
        elif re.search(r"DIMSE Status +: 0x0000", line):
            found.add(str(dcmread(current, stop_before_pixels=True).SOPInstanceUID))
    return found
