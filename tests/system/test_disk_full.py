"""A disk that fills up while images arrive: each is acknowledged and there, or refused; with space, all goes on."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from sqlalchemy import select

from archive.database import open_database
from archive.files import ImageFiles
from archive.models import Instance
from config.settings import load_settings
from tests.dicom_node.sending import Sender, encoded
from tests.dicom_node.test_listener import VERIFICATION, rejection
from tests.listening import ListenerProcess, dataset_bytes, radiograph

MIB = 1 << 20
DISK = 64 * MIB
BALLAST = 30 * MIB
SENDERS = 3
# Side of an image, how many are sent, and the space that is left for them: it holds about half of them. Those of 2 MiB
# are written to the disk as they come, those of 180 kB when they are complete.
LOADS = [(1024, 24, DISK - BALLAST), (300, 60, 5 * MIB)]


@pytest.fixture(params=["ext4", "tmpfs"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB, with a file on it that takes half of that."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    if request.param == "ext4":
        image = tmp_path / "disk.img"
        with image.open("wb") as file:
            file.truncate(DISK)
        made = subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], capture_output=True, check=False)
        command = ["mount", "-o", "loop", str(image), str(place)]
    else:
        made, command = None, ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(place)]
    if (made is not None and made.returncode) or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"no {request.param} can be mounted here")
    (place / "ballast").write_bytes(bytes(BALLAST))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def listener(small_disk: Path) -> Iterator[ListenerProcess]:
    made = ListenerProcess(small_disk / "data").start()
    yield made
    made.close()


def leave(small_disk: Path, space: int) -> None:
    """Fill the disk until about so many bytes are free."""
    free = os.statvfs(small_disk)
    (small_disk / "more").write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - space)))


def send_all(port: int, numbers: list[int], side: int) -> dict[int, int]:
    """Send images over several associations at a time; returns the status of each."""
    answers: dict[int, int] = {}

    def send(share: list[int]) -> None:
        sender = Sender(port)
        for number in share:
            answers[number] = sender.send(radiograph(number, side=side))

    threads = [threading.Thread(target=send, args=(numbers[start::SENDERS],)) for start in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def stored(listener: ListenerProcess) -> dict[str, bytes]:
    """The bytes of the file of each row."""
    database = open_database(load_settings(listener.folder.root, environ={}), listener.folder)
    files = ImageFiles(listener.folder)
    with database.read() as session:
        rows = list(session.scalars(select(Instance)))
    database.close()
    return {row.sop_instance_uid: dataset_bytes(files.path(row.file_digest)) for row in rows}


@pytest.mark.parametrize(("side", "count", "space"), LOADS)
def test_a_disk_that_fills_up_loses_nothing_and_service_resumes(
    listener: ListenerProcess, small_disk: Path, side: int, count: int, space: int
) -> None:
    leave(small_disk, space)
    wanted = {number: radiograph(number, side=side) for number in range(count)}
    answers = send_all(listener.port, list(wanted), side)
    assert set(answers.values()) == {0x0000, 0xA700}, "the disk was to hold some and not all"
    refused = [number for number, status in answers.items() if status == 0xA700]
    kept = stored(listener)
    assert kept == {
        str(image.SOPInstanceUID): encoded(image) for number, image in wanted.items() if number not in refused
    }
    assert list(listener.folder.incoming.iterdir()) == []
    for path in listener.folder.images.rglob("*.dcm"):
        assert blake3(dataset_bytes(path)).hexdigest() == path.stem, "a file under its final name is whole"

    (small_disk / "ballast").unlink()
    (small_disk / "more").unlink()
    assert set(send_all(listener.port, refused, side).values()) == {0x0000}
    assert stored(listener) == {str(image.SOPInstanceUID): encoded(image) for image in wanted.values()}
    assert listener.stop() == 0
    assert "Traceback" not in listener.log.read_text()


def test_below_the_watermark_associations_are_refused_until_there_is_space(small_disk: Path) -> None:
    listener = ListenerProcess(small_disk / "data", {"LUNGPRINT_DICOM_LOW_SPACE_MIB": "16"}).start()
    try:
        sender = Sender(listener.port)
        assert rejection(sender) is None
        with sender.association([VERIFICATION]) as early:
            (small_disk / "more").write_bytes(bytes(20 * MIB))
            assert rejection(sender) == (2, 3, 1)
            assert early.send_c_echo().Status == 0x0000
        (small_disk / "ballast").unlink()
        assert rejection(sender) is None
    finally:
        listener.close()
