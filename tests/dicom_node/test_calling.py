"""Calling a peer, here another listener: it answers, it rejects, it is away, it shows another certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pynetdicom.presentation import build_context

from archive.database import Database
from config.paths import DataDir
from config.settings import Settings, load_settings
from dicom_node.calling import PeerNotCalled, calling
from tests.dicom_node.certificates import Authority
from tests.dicom_node.sending import listening
from tests.ports import free_port

CONTEXTS = [build_context("1.2.840.10008.1.1")]


def caller(folder: DataDir, peer: dict[str, Any], tls: dict[str, Any] | None = None, title: str = "US") -> Settings:
    """Settings of a node that lists one peer."""
    peers = [{"ae_title": "LUNGPRINT", "address": "127.0.0.1"} | peer]
    return load_settings(
        folder.root, environ={}, flags={"dicom": {"ae_title": title, "peers": peers}, "tls": tls or {}}
    )


def test_a_listed_peer_answers(folder: DataDir, database: Database) -> None:
    with listening(folder, database) as there:
        settings = caller(folder, {"port": there.port})
        with calling(settings, "LUNGPRINT", CONTEXTS) as association:
            assert association.send_c_echo().Status == 0x0000
        assert association.is_released


def test_an_error_in_the_block_aborts_and_passes(folder: DataDir, database: Database) -> None:
    with listening(folder, database) as there:
        settings = caller(folder, {"port": there.port})
        with pytest.raises(ZeroDivisionError), calling(settings, "LUNGPRINT", CONTEXTS) as association:
            raise ZeroDivisionError
        assert association.is_aborted


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        ({"ae_title": "OTHER"}, "No peer LUNGPRINT with a port"),
        ({}, "No peer LUNGPRINT with a port"),
        ({"host": "no-such-host.invalid", "port": 104}, "no-such-host.invalid of the peer LUNGPRINT is not known"),
        ({"port": free_port()}, "cannot be reached"),
    ],
)
def test_a_peer_that_cannot_be_called_is_said_in_one_sentence(folder: DataDir, peer: dict[str, Any], text: str) -> None:
    with pytest.raises(PeerNotCalled, match=text), calling(caller(folder, peer), "LUNGPRINT", CONTEXTS):
        pass


@pytest.mark.parametrize(
    ("listed", "called", "text"),
    [("SOMEONE", "LUNGPRINT", "does not know this node's AE title"), ("US", "OTHER", "AE title is another one")],
)
def test_a_rejection_says_why(folder: DataDir, database: Database, listed: str, called: str, text: str) -> None:
    peers = [{"ae_title": listed, "address": "127.0.0.1"}]
    with listening(folder, database, host="127.0.0.1", peers=peers) as there:
        settings = caller(folder, {"ae_title": called, "port": there.port})
        with pytest.raises(PeerNotCalled, match=text), calling(settings, called, CONTEXTS):
            pass


def test_tls_is_used_and_the_peers_name_is_checked(folder: DataDir, database: Database, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "hospital"), Authority(tmp_path / "elsewhere")
    us = authority.options("us.example")
    with listening(folder, database, authority.options("lungprint.example", free_port())) as there:
        peer = {"port": there.tls_port, "tls": True}
        with calling(caller(folder, peer, us), "LUNGPRINT", CONTEXTS) as association:
            assert association.send_c_echo().Status == 0x0000
        named = peer | {"certificate_name": "lungprint.example"}
        with calling(caller(folder, named, us), "LUNGPRINT", CONTEXTS):
            pass
        other = peer | {"certificate_name": "pacs.example"}
        with (
            pytest.raises(PeerNotCalled, match=r"does not carry the name pacs\.example"),
            calling(caller(folder, other, us), "LUNGPRINT", CONTEXTS),
        ):
            pass
        with (
            pytest.raises(PeerNotCalled, match="do the certificates fit"),
            calling(caller(folder, peer, stranger.options("us.example")), "LUNGPRINT", CONTEXTS),
        ):
            pass
