"""Batches of real files through real decoders and the shipped network, and each way in which an image can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from archive.database import Database
from archive.files import ImageFiles
from archive.intake import Header, StoredFile, register
from archive.models import Code, Instance
from archive.states import ImageState
from config.settings import Settings, load_settings
from dicom_node.wrap import View, twelve_bit
from retrieval.encoder import Encoder, Encodings
from retrieval.errors import DeviceFailed
from retrieval.phantom import random_exam, random_person, render
from tests.workers.conftest import AddImage, wait_for
from tests.workers.films import decode_slowly, film, noise, written
from workers import encode
from workers.decode_pool import DecodePool
from workers.decoder import Decoded
from workers.encode import BatchEncoder


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    made = DecodePool(load_settings(Path("/nowhere"), environ={}).decoding)
    yield made
    made.close()


@pytest.fixture(scope="module")
def network() -> Encoder:
    return Encoder.load("default", "cpu")


class Desk:
    """A batch encoder, and what it handed on."""

    def __init__(
        self, database: Database, files: ImageFiles, settings: Settings, pool: DecodePool, network: encode.Network
    ) -> None:
        self.database = database
        self.to_match: list[int] = []
        self.to_encode: list[int] = []
        self.encoder = BatchEncoder(
            database, files, pool, network, settings, self.to_match.append, self.to_encode.append
        )

    def image(self, instance_id: int) -> Instance:
        with self.database.read() as session:
            return session.get_one(Instance, instance_id)

    def code(self, instance_id: int) -> Code | None:
        with self.database.read() as session:
            return session.get(Code, instance_id)


@pytest.fixture
def desk(database: Database, files: ImageFiles, settings: Settings, pool: DecodePool, network: Encoder) -> Desk:
    return Desk(database, files, settings, pool, network)


def test_chests_are_encoded_previewed_and_handed_on(desk: Desk, files: ImageFiles, add_image: AddImage) -> None:
    ids = [add_image(film(number)) for number in range(3)]
    desk.encoder.announce(ids[0])
    desk.encoder.run(ids)
    assert sorted(desk.to_match) == ids
    vectors = []
    for instance_id in ids:
        image, code = desk.image(instance_id), desk.code(instance_id)
        assert image.state is ImageState.ENCODED and (image.rows, image.columns) == (512, 512)
        assert code is not None and code.model_id == desk.encoder.model_id
        vectors.append(np.frombuffer(code.embedding, "<f4"))
        assert files.preview_path(instance_id).read_bytes()[:3] == b"\xff\xd8\xff"
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
    assert len({desk.image(i).pixel_sha256 for i in ids}) == 3


def test_the_part_that_the_network_was_shown_is_kept(desk: Desk, add_image: AddImage) -> None:
    """A chest on the right of a film that is black for the rest: the attention belongs there alone."""
    rng = np.random.default_rng(1)
    chest = twelve_bit(np.asarray(render(random_person(rng), random_exam(rng), 512), np.float32))
    wide = np.zeros((512, 704), np.uint16)
    wide[:, 192:] = chest
    instance_id = add_image(written(wide, View.PA, 1))
    desk.encoder.run([instance_id])
    code = desk.code(instance_id)
    assert code is not None and code.box is not None
    top, bottom, left, right = code.box
    assert left == pytest.approx(192 / 704, abs=0.02)
    assert top <= 0.1 and bottom >= 0.9 and right >= 0.95


def test_an_image_that_is_stored_upside_down_is_encoded_upright_and_says_so(desk: Desk, add_image: AddImage) -> None:
    rng = np.random.default_rng(1)
    chest = twelve_bit(np.asarray(render(random_person(rng), random_exam(rng), 512), np.float32))
    upright, turned = (add_image(written(np.ascontiguousarray(np.rot90(chest, turns)), View.PA, 1)) for turns in (0, 2))
    desk.encoder.run([upright, turned])
    assert [desk.image(i).state for i in (upright, turned)] == [ImageState.ENCODED] * 2
    assert [desk.image(i).righting for i in (upright, turned)] == ["", "turned by 180°"]
    codes = [desk.code(i) for i in (upright, turned)]
    one, other = (np.frombuffer(code.embedding, "<f4") for code in codes if code is not None)
    assert one @ other > 0.98


def test_a_second_delivery_only_hands_on_again(desk: Desk, add_image: AddImage) -> None:
    instance_id = add_image(film(1))
    desk.encoder.run([instance_id])
    before = desk.image(instance_id).encoded_at
    desk.encoder.run([instance_id])
    assert desk.to_match == [instance_id, instance_id]
    assert desk.image(instance_id).encoded_at == before


def test_a_correction_that_comes_meanwhile_is_encoded_instead(
    desk: Desk, files: ImageFiles, settings: Settings, add_image: AddImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id, corrected = add_image(film(1)), film(2)
    digest = hashlib.sha256(corrected).hexdigest()
    encode_images = Encoder.encode

    def correct(network: Encoder, images: NDArray[np.uint8]) -> Encodings:
        monkeypatch.undo()
        files.path(digest).parent.mkdir(exist_ok=True)
        files.path(digest).write_bytes(corrected)
        uid = desk.image(instance_id).sop_instance_uid
        header = Header("1.2.840.10008.5.1.4.1.1.1", uid, "1.2.840.10008.1.2.1", "1.2", "1.2.0", "P2")
        register(desk.database, settings, header, StoredFile(digest, len(corrected)))
        return encode_images(network, images)

    monkeypatch.setattr(Encoder, "encode", correct)
    desk.encoder.run([instance_id])
    assert desk.to_match == [] and desk.code(instance_id) is None
    assert desk.image(instance_id).state is ImageState.RECEIVED
    desk.encoder.run([instance_id])
    fresh = add_image(film(2))
    desk.encoder.run([fresh])
    assert desk.to_match == [instance_id, fresh]
    assert desk.image(instance_id).pixel_sha256 == desk.image(fresh).pixel_sha256


def test_nothing_stays_of_an_image_that_is_purged_before_its_turn(
    desk: Desk, files: ImageFiles, add_image: AddImage
) -> None:
    instance_id, other = add_image(film(1)), add_image(film(2))
    desk.encoder.announce(instance_id)
    _, decoding = desk.encoder._ahead[instance_id]
    with desk.database.write() as session:
        session.delete(session.get_one(Instance, instance_id))
    desk.encoder.run([instance_id, other])
    assert isinstance(decoding.result(60), Decoded)
    wait_for(lambda: not files.preview_path(instance_id).exists())
    assert desk.to_match == [other] and files.preview_path(other).exists()


def test_a_preview_outlives_a_decoding_that_failed_where_the_image_is_the_same(
    desk: Desk, files: ImageFiles, add_image: AddImage
) -> None:
    instance_id = add_image(film(1))
    desk.encoder.run([instance_id])
    with desk.database.write() as session:
        session.execute(update(Code).values(model_id="earlier"))
        files.path(session.get_one(Instance, instance_id).file_digest).unlink()
    desk.encoder.run([instance_id])
    assert desk.image(instance_id).reason and files.preview_path(instance_id).exists()


def test_one_bad_image_does_not_hold_up_its_batch(desk: Desk, files: ImageFiles, add_image: AddImage) -> None:
    good, side, empty, broken = (
        add_image(content) for content in (film(1), film(2, View.LL), noise(), film(3)[:-1000])
    )
    # Of what the image was before it was corrected.
    earlier = files.preview_path(broken)
    earlier.parent.mkdir(parents=True, exist_ok=True)
    earlier.write_bytes(b"another picture")
    desk.encoder.run([good, side, empty, broken])
    assert not earlier.exists()
    assert desk.to_match == [good]
    for instance_id, reason in ((side, "lateral"), (empty, ""), (broken, "shorter than the header says")):
        image = desk.image(instance_id)
        assert image.state is ImageState.UNSUITABLE and image.reason and reason in image.reason
        assert desk.code(instance_id) is None


def test_a_missing_file_is_tried_again_and_then_a_dead_letter(
    desk: Desk, files: ImageFiles, settings: Settings, add_image: AddImage
) -> None:
    instance_id = add_image(film(1))
    files.path(desk.image(instance_id).file_digest).unlink()
    for attempt in range(1, settings.workers.max_attempts):
        desk.encoder.run([instance_id])
        assert desk.image(instance_id).attempts == attempt
        assert desk.image(instance_id).state is ImageState.RECEIVED
    desk.encoder.run([instance_id])
    assert desk.image(instance_id).state is ImageState.FAILED
    assert "cannot be read" in desk.image(instance_id).reason


def test_codes_of_other_weights_are_made_anew_and_the_verdict_stays(desk: Desk, add_image: AddImage) -> None:
    instance_id = add_image(film(1))
    desk.encoder.run([instance_id])
    with desk.database.write() as session:
        session.execute(update(Code).values(model_id="earlier"))
        session.execute(update(Instance).values(state=ImageState.MATCHED))
    desk.encoder.run([instance_id])
    code = desk.code(instance_id)
    assert code is not None and code.model_id == desk.encoder.model_id
    assert desk.image(instance_id).state is ImageState.MATCHED
    assert desk.to_match == [instance_id, instance_id]


class BrokenNetwork:
    """A network with a mistake in it."""

    model_id = "broken"

    def encode(self, images: NDArray[np.uint8]) -> Encodings:
        raise RuntimeError("a matrix of another size")


class BrokenDevice:
    """A network on a GPU that broke down."""

    model_id = "broken"

    def encode(self, images: NDArray[np.uint8]) -> Encodings:
        raise DeviceFailed("The GPU failed (AcceleratorError); start again, or choose the device cpu.")


def test_a_failing_network_costs_an_attempt_and_loses_nothing(
    database: Database, files: ImageFiles, settings: Settings, pool: DecodePool, add_image: AddImage
) -> None:
    desk = Desk(database, files, settings, pool, BrokenNetwork())
    instance_id = add_image(film(1))
    desk.encoder.run([instance_id])
    image = desk.image(instance_id)
    assert (image.state, image.attempts) == (ImageState.RECEIVED, 1) and "RuntimeError" in image.reason


def test_a_broken_gpu_costs_no_image_an_attempt(
    database: Database,
    files: ImageFiles,
    settings: Settings,
    pool: DecodePool,
    network: Encoder,
    add_image: AddImage,
) -> None:
    broken = Desk(database, files, settings, pool, BrokenDevice())
    ids = [add_image(film(1)), add_image(film(2))]
    for _ in range(settings.workers.max_attempts + 1):
        with pytest.raises(DeviceFailed):
            broken.encoder.run(ids)
    assert {(broken.image(i).state, broken.image(i).attempts) for i in ids} == {(ImageState.RECEIVED, 0)}
    after = Desk(database, files, settings, pool, network)
    after.encoder.run(ids)
    assert sorted(after.to_match) == ids


def test_a_slow_image_comes_back_instead_of_holding_up_the_batch(
    database: Database,
    files: ImageFiles,
    settings: Settings,
    network: Encoder,
    add_image: AddImage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encode, "STRAGGLER_SECONDS", 0.1)
    slow = DecodePool(settings.decoding, decode_slowly)
    try:
        desk = Desk(database, files, settings, slow, network)
        instance_id = add_image(film(1))
        desk.encoder.run([instance_id])
        assert desk.image(instance_id).state is ImageState.RECEIVED and desk.to_encode == []
        wait_for(lambda: desk.to_encode == [instance_id])
        desk.encoder.run([instance_id])
        assert desk.image(instance_id).state is ImageState.ENCODED
    finally:
        slow.close()


def test_a_lost_decoder_costs_an_attempt_instead_of_waiting_for_ever(
    database: Database,
    files: ImageFiles,
    settings: Settings,
    network: Encoder,
    add_image: AddImage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encode, "STRAGGLER_SECONDS", 0.1)
    monkeypatch.setattr(encode, "LOST_AFTER_TIMEOUTS", 0)
    slow = DecodePool(settings.decoding, decode_slowly)
    try:
        desk = Desk(database, files, settings, slow, network)
        instance_id = add_image(film(1))
        desk.encoder.run([instance_id])
        image = desk.image(instance_id)
        assert (image.state, image.attempts, image.reason) == (ImageState.RECEIVED, 1, "the decoder was lost")
    finally:
        slow.close()


def test_an_id_that_does_not_exist_is_ignored(desk: Desk) -> None:
    desk.encoder.announce(4711)
    desk.encoder.run([4711])
    assert desk.to_match == []
