from __future__ import annotations

import tracemalloc
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_charset_files
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from archive.intake import Header
from dicom_node.header import HeaderDefect, HeaderUnreadable, read_header
from tests.dicom_node.sending import encoded
from tests.listening import dataset_bytes, radiograph, save

# Wrong values are what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def header_of(folder: Path, image: Dataset) -> Header:
    return read_header(save(image, folder / "image.dcm"))


def test_it_reads_what_the_archive_keeps(tmp_path: Path) -> None:
    image = radiograph(
        7,
        IssuerOfPatientID="HOSPITAL",
        PatientBirthDate="19700101",
        PatientSex="F",
        AccessionNumber="A7",
        StudyDescription="Thorax",
        SeriesDescription="PA",
        TimezoneOffsetFromUTC="+0100",
    )
    assert header_of(tmp_path, image) == Header(
        sop_class_uid=image.SOPClassUID,
        sop_instance_uid=image.SOPInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        study_instance_uid=image.StudyInstanceUID,
        series_instance_uid=image.SeriesInstanceUID,
        patient_id="PID7",
        issuer="HOSPITAL",
        name="Doe7^Jane",
        birth_date="19700101",
        sex="F",
        accession_number="A7",
        study_description="Thorax",
        series_description="PA",
        modality="DX",
        acquired_at=datetime(2024, 2, 29, 22, 59, 59, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Łukasz^Żółć"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_are_decoded_by_their_character_set(tmp_path: Path, character_set: Any, name: str) -> None:
    image = radiograph(1, SpecificCharacterSet=character_set, PatientName=name)
    assert header_of(tmp_path, image).name == name


# Person names of the test files that come with pydicom (PS3.5 annexes H, I, J and K among them).
NAMES_OF_FILES = {
    "chrArab": "قباني^لنزار",
    "chrFren": "Buc^Jérôme",
    "chrGerm": "Äneas^Rüdiger",
    "chrGreek": "Διονυσιος",
    "chrH31": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw": "שרון^דבורה",
    "chrI2": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrJapMulti": "やまだ^たろう",
    "chrKoreanMulti": "김희중",
    "chrRuss": "Люкceмбypг",
    "chrX1": "Wang^XiaoDong=王^小東",
    "chrX2": "Wang^XiaoDong=王^小东",
}


def with_name(folder: Path, character_set: Any, name: bytes) -> Path:
    """A file with these very bytes as Patient's Name; a character set of None is left out."""
    given = {} if character_set is None else {"SpecificCharacterSet": character_set}
    image = radiograph(1, PatientName=None, **given)
    image[0x00100010] = RawDataElement(Tag(0x00100010), "PN", len(name), name, 0, False, True)
    return save(image, folder / "image.dcm")


@pytest.mark.parametrize("name", sorted(NAMES_OF_FILES))
def test_names_in_pydicom_s_test_files_are_decoded(tmp_path: Path, name: str) -> None:
    [file] = get_charset_files(f"{name}.dcm")
    found = dcmread(file, force=True)
    raw = found.get_item(0x00100010)
    assert raw is not None
    path = with_name(tmp_path, found.SpecificCharacterSet, raw.value)
    assert read_header(path).name == NAMES_OF_FILES[name]


@pytest.mark.parametrize("character_set", [None, ""])
@pytest.mark.parametrize(
    ("undeclared", "codec", "name"),
    [
        ("ISO_IR 100", "latin-1", "Müller^Jürgen"),
        ("ISO_IR 100", "utf-8", "Müller^Jürgen"),
        ("ISO_IR 144", "utf-8", "王^小东"),
        ("ISO_IR 144", "iso8859-5", "Люкceмбypг^Иван"),
        ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("GB18030", "gb18030", "王^小东"),
        ("ISO_IR 144", "ascii", "Doe^Jane"),
    ],
)
def test_names_without_a_character_set_are_read_as_utf_8_or_as_the_site_says(
    tmp_path: Path, character_set: str | None, undeclared: str, codec: str, name: str
) -> None:
    assert read_header(with_name(tmp_path, character_set, name.encode(codec)), undeclared).name == name


def test_escape_sequences_of_iso_2022_leave_no_trace(tmp_path: Path) -> None:
    # PS3.5 annex K: Chinese by ISO 2022 IR 58.
    name = b"Zhang^XiaoDong=\x1b$)A" + "张".encode("gb2312") + b"^\x1b$)A" + "小东".encode("gb2312") + b"="
    path = with_name(tmp_path, ["", "ISO 2022 IR 58"], name)
    assert read_header(path).name.rstrip("=") == "Zhang^XiaoDong=张^小东"


def test_a_wrong_character_set_does_not_stop_an_image(tmp_path: Path) -> None:
    image = radiograph(1, SpecificCharacterSet="NO SUCH SET", PatientName="Doe^Jane")
    assert header_of(tmp_path, image).name == "Doe^Jane"


def test_texts_are_clipped_to_the_columns_and_free_of_control_characters(tmp_path: Path) -> None:
    image = radiograph(
        1, PatientID="7" * 300, StudyDescription="a\x00b\x1bc\r\nd" + "x" * 400, PatientSex="unknown" * 9
    )
    header = header_of(tmp_path, image)
    assert (len(header.patient_id), len(header.study_description), len(header.sex)) == (128, 256, 16)
    assert header.study_description.startswith("a b")


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"AcquisitionDateTime": "20200203040506.789+0000"}, datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ({"AcquisitionDate": "20200203", "TimezoneOffsetFromUTC": "-0230"}, datetime(2020, 2, 3, 2, 30, tzinfo=UTC)),
        ({"StudyDate": "20201399", "TimezoneOffsetFromUTC": "+0000"}, None),
        ({"StudyDate": "", "StudyTime": ""}, None),
    ],
)
def test_the_time_of_an_image(tmp_path: Path, elements: dict[str, str], expected: datetime | None) -> None:
    assert header_of(tmp_path, radiograph(1, **elements)).acquired_at == expected


