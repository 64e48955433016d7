"""The Celery application of the workers: thin tasks over tested functions, and what each process prepares."""

from __future__ import annotations

import logging
import os
from typing import Any, NoReturn

from celery import signals
from celery_batches import SimpleRequest

from config.broker import Queue, Task, celery_app
from config.errors import LungprintError
from config.logs import TypeOnly, start_logging
from config.program import system_folder
from config.settings import load_settings
from retrieval.errors import DeviceFailed, IndexUnavailable, RetrievalError
from workers import align, audit_delivery, commit, fetch, maintenance, match, notify, similar
from workers.batching import EncodeBatches, ids_of
from workers.readiness import write_ready_file
from workers.resources import Resources

logger = logging.getLogger(__name__)


_folder = system_folder()
_settings = load_settings(_folder.root)
# What beat asks for again and again, where the site wants it.
_REGULAR = {
    Task.RECONCILE: True,
    Task.REFRESH: True,
    Task.PRIORS: bool(_settings.priors.peer),
    Task.AUDIT_MESSAGES: _settings.atna.is_on,
}
app = celery_app(_settings, _folder)
app.conf.update(
    worker_enable_remote_control=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    beat_schedule={
        str(task): {
            "task": str(task),
            "schedule": _settings.workers.reconcile_seconds,
            "options": {"expires": _settings.workers.reconcile_seconds},
        }
        for task, on in _REGULAR.items()
        if on
    },
)
resources = Resources(app, _settings, _folder)


@app.task(
    name=str(Task.ENCODE),
    base=EncodeBatches,
    flush_every=_settings.encoder.batch_size,
    flush_interval=_settings.encoder.batch_wait_ms / 1000,
)
def encode_images(requests: list[SimpleRequest]) -> None:
    """Encode a batch of images; the argument of each message is an image's id."""
    try:
        resources.encoder.run(ids_of(request.args for request in requests))
    except DeviceFailed:
        # Only a new process can use the device again.
        _start_again("the GPU failed")
    finally:
        encode_images.finished()


@app.task(name=str(Task.MATCH))
def match_image(instance_id: int) -> None:
    """Give an encoded image its verdict, or have it encoded anew when it waits with codes of other weights."""
    try:
        outcome = match.match(resources.index_owner, resources.database, _settings, instance_id)
    except IndexUnavailable:
        # What was half done is made up for when a new process catches up with the database.
        _start_again("the index cannot be reached")
    if outcome == match.OUTDATED:
        resources.send(Task.ENCODE, instance_id)


@app.task(name=str(Task.SIMILAR), ignore_result=False)
def find_similar(**wanted: Any) -> list[dict[str, Any]]:
    """Images most like a given one."""
    return similar.similar(resources.index_owner, resources.database, **wanted)


@app.task(name=str(Task.ALIGN), ignore_result=False)
def align_images(**wanted: int) -> dict[str, Any]:
    """One image laid over another."""
    return align.align_previews(resources.database, resources.files, **wanted)


@app.task(name=str(Task.SNAPSHOT))
def take_snapshot() -> None:
    """Have the index look at what has changed in the database, and write it to the disk."""
    try:
        resources.index_owner.catch_up()
    except IndexUnavailable:
        _start_again("the index may belong to another machine")
    resources.index_owner.snapshot()


@app.task(name=str(Task.REFRESH))
def refresh() -> None:
    """Hand on a few images whose codes come from earlier weights."""
    maintenance.refresh(resources.database, _settings, resources.encoder.model_id, resources.length, resources.send)


@app.task(name=str(Task.RECONCILE))
def reconcile() -> None:
    """Hand on whatever is due."""
    maintenance.reconcile(resources.database, resources.length, resources.send)
    maintenance.sweep_outgoing(resources.database, _folder)


@app.task(name=str(Task.AUDIT_MESSAGES))
def deliver_audit_messages() -> None:
    """Bring audit messages to those who keep them."""
    audit_delivery.deliver(resources.database, _settings, _folder)


@app.task(name=str(Task.PREVIEW))
def make_preview(instance_id: int) -> None:
    """Make a missing preview."""
    maintenance.make_preview(resources.database, resources.files, resources.decoders, _settings, instance_id)


@app.task(name=str(Task.NOTIFY))
def send_notification(notification_id: int) -> None:
    """Deliver a message to another system."""
    notify.notify(resources.desk, notification_id)


@app.task(name=str(Task.PRIORS))
def fetch_priors() -> None:
    """Ask the PACS for earlier images for a while."""
    fetch.fetch_priors(resources.database, _settings, _folder, resources.send)


@app.task(name=str(Task.COMMIT))
def report_commitment(commitment_id: int) -> None:
    """Tell a peer which of its images are safe."""
    commit.report_commitment(resources.database, resources.files, _settings, commitment_id)


def _start_again(why: str) -> NoReturn:
    """End this process at once; the supervisor starts another, which gets the message again."""
    logger.critical("%s, this worker ends and is started again", why, exc_info=True)
    logging.shutdown()
    os._exit(1)


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    start_logging(_settings.log.level)
    logging.getLogger("celery.app.trace").addFilter(TypeOnly())
    if _settings.log.level != "debug":
        # Two lines for each message otherwise.
        for name in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)


@signals.worker_init.connect
def _prepare(**_: Any) -> None:
    """Load what takes long before the first message is taken, so that a ready worker answers at once."""
    _set_up_logging()
    try:
        if Queue.ENCODE in app.amqp.queues.consume_from:
            resources.decoders.start()
            logger.info("encoding with weights %s", resources.encoder.model_id)
        if Queue.MATCH in app.amqp.queues.consume_from:
            logger.info("matching with weights %s", resources.index_owner.network.model_id)
    except Exception as error:
        # Celery would go on with a worker that cannot work.
        # What we raise ourselves names no patient.
        why = str(error) if isinstance(error, (LungprintError, RetrievalError)) else type(error).__name__
        logger.critical("this worker cannot start: %s", why, exc_info=True)
        # Decoders that run keep their parent from ending.
        resources.close()
        raise SystemExit(1) from error


@signals.task_received.connect
def _begin_to_decode(request: Any = None, **_: Any) -> None:
    if request is not None and request.name == Task.ENCODE:
        for instance_id in ids_of([request.args]):
            resources.encoder.announce(instance_id)


@signals.worker_ready.connect
def _say_ready(sender: Any = None, **_: Any) -> None:
    write_ready_file(_folder, str(sender.hostname).partition("@")[0], os.getpid())
    if Queue.MAINTENANCE in app.amqp.queues.consume_from:
        reconcile.delay()


@signals.worker_shutdown.connect
def _close(sender: Any = None, **_: Any) -> None:
    """The last thing that a worker does: its connections are closed, its messages given back."""
    resources.close()
    if Queue.ENCODE in app.amqp.queues.consume_from:
        # Taking the interpreter apart with a network in it takes seconds and saves nothing.
        logging.shutdown()
        os._exit(sender.exitcode or 0)
