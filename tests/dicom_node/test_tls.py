"""Certificates: which files are usable, when they are read again, and which connections they allow."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
from pathlib import Path

import pytest
from pynetdicom import AE

from archive.database import Database
from config.errors import ConfigurationError
from config.paths import DataDir
from config.settings import Tls
from dicom_node.tls import Certificates, names_in
from tests.dicom_node.certificates import Authority
from tests.dicom_node.sending import Sender, listening
from tests.ports import free_port

VERIFICATION = "1.2.840.10008.1.1"
PACS = {"ae_title": "PACS", "address": "127.0.0.1"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "hospital")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "elsewhere")


def made(authority: Authority, **changed: str) -> Certificates:
    return Certificates(Tls.model_validate(authority.options("lungprint.example") | changed))


def answer(sender: Sender, context: ssl.SSLContext | None, calling: str = "PACS") -> str:
    """What comes of an association: `accepted`, a rejection's codes, or `aborted` where it never began."""
    ae = AE(calling)
    ae.add_requested_context(VERIFICATION)
    port = sender.port if context is None else sender.tls_port
    assert port is not None
    tls = None if context is None else (context, "lungprint.example")
    association = ae.associate("127.0.0.1", port, ae_title="LUNGPRINT", tls_args=tls)
    if association.is_established:
        association.release()
        return "accepted"
    primitive = association.acceptor.primitive
    if not association.is_rejected or primitive is None:
        return "aborted"
    return f"{primitive.result} {primitive.result_source} {primitive.diagnostic}"


def test_only_holders_of_a_certificate_of_the_authority_are_heard(
    folder: DataDir, database: Database, authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    both = stranger.client("pacs.example")
    both.load_verify_locations(authority.file)
    without = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    without.check_hostname = False
    without.load_verify_locations(authority.file)
    tls = authority.options("lungprint.example", free_port())
    with listening(folder, database, tls, host="127.0.0.1", peers=[PACS]) as sender:
        assert answer(sender, authority.client("pacs.example")) == "accepted"
        assert answer(sender, both) == "aborted"
        assert answer(sender, without) == "aborted"
        assert answer(sender, stranger.client("pacs.example")) == "aborted"
        assert answer(sender, None) == "accepted"
    said = [record.message for record in caplog.records if "could not be secured" in record.message]
    assert len(said) >= 3 and any("certificate verify failed" in line for line in said)


def test_a_peer_with_tls_is_turned_away_without_it_and_with_another_name(
    folder: DataDir, database: Database, authority: Authority
) -> None:
    tls = authority.options("lungprint.example", free_port())
    peers = [PACS | {"tls": True, "certificate_name": "PACS.example"}]
    with listening(folder, database, tls, host="127.0.0.1", peers=peers) as sender:
        assert answer(sender, authority.client("pacs.example")) == "accepted"
        assert answer(sender, authority.client("ward.example")) == "1 1 1"
        assert answer(sender, None) == "1 1 1"
        assert answer(sender, authority.client("pacs.example"), calling="OTHER") == "1 1 3"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_with_suites_of_forward_secrecy(
    folder: DataDir, database: Database, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.client("pacs.example")
    context.minimum_version = context.maximum_version = version
    tls = authority.options("lungprint.example", free_port())
    with (
        listening(folder, database, tls) as sender,
        socket.create_connection(("127.0.0.1", sender.tls_port or 0)) as plain,
        context.wrap_socket(plain) as secured,
    ):
        chosen = secured.cipher()
        assert chosen is not None and "GCM" in chosen[0]
        assert chosen[0].startswith(("ECDHE", "TLS_AES"))


@pytest.mark.parametrize("weakness", ["TLSv1.1", "no forward secrecy"])
def test_what_the_profile_forbids_is_refused(
    folder: DataDir, database: Database, authority: Authority, weakness: str
) -> None:
    context = authority.client("pacs.example")
    if weakness == "TLSv1.1":
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES256-GCM-SHA384")
    tls = authority.options("lungprint.example", free_port())
    with (
        listening(folder, database, tls) as sender,
        socket.create_connection(("127.0.0.1", sender.tls_port or 0)) as plain,
        pytest.raises(OSError),
    ):
        context.wrap_socket(plain)


def test_a_silent_connection_does_not_keep_others_from_their_handshake(
    folder: DataDir, database: Database, authority: Authority
) -> None:
    tls = authority.options("lungprint.example", free_port())
    with (
        listening(folder, database, tls) as sender,
        socket.create_connection(("127.0.0.1", sender.tls_port or 0)),
    ):
        assert answer(sender, authority.client("pacs.example")) == "accepted"


def test_changed_certificates_count_without_a_restart(
    folder: DataDir, database: Database, authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.options("lungprint.example", free_port())
    old, new = authority.client("pacs.example"), stranger.client("pacs.example")
    with listening(folder, database, tls) as sender:
        assert (answer(sender, old), answer(sender, new)) == ("accepted", "aborted")
        Path(str(tls["certificate"])).write_text("half written")
        assert (answer(sender, old), answer(sender, new)) == ("accepted", "aborted")
        assert "the earlier ones stay in use" in caplog.text
        certificate, key = stranger.issue("lungprint.example")
        for source, target in ((certificate, "certificate"), (key, "key"), (stranger.file, "authorities")):
            shutil.copy(source, str(tls[target]))
        assert (answer(sender, old), answer(sender, new)) == ("aborted", "accepted")


def test_files_that_do_not_belong_together_stop_the_start(authority: Authority, stranger: Authority) -> None:
    _, key = stranger.issue("other.example")
    with pytest.raises(ConfigurationError, match=r"key values mismatch\.$"):
        made(authority, key=str(key))
    with pytest.raises(ConfigurationError, match="No such file"):
        made(authority, authorities="/nowhere/authority.pem")


def test_names_are_the_dns_names_and_the_common_name() -> None:
    certificate = {
        "subject": ((("countryName", "DE"),), (("commonName", "PACS"),)),
        "subjectAltName": (("DNS", "pacs.example"), ("IP Address", "10.0.0.5")),
    }
    assert names_in(certificate) == {"pacs", "pacs.example"}
    assert names_in({}) == frozenset()