@pytest.mark.parametrize(
    ("keyword", "defect"),
    [
        ("SOPInstanceUID", HeaderDefect.NO_INSTANCE),
        ("SOPClassUID", HeaderDefect.NO_CLASS),
        ("StudyInstanceUID", HeaderDefect.NO_STUDY),
        ("SeriesInstanceUID", HeaderDefect.NO_SERIES),
    ],
)
@pytest.mark.parametrize("value", [None, "", "1.2.x", "../../etc", "1." * 40 + "1"])
def test_each_uid_must_be_one(tmp_path: Path, keyword: str, defect: HeaderDefect, value: str | None) -> None:
    path = save(radiograph(1), tmp_path / "image.dcm")
    begin = path.read_bytes()[: -len(dataset_bytes(path))]
    path.write_bytes(begin + encoded(radiograph(1, **{keyword: value})))
    with pytest.raises(HeaderUnreadable) as caught:
        read_header(path)
    assert caught.value.defect is defect


def test_elements_in_the_wrong_order_are_found(tmp_path: Path) -> None:
    path = save(radiograph(1), tmp_path / "image.dcm")
    whole = path.read_bytes()
    content = dataset_bytes(path)
    pixels = content.index(b"\xe0\x7f\x10\x00")
    rows = content.index(b"\x28\x00\x02\x00")
    swapped = content[rows:pixels] + content[:rows] + content[pixels:]
    path.write_bytes(whole[: len(whole) - len(content)] + swapped)
    assert read_header(path).patient_id == "PID1"


@pytest.mark.parametrize("before", [10, 300_000, 7 << 20])
def test_a_deflated_header_is_found_behind_as_much_as_a_header_may_hold(tmp_path: Path, before: int) -> None:
    image = radiograph(1, syntax=DeflatedExplicitVRLittleEndian)
    image.add_new(0x00090010, "LO", "NOISE")
    image.add_new(0x00091001, "OB", np.random.default_rng(1).bytes(before))
    found = header_of(tmp_path, image)
    assert (found.patient_id, found.series_instance_uid) == ("PID1", image.SeriesInstanceUID)


def test_a_deflated_bomb_is_read_only_as_far_as_the_header(tmp_path: Path) -> None:
    image = radiograph(1, syntax=DeflatedExplicitVRLittleEndian)
    path = save(image, tmp_path / "image.dcm")
    whole, content = path.read_bytes(), dataset_bytes(path)
    plain = zlib.decompress(content, -zlib.MAX_WBITS)
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = compressor.compress(plain) + b"".join(compressor.compress(bytes(1 << 24)) for _ in range(8))
    path.write_bytes(whole[: len(whole) - len(content)] + bomb + compressor.flush())
    tracemalloc.start()
    assert read_header(path).patient_id == "PID1"
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_what_is_no_dicom_file_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear colleague, " * 40)
    with pytest.raises(HeaderUnreadable, match="not a DICOM file"):
        read_header(path)


def test_a_file_that_is_not_there_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.dcm")


def test_a_file_cut_off_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    path = save(radiograph(1, side=4), tmp_path / "image.dcm")
    whole = path.read_bytes()
    outcomes = set()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            outcomes.add(read_header(path).patient_id)
        except HeaderUnreadable as error:
            outcomes.add(error.defect)
    assert "PID1" in outcomes and HeaderDefect.NOT_DICOM in outcomes and HeaderDefect.NO_SERIES in outcomes


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(132, 900), st.integers(0, 255)), min_size=1, max_size=12))
def test_a_file_with_wrong_bytes_anywhere_is_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    path = tmp_path / "image.dcm"
    content = bytearray(save(radiograph(1), path).read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        header = read_header(path)
    except HeaderUnreadable as error:
        assert error.reason
    else:
        assert header.sop_instance_uid and header.study_instance_uid
