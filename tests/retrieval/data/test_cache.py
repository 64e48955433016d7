from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest

from retrieval.data import cache
from retrieval.data.cache import prepared_images, read_gray
from retrieval.data.manifest import ImageRow, Split
from retrieval.errors import CacheNotUsable, ManifestInvalid
from retrieval.preprocess import PREPARED_SIZE, prepare

# Prepares the images named on the command line, a step of one image at a time, slowly enough to be killed.
SLOWLY = """
import sys, time
from pathlib import Path
from retrieval.data import cache
from retrieval.data.manifest import ImageRow, Split
read = cache.read_gray
cache.read_gray = lambda path: (time.sleep(0.05), read(path))[1]
cache._STEP = 1
rows = [ImageRow(Path(p), Path(p).name, "nih", "nih:1", Split.TRAIN, "", "") for p in sys.argv[2:]]
cache.prepared_images(rows, Path(sys.argv[1]), quiet=True)
"""


def row(path: Path) -> ImageRow:
    return ImageRow(path, path.name, "nih", "nih:1", Split.TRAIN, "", "")


def draw(folder: Path, count: int) -> list[ImageRow]:
    rng = np.random.default_rng(0)
    rows = [row(folder / f"{i}.png") for i in range(count)]
    for one in rows:
        cv2.imwrite(str(one.path), rng.integers(0, 256, (60, 80)).astype(np.uint8))
    return rows


def expected(rows: list[ImageRow]) -> np.ndarray:
    return np.stack([prepare(read_gray(one.path)) for one in rows])


def test_cached_images_are_the_prepared_files_and_are_read_once(tmp_path: Path) -> None:
    rows = draw(tmp_path, 20)
    right = expected(rows)
    assert np.array_equal(prepared_images(rows, tmp_path / "cache", quiet=True), right)
    rows[0].path.unlink()
    found = prepared_images(rows, tmp_path / "cache", quiet=True)
    assert np.array_equal(found, right)
    assert not found.flags.writeable
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"gone\.jpg"):
        prepared_images([row(tmp_path / "gone.jpg")], tmp_path / "cache", quiet=True)


def test_no_images_need_no_file(tmp_path: Path) -> None:
    assert prepared_images([], tmp_path, quiet=True).shape == (0, PREPARED_SIZE, PREPARED_SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_is_continued_and_reads_no_finished_image_again(tmp_path: Path) -> None:
    rows, folder = draw(tmp_path, 40), tmp_path / "cache"
    right = expected(rows)
    with subprocess.Popen([sys.executable, "-c", SLOWLY, folder, *(one.path for one in rows)]) as run:
        until = time.monotonic() + 100
        while not (done := [int(path.read_text()) for path in folder.glob("*.done")]) or done[0] < 5:
            assert run.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        os.kill(run.pid, signal.SIGKILL)
    assert not list(folder.glob("prepared-*[0-9a-f].npy"))
    for one in rows[: done[0]]:
        one.path.unlink()
    assert np.array_equal(prepared_images(rows, folder, quiet=True), right)


def test_a_run_that_met_a_missing_file_is_continued_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_STEP", 2)
    rows = draw(tmp_path, 6)
    right = expected(rows)
    rows[5].path.rename(tmp_path / "away")
    with pytest.raises(ManifestInvalid, match=r"5\.png"):
        prepared_images(rows, tmp_path / "cache", quiet=True)
    (tmp_path / "away").rename(rows[5].path)
    for one in rows[:4]:
        one.path.unlink()
    assert np.array_equal(prepared_images(rows, tmp_path / "cache", quiet=True), right)


def test_two_runs_at_once_give_one_cache(tmp_path: Path) -> None:
    rows = draw(tmp_path, 30)
    found: list[np.ndarray] = []
    runs = [Thread(target=lambda: found.append(prepared_images(rows, tmp_path / "c", quiet=True))) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    right = expected(rows)
    assert len(found) == 3
    assert all(np.array_equal(images, right) for images in found)
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 30, 1 << 30, PREPARED_SIZE**2))
    with pytest.raises(CacheNotUsable, match="make room or name another folder"):
        prepared_images(draw(tmp_path, 2), tmp_path / "cache", quiet=True)
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheNotUsable, match="cannot be written"):
        prepared_images(draw(tmp_path, 1), tmp_path / "file" / "cache", quiet=True)


def test_sixteen_bits_keep_what_eight_would_lose(tmp_path: Path) -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    cv2.imwrite(str(tmp_path / "deep.png"), values)
    gray = read_gray(tmp_path / "deep.png")
    assert gray.dtype == np.float32
    np.testing.assert_allclose(gray, values / 65535, rtol=1e-6)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_picture_is_read_as_grey(tmp_path: Path, channels: int) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 9)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "colour.png"), np.dstack([grey] * channels))
    assert np.array_equal(read_gray(tmp_path / "colour.png"), grey)
