"""Options: defaults, overrides, and one plain sentence for whatever is wrong."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from config.errors import ConfigurationError
from config.settings import Peer, Settings, load_settings, option_layers, shipped_options


def test_every_option_has_a_comment_of_its_own() -> None:
    lines = shipped_options().splitlines()
    bare = [line for before, line in pairwise(lines) if re.match(r"\w+ =", line) and before[:1] != "#"]
    assert bare == []


def test_the_option_file_and_the_typed_settings_name_the_same_options() -> None:
    shipped = {section: set(values) for section, values in tomllib.loads(shipped_options()).items()}
    typed = {
        section: set(field.annotation.model_fields)
        for section, field in Settings.model_fields.items()
        if field.annotation is not None
    }
    assert shipped == typed


def test_the_typed_settings_hold_no_second_default() -> None:
    sections = [field.annotation for field in Settings.model_fields.values()]
    assert all(option.is_required() for section in sections if section for option in section.model_fields.values())


def test_shipped_defaults_are_valid(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    assert (settings.dicom.ae_title, settings.dicom.port, settings.web.port) == ("LUNGPRINT", 11112, 8080)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "lungprint.toml").write_text("[dicom]\nport = 1\n[web]\nport = 2\n[workers]\nmax_attempts = 9\n")
    environ = {"LUNGPRINT_DICOM_PORT": "3", "LUNGPRINT_WEB_PORT": "4"}
    settings = load_settings(tmp_path, environ, {"dicom": {"port": 5, "ae_title": None}})
    assert (settings.dicom.port, settings.web.port, settings.workers.max_attempts) == (5, 4, 9)
    assert settings.dicom.ae_title == "LUNGPRINT"


def test_layers_say_where_an_option_comes_from(tmp_path: Path) -> None:
    (tmp_path / "lungprint.toml").write_text("[web]\nport = 2\n")
    layers = option_layers(tmp_path, {"LUNGPRINT_LOG_LEVEL": "error"}, {"dicom": {"port": 5}})
    origins = {layer.origin: layer.options for layer in layers[1:]}
    assert origins == {
        str(tmp_path / "lungprint.toml"): {"web": {"port": 2}},
        "the environment": {"log": {"level": "error"}},
        "the command line": {"dicom": {"port": 5}},
    }


def test_environment_takes_numbers_lists_and_switches(tmp_path: Path) -> None:
    environ = {
        "LUNGPRINT_DICOM_PEERS": '[{"ae_title": "PACS1", "address": "10.0.0.0/24"}]',
        "LUNGPRINT_VERDICT_BASE_RATE": "0.01",
        "LUNGPRINT_WEB_HTTPS": "True",
    }
    settings = load_settings(tmp_path, environ)
    assert settings.dicom.peers == (Peer(ae_title="PACS1", address="10.0.0.0/24"),)
    assert (settings.verdict.base_rate, settings.web.https) == (0.01, True)


def test_listener_stays_on_loopback_until_a_peer_is_known(tmp_path: Path) -> None:
    alone = load_settings(tmp_path, environ={})
    known = load_settings(tmp_path, {"LUNGPRINT_DICOM_PEERS": '[{"ae_title": "A", "address": "10.0.0.5"}]'})
    chosen = load_settings(tmp_path, {"LUNGPRINT_DICOM_HOST": "192.0.2.1"})
    assert [s.dicom.bind_host for s in (alone, known, chosen)] == ["127.0.0.1", "0.0.0.0", "192.0.2.1"]


def test_variables_that_are_no_options_are_left_alone(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"LUNGPRINT_DATA_DIR": "/x", "LUNGPRINT_SHARED": "/y", "PATH": "/bin"})
    assert settings == load_settings(tmp_path, environ={})


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"LUNGPRINT_DICOM_PROT": "1"}, "LUNGPRINT_DICOM_PROT"),
        ({"LUNGPRINT_NOSECTION_PORT": "1"}, "LUNGPRINT_NOSECTION_PORT"),
        ({"LUNGPRINT_DICOM_PORT": "eleven"}, "a whole number"),
        ({"LUNGPRINT_WEB_HTTPS": "yes"}, "true or false"),
        ({"LUNGPRINT_VERDICT_BASE_RATE": "2 %"}, "a number"),
        ({"LUNGPRINT_DICOM_PEERS": "PACS1"}, "a JSON list"),
        ({"LUNGPRINT_DICOM_PORT": "70000"}, "dicom.port"),
        ({"LUNGPRINT_DICOM_AE_TITLE": "SEVENTEEN_LETTERS"}, "dicom.ae_title"),
        ({"LUNGPRINT_VERDICT_BASE_RATE": "1.5"}, "verdict.base_rate"),
        ({"LUNGPRINT_LOG_LEVEL": "loud"}, "log.level"),
        ({"LUNGPRINT_ENCODER_DEVICE": "tpu"}, "encoder.device"),
        ({"LUNGPRINT_DICOM_PEERS": '[{"ae_title": "A", "address": "pacs.local"}]'}, "dicom.peers.0.address"),
        ({"LUNGPRINT_DICOM_PEERS": '[{"ae_title": "A", "address": "10.0.0.1", "may": ["read"]}]'}, "peers.0.may"),
        ({"LUNGPRINT_DICOM_PEERS": '[{"ae_title": "A", "address": "10.0.0.0/8", "port": 104}]'}, "needs a host"),
        ({"LUNGPRINT_DICOM_PEERS": '[{"ae_title": "A", "address": "10.0.0.1", "tls": true}]'}, "[tls]"),
        ({"LUNGPRINT_TLS_PORT": "2762"}, "certificate, key and authorities"),
        ({"LUNGPRINT_TLS_CERTIFICATE": "/etc/c.pem", "LUNGPRINT_TLS_KEY": "/etc/k.pem"}, "all three"),
    ],
)
def test_a_wrong_variable_stops_with_one_sentence_that_names_it(
    tmp_path: Path, environ: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path, environ)
    text = str(caught.value)
    assert named in text
    assert text.endswith(".") and "\n" not in text


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[dicom]\nprot = 1\n", "dicom.prot"),
        ("[dicmo]\nport = 1\n", "[dicmo]"),
        ("port = 1\n", "[port]"),
        ("dicom = 1\n", "[dicom]"),
        ("[dicom\n", "cannot be read"),
        ("[dicom]\nport = '1x'\n", "dicom.port"),
        ("[dicom]\npeers = [{ ae_title = 'A' }]\n", "dicom.peers.0.address"),
    ],
)
def test_a_wrong_file_stops_with_one_sentence_that_names_it(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "lungprint.toml").write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path, environ={})
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_stops_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lungprint.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path, environ={})


def test_settings_cannot_change_while_the_system_runs(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.web.port = 1


def test_a_redis_url_that_is_none_is_one_plain_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.url"):
        load_settings(tmp_path, environ={"LUNGPRINT_REDIS_URL": "foo"})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"HOST": "mail.example"}, "a sender and at least one of recipients"),
        ({"SECURITY": "none"}, "without TLS"),
    ],
)
def test_unfinished_e_mail_options_stop_with_one_sentence_without_the_password(
    tmp_path: Path, options: dict[str, str], named: str
) -> None:
    given = {"LUNGPRINT_EMAIL_PASSWORD": "hunter2"} | {
        f"LUNGPRINT_EMAIL_{name}": text for name, text in options.items()
    }
    with pytest.raises(ConfigurationError, match="The options email do not go together") as caught:
        load_settings(tmp_path, environ=given)
    assert named in str(caught.value) and "hunter2" not in str(caught.value)


def test_results_need_a_peer_that_can_be_called(tmp_path: Path) -> None:
    listed = '[{"ae_title": "PACS1", "address": "10.0.0.5", "port": 104}]'
    environ = {"LUNGPRINT_RESULTS_PEER": "PACS1", "LUNGPRINT_DICOM_PEERS": listed}
    assert load_settings(tmp_path, environ).results.peer == "PACS1"
    with pytest.raises(ConfigurationError, match=r"results\.peer"):
        load_settings(tmp_path, environ | {"LUNGPRINT_DICOM_PEERS": listed.replace("104", "0")})
