"""The embedded server keeps the queue over a kill, starts whatever happened to its file, and opens no TCP port."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest
import redis

from config.broker import redis_url
from config.paths import DataDir
from config.settings import Settings
from tests.workers.conftest import running_redis
from workers import redis_server


def client(settings: Settings, folder: DataDir) -> redis.Redis:
    return redis.Redis.from_url(redis_url(settings, folder))


def fill(settings: Settings, folder: DataDir) -> None:
    """Five messages, safely on the disk, then a kill."""
    with running_redis(settings, folder) as process:
        with client(settings, folder) as queue:
            for number in range(5):
                queue.lpush("encode", f"message {number}")
        time.sleep(1.5)  # the server syncs its file each second
        process.send_signal(signal.SIGKILL)
        process.wait()


def length_after_restart(settings: Settings, folder: DataDir) -> int:
    redis_server.repair(folder)
    with running_redis(settings, folder), client(settings, folder) as queue:
        return int(queue.llen("encode"))


def test_the_queue_survives_a_kill(settings: Settings, folder: DataDir) -> None:
    fill(settings, folder)
    assert length_after_restart(settings, folder) == 5


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda data: data[:-7], 4),
        (lambda data: data[: len(data) // 2] + bytes(40) + data[len(data) // 2 + 40 :], 2),
        (lambda data: bytes(200), 0),
        (lambda data: b"", 0),
    ],
    ids=["torn end", "damaged middle", "all zeros", "empty"],
)
def test_a_damaged_file_does_not_stop_the_server(
    settings: Settings, folder: DataDir, damage: Callable[[bytes], bytes], kept: int
) -> None:
    fill(settings, folder)
    file = folder.redis / redis_server.APPEND_ONLY_FILE
    file.write_bytes(damage(file.read_bytes()))
    assert length_after_restart(settings, folder) == kept


def test_a_file_with_sound_syntax_that_the_server_refuses_can_be_put_aside(settings: Settings, folder: DataDir) -> None:
    file = folder.redis / redis_server.APPEND_ONLY_FILE
    file.write_bytes(b"*1\r\n$7\r\nNONSENS\r\n")
    redis_server.repair(folder)
    assert file.exists()
    refused = subprocess.run(
        redis_server.arguments(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10, check=False
    )
    assert refused.returncode != 0
    redis_server.put_aside(folder)
    assert length_after_restart(settings, folder) == 0
    assert len(list(folder.redis.glob("*.damaged-*"))) == 1


def test_no_tcp_port_is_open_and_the_socket_is_private(
    settings: Settings, folder: DataDir, redis_process: subprocess.Popen[bytes]
) -> None:
    assert psutil.Process(redis_process.pid).net_connections(kind="inet") == []
    assert folder.redis_socket.stat().st_mode & 0o077 == 0
    with client(settings, folder) as queue:
        assert queue.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
