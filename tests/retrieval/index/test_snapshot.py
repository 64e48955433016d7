"""A snapshot is whole or refused: torn, foreign and half-written ones are noticed, and the last good one stays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import SnapshotInvalid
from retrieval.index import ExactIndex, GalleryIndex, HnswIndex, LshIndex
from retrieval.index.snapshot import discard, load_snapshot, snapshots, write_snapshot

DIM = 16
Maker = Callable[[], GalleryIndex]
KINDS: dict[str, Maker] = {
    "exact": lambda: ExactIndex(DIM),
    "hnsw": lambda: HnswIndex(DIM),
    "lsh": lambda: LshIndex(DIM),
}
every_kind = pytest.mark.parametrize(("kind", "make"), list(KINDS.items()), ids=list(KINDS))


def filled(make: Maker, count: int = 200) -> GalleryIndex:
    index = make()
    vectors = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    vectors[count // 2] = vectors[0]
    index.add(np.arange(100, 100 + count), vectors)
    index.remove(np.arange(103, 110))
    return index


@every_kind
def test_a_snapshot_gives_the_same_answers_and_goes_on_growing(kind: str, make: Maker, tmp_path: Path) -> None:
    index = filled(make)
    written = write_snapshot(index, kind, "model", tmp_path)
    again = make()
    load_snapshot(again, kind, "model", written)
    assert again.ids.tolist() == index.ids.tolist()
    for probe in np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32):
        assert again.search(probe, 15).ids.tolist() == index.search(probe, 15).ids.tolist()
    new = np.random.default_rng(2).normal(size=(3000, DIM)).astype(np.float32)
    again.add(np.arange(5000, 8000), new)
    assert [int(again.search(v, 1).ids[0]) for v in new[::100]] == list(range(5000, 8000, 100))


@every_kind
def test_an_empty_index_has_a_snapshot_too(kind: str, make: Maker, tmp_path: Path) -> None:
    again = make()
    load_snapshot(again, kind, "model", write_snapshot(make(), kind, "model", tmp_path))
    assert again.count == 0


@every_kind
def test_a_new_snapshot_takes_the_place_of_the_old_one_and_of_unfinished_ones(
    kind: str, make: Maker, tmp_path: Path
) -> None:
    (tmp_path / ".unfinished-00000009").mkdir()
    first = write_snapshot(filled(make), kind, "model", tmp_path)
    second = write_snapshot(filled(make), kind, "model", tmp_path)
    assert first != second
    assert sorted(tmp_path.iterdir()) == [second] == snapshots(tmp_path)


@every_kind
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_torn_file_is_noticed(kind: str, make: Maker, share: float, tmp_path: Path) -> None:
    written = write_snapshot(filled(make), kind, "model", tmp_path / "good")
    for file in written.iterdir():
        torn = tmp_path / f"torn-{file.name}"
        shutil.copytree(written, torn)
        content = file.read_bytes()
        (torn / file.name).write_bytes(content[: min(int(share * len(content)), len(content) - 1)])
        with pytest.raises(SnapshotInvalid):
            load_snapshot(make(), kind, "model", torn)
        (torn / file.name).unlink()
        with pytest.raises(SnapshotInvalid):
            load_snapshot(make(), kind, "model", torn)


@every_kind
def test_a_single_changed_byte_is_noticed(kind: str, make: Maker, tmp_path: Path) -> None:
    written = write_snapshot(filled(make), kind, "model", tmp_path / "good")
    for file in (path for path in written.iterdir() if path.suffix != ".json"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        changed = tmp_path / f"changed-{file.name}"
        shutil.copytree(written, changed)
        (changed / file.name).write_bytes(content)
        with pytest.raises(SnapshotInvalid, match=r"damaged"):
            load_snapshot(make(), kind, "model", changed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A snapshot of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    return {kind: write_snapshot(filled(make), kind, "model", folder / kind) for kind, make in KINDS.items()}


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    which=st.integers(0, 3),
    place=st.floats(0, 1, exclude_max=True),
    damage=st.sampled_from(["cut", "flipped", "zeroed", "longer"]),
    bit=st.integers(0, 7),
)
def test_a_snapshot_torn_at_any_byte_is_refused(
    whole: dict[str, Path], kind: str, which: int, place: float, damage: str, bit: int
) -> None:
    files = sorted(whole[kind].iterdir())
    file = files[which % len(files)]
    good = file.read_bytes()
    at = int(place * len(good))
    bad = {
        "cut": good[:at],
        "flipped": good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :],
        "zeroed": good[:at] + bytes(len(good) - at),
        "longer": good + good[at : at + 1],
    }[damage]
    # A manifest may end in white space; anything else is a change.
    if bad == good or (file.name == "manifest.json" and bad.strip() == good):
        return
    file.write_bytes(bad)
    try:
        with pytest.raises(SnapshotInvalid):
            load_snapshot(KINDS[kind](), kind, "model", whole[kind])
    finally:
        file.write_bytes(good)


def test_a_snapshot_of_another_network_or_kind_is_refused(tmp_path: Path) -> None:
    written = write_snapshot(filled(lambda: HnswIndex(DIM)), "hnsw", "model", tmp_path)
    with pytest.raises(SnapshotInvalid, match=r"network model, not hnsw of newer"):
        load_snapshot(HnswIndex(DIM), "hnsw", "newer", written)
    with pytest.raises(SnapshotInvalid):
        load_snapshot(ExactIndex(DIM), "exact", "model", written)
    with pytest.raises(SnapshotInvalid):
        load_snapshot(HnswIndex(DIM + 1), "hnsw", "model", written)


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    written = write_snapshot(filled(lambda: ExactIndex(DIM)), "exact", "model", tmp_path)
    manifest = written / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"ids.npy"', '"../ids.npy"'))
    shutil.copy(written / "ids.npy", tmp_path / "ids.npy")
    with pytest.raises(SnapshotInvalid, match=r"damaged"):
        load_snapshot(ExactIndex(DIM), "exact", "model", written)


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_a_disk_that_takes_no_more_leaves_the_last_snapshot_as_it_is(kind: str, tmp_path: Path) -> None:
    """A limit on file size stands for a full disk: hnswlib's own save_index reports neither."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from retrieval.errors import SnapshotInvalid\n"
        "from retrieval.index import ExactIndex, HnswIndex\n"
        "from retrieval.index.snapshot import write_snapshot\n"
        "kind, folder = sys.argv[1], Path(sys.argv[2])\n"
        "index = {'exact': ExactIndex, 'hnsw': HnswIndex}[kind](64)\n"
        "vectors = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)\n"
        "index.add(np.arange(500), vectors[:500])\n"
        "write_snapshot(index, kind, 'model', folder)\n"
        "index.add(np.arange(2000), vectors)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try:\n"
        "    write_snapshot(index, kind, 'model', folder)\n"
        "except SnapshotInvalid:\n"
        "    sys.exit(7)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, kind, str(tmp_path)], check=False)
    assert died.returncode == 7
    (kept,) = tmp_path.iterdir()
    again: GalleryIndex = HnswIndex(64) if kind == "hnsw" else ExactIndex(64)
    load_snapshot(again, kind, "model", kept)
    assert again.count == 500
    discard(kept)
    assert snapshots(tmp_path) == []
