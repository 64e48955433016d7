"""Reading HL7 v2: identifiers, names in every script, and the right refusal for whatever is wrong."""

from __future__ import annotations

import pytest

from dicom_node.hl7_message import Demographics, Identifier, MessageRefused, decoded, parsed, read_adt
from tests.dicom_node import adt


def read(content: bytes | str) -> object:
    return read_adt(parsed(decoded(content.encode() if isinstance(content, str) else content)))


def pid(pid3: str, pid5: str = "Doe^Jane", charset: str = "UNICODE UTF-8") -> str:
    return f"{adt.header('A08', charset=charset)}\rPID|||{pid3}||{pid5}||19700131120000|F"


def name_of(content: bytes | str) -> str | None:
    found = read(content)
    return found.groups[0].demographics.name  # type: ignore[attr-defined,no-any-return]


def test_a_merge_names_what_goes_and_what_stays() -> None:
    found = read_adt(parsed(decoded(adt.merge("X1", "Y1", control_id="MSG7"))))
    assert (found.event, found.control_id, found.sender) == ("A40", "MSG7", "HIS/MAIN")
    [group] = found.groups
    assert group.identifiers == (Identifier("Y1", "HOSP"),)
    assert group.prior == (Identifier("X1", "HOSP"),)
    assert group.demographics == Demographics("Doe^Jane", "19700131", "F")


def test_several_merges_come_in_one_message() -> None:
    text = f"{adt.header('A40')}\rPID|||Y1\rMRG|X1\rPID|||Y2\rPD1|\rMRG|X2~X3\r"
    found = read_adt(parsed(text))
    assert [([i.number for i in g.identifiers], [i.number for i in g.prior]) for g in found.groups] == [
        (["Y1"], ["X1"]),
        (["Y2"], ["X2", "X3"]),
    ]


def test_an_authority_has_a_namespace_and_a_universal_id() -> None:
    found = read_adt(parsed(pid("7^^^HOSP&1.2.3&ISO^PI~8^^^&1.2.4&ISO")))
    assert found.groups[0].identifiers == (Identifier("7", "HOSP", "1.2.3"), Identifier("8", "", "1.2.4"))


def test_numbers_that_are_no_patient_ids_are_left_out() -> None:
    found = read_adt(parsed(pid("123-45^^^SSA^SS~7^^^HOSP^MR~99^^^HOSP^VN")))
    assert found.groups[0].identifiers == (Identifier("7", "HOSP"),)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Doe^Jane^Mary^Jr^Dr", "Doe^Jane^Mary^Dr^Jr"),
        ("Doe&van&Doe^Jane", "Doe^Jane"),
        ("Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("Wang^XiaoDong^^^^^L^A~王^小东^^^^^L^I", "Wang^XiaoDong=王^小东"),
        ("Люкceмбypг", "Люкceмбypг"),
        ("O\\T\\Hara^A\\S\\B", "O&Hara^A B"),
        ('""', ""),
        ("", None),
    ],
)
def test_names_are_written_as_dicom_writes_them(field: str, name: str | None) -> None:
    assert name_of(pid("7", field)) == name


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("", "utf-8", "Müller^Jürgen"),
        ("", "latin-1", "Müller^Jürgen"),
        ("8859/1", "latin-1", "Müller^Jürgen"),
        ("8859/5", "iso8859-5", "Люкceмбypг"),
        ("GB 18030-2000", "gb18030", "王^小东"),
        ("~ISO IR87", "iso2022_jp", "山田^太郎"),
        ("KS X 1001", "euc_kr", "김^희중"),
        ("UNICODE UTF-8", "utf-8", "Люкceмбypг^山田"),
    ],
)
def test_names_come_in_every_character_set(charset: str, codec: str, name: str) -> None:
    assert name_of(pid("7", name, charset).encode(codec)) == name


def test_what_is_not_said_stays_and_what_is_deleted_goes() -> None:
    found = read_adt(parsed(f'{adt.header("A08")}\rPID|||7||||""|U'))
    assert found.groups[0].demographics == Demographics(None, "", None)


@pytest.mark.parametrize("separator", ["\r", "\n", "\r\n"])
def test_segments_may_end_as_senders_end_them(separator: str) -> None:
    text = adt.merge("X1", "Y1").decode().replace("\r", separator)
    assert read_adt(parsed(text)).event == "A40"


@pytest.mark.parametrize(
    ("content", "code", "error"),
    [
        ("", "AR", 100),
        ("PID|||7", "AR", 100),
        ("MSH", "AR", 100),
        ("MSH|^~\\&|", "AR", 100),
        (adt.header("A08", kind="ORU^R01") + "\r", "AR", 200),
        (adt.header("A08", kind="ADT") + "\r", "AR", 201),
        (adt.header("A01") + "\rPID|||7", "AR", 201),
        (adt.header("A40", processing="T") + "\rPID|||7\rMRG|8", "AR", 202),
        (adt.header("A40", version="3.0") + "\rPID|||7\rMRG|8", "AR", 203),
        (adt.header("A08", charset="KLINGON") + "\rPID|||7", "AR", 207),
        (adt.header("A40") + "\r", "AE", 100),
        (adt.header("A40") + "\rPID|||7\r", "AE", 100),
        (adt.header("A40") + "\rPID|||7\rPID|||8\rMRG|9", "AE", 100),
        (adt.header("A40") + "\rPID|||7\rMRG|", "AE", 101),
        (adt.header("A40") + "\rPID|||\rMRG|8", "AE", 101),
        (adt.header("A08") + "\rPID|1", "AE", 101),
        (adt.header("A08") + '\rPID|||""', "AE", 101),
    ],
)
def test_what_is_wrong_is_said_with_the_standard_s_codes(content: str, code: str, error: int) -> None:
    with pytest.raises(MessageRefused) as caught:
        read(content)
    assert (caught.value.code, caught.value.error) == (code, error)


def test_bytes_that_are_not_in_the_named_character_set_are_refused() -> None:
    with pytest.raises(MessageRefused) as caught:
        read(pid("7", "Müller", "UNICODE UTF-8").encode("latin-1"))
    assert (caught.value.code, caught.value.error) == ("AE", 102)
