"""Celery, with Redis as its broker and its backend: tasks, groups, chords, retries, delays; each is done exactly once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import wait_for

FOLDER = Path(__file__).resolve().parent / "celery"
COUNT = 200


@pytest.fixture(scope="module")
def tasks(server):
    """The application, as who sends tasks has it."""
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{server.port}/0"
    sys.path.insert(0, str(FOLDER))
    import tasks

    yield tasks
    sys.path.remove(str(FOLDER))
    tasks.app.close()


@pytest.fixture(scope="module")
def worker(tasks, tmp_path_factory):
    """Four threads that work, in a process of their own."""
    folder = tmp_path_factory.mktemp("celery")
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "threads", "--concurrency", "4"]
    log = (folder / "worker.log").open("wb")
    process = subprocess.Popen(
        command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    yield process
    process.terminate()
    try:
        assert process.wait(30) == 0, (folder / "worker.log").read_text(errors="replace")[-2000:]
    finally:
        process.kill()


def test_every_task_is_done_once(server, tasks, worker):
    client = server.client(decode_responses=True)
    results = [tasks.note.delay(n) for n in range(COUNT)]
    assert [result.get(timeout=30) for result in results] == list(range(COUNT))
    assert client.hgetall("noted") == {str(n): "1" for n in range(COUNT)}
    assert client.llen("celery") == 0, "the queue is empty"


def test_groups_and_chords(tasks, worker):
    from celery import chain, chord, group

    assert group(tasks.add.s(n, n) for n in range(20))().get(timeout=20) == [2 * n for n in range(20)]
    assert chord((tasks.add.s(n, 1) for n in range(20)), tasks.total.s())().get(timeout=20) == 210
    assert chain(tasks.add.s(1, 2), tasks.add.s(10), tasks.add.s(100))().get(timeout=20) == 113


def test_retries(server, tasks, worker):
    results = [tasks.stumble.delay(n) for n in range(5)]
    assert [result.get(timeout=20) for result in results] == list(range(5))
    assert server.client(decode_responses=True).hgetall("tries") == {str(n): "3" for n in range(5)}


def test_a_countdown_is_kept(tasks, worker):
    began = time.time()
    assert tasks.when.apply_async(countdown=0.5).get(timeout=20) >= began + 0.5


def test_a_failure_reaches_who_asked(tasks, worker):
    result = tasks.fail.delay()
    with pytest.raises(ValueError, match="on purpose"):
        result.get(timeout=20)
    assert result.state == "FAILURE"


def test_a_revoked_task_is_not_done(server, tasks, worker):
    """A broadcast: every worker hears it, over a fan-out exchange of streams or pub/sub."""
    for patience in (1, 4, 16):  # a worker on a busy machine may hear of it when the task is done
        late = tasks.note.apply_async(args=[f"revoked{patience}"], countdown=patience + 0.5)
        tasks.app.control.revoke(late.id)
        if replies := tasks.app.control.ping(timeout=patience):
            break
    assert [list(reply.values()) for reply in replies] == [[{"ok": "pong"}]]
    assert late.get(timeout=20, propagate=False) is not None and late.state == "REVOKED"
    assert server.client().hget("noted", f"revoked{patience}") is None


def test_nothing_is_left_unacknowledged(server, tasks, worker):
    client = server.client()
    wait_for(lambda: client.hlen("unacked") == 0)
    assert client.zcard("unacked_index") == 0
