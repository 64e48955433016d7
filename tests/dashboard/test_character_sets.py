"""A name that arrives in any character set is shown as its reader writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_charset_files
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from archive.database import Database
from archive.intake import StoredFile, register
from archive.models import Instance
from config.settings import Settings
from dicom_node.header import read_header
from tests.archive.filing import file_alert
from tests.dashboard.conftest import Browser
from tests.listening import radiograph, save

NAME = Tag(0x00100010)


# Files that come with pydicom, by their character sets (PS3.5 annexes H, I, J and K), and a file that names none.
@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("chrRuss", "Люкceмбypг"),
        ("chrH31", "Yamada, Tarou (山田 太郎)"),
        ("chrH32", "ﾔﾏﾀﾞ ﾀﾛｳ (山田 太郎)"),
        ("chrI2", "Hong, Gildong (洪 吉洞)"),
        ("chrX2", "Wang, XiaoDong (王 小东)"),
        ("", "Жанна"),
    ],
)
def test_names_are_shown_as_they_were_meant(
    tmp_path: Path, database: Database, settings: Settings, qa: Browser, file: str, shown: str
) -> None:
    image = radiograph(1)
    value = shown.encode()
    if file:
        source = dcmread(get_charset_files(f"{file}.dcm")[0], force=True)
        image.SpecificCharacterSet = source.SpecificCharacterSet
        raw = source.get_item(NAME)
        assert raw is not None
        value = raw.value
    else:
        image.pop("SpecificCharacterSet", None)
    image[NAME] = RawDataElement(NAME, "PN", len(value), value, 0, False, True)
    path = save(image, tmp_path / "image.dcm")
    stored = StoredFile("ab" * 32, path.stat().st_size)
    number = register(database, settings, read_header(path), stored).instance_id
    with database.write() as session:
        instance = session.get(Instance, number)
        assert instance is not None
        alert = file_alert(session, instance).id
    assert shown in qa.client.get("/alerts").text
    assert shown in qa.client.get(f"/alerts/{alert}").text
