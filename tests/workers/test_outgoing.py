"""A real maintenance worker on a real queue sends all that goes out about an alert, each to a real receiver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage

from archive.alerts import Finding, label_key, raise_alert
from archive.database import Database
from archive.models import Instance, Notification
from archive.states import AlertKind, NotificationState
from config.broker import Task, celery_app
from config.paths import DataDir
from config.settings import load_settings
from tests.peers import storescp
from tests.reporting import OTHER, OWN
from tests.workers.conftest import running_redis, wait_for
from tests.workers.test_app import worker
from tests.workers.test_notify import Receiver, receiver  # noqa: F401
from tests.workers.test_results import file

pytestmark = pytest.mark.timeout(600)


def test_webhook_report_and_audit_messages_leave_by_themselves(
    database: Database,
    folder: DataDir,
    receiver: Receiver,  # noqa: F811
    tmp_path: Path,
) -> None:
    with storescp(tmp_path / "pacs") as port:
        folder.root.joinpath("lungprint.toml").write_text(
            f'[dicom]\npeers = [{{ ae_title = "PACS1", address = "127.0.0.1", port = {port} }}]\n'
            f'[results]\npeer = "PACS1"\n[notify]\nwebhook_url = "{receiver.url}"\n[atna]\nfile = true\n'
        )
        settings = load_settings(folder.root, environ={})
        own, other = file(database, settings, folder, 1, OWN), file(database, settings, folder, 2, OTHER)
        with database.write() as session:
            one, two = session.get_one(Instance, own), session.get_one(Instance, other)
            finding = Finding(label_key(own), AlertKind.WRONG_PATIENT, 0.75, own, one.patient_pk, other, two.patient_pk)
            raise_alert(session, settings, finding)

        def states() -> set[NotificationState]:
            with database.read() as session:
                return {row.state for row in session.query(Notification)}

        with running_redis(settings, folder), worker("maintenance", settings, folder):
            # The worker looks for what is due when it is ready, and after that whenever beat asks.
            wait_for(lambda: states() == {NotificationState.SENT}, 120)
            celery_app(settings, folder).send_task(str(Task.AUDIT_MESSAGES))
            wait_for(lambda: any(folder.audit_messages.iterdir()), 60)
    assert json.loads(receiver.got[0][1])["kind"] == "wrong_patient"
    [arrived] = (tmp_path / "pacs").iterdir()
    assert dcmread(arrived).SOPClassUID == ComprehensiveSRStorage
    [day] = folder.audit_messages.iterdir()
    assert "result sent" in day.read_text(encoding="utf-8")
    log = (folder.logs / "maintenance.log").read_text()
    assert not any(word in log for word in ("P-OWN", "Müller", "P-OTHER", "Secret"))
