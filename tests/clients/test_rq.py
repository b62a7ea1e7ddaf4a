"""RQ: jobs, jobs that depend on others, retries, scheduled and repeated jobs; each is done exactly once."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "rq"
COUNT = 200


@pytest.fixture(scope="module")
def workers(server, tmp_path_factory):
    """Two workers, one of which schedules. They do jobs in their own process: a fork for each takes long."""
    folder = tmp_path_factory.mktemp("rq")
    url = f"redis://127.0.0.1:{server.port}/0"
    command = [sys.executable, "-m", "rq.cli", "worker", "--url", url, "--worker-class", "rq.worker.SimpleWorker"]
    run = dict(
        cwd=FOLDER, stdin=subprocess.DEVNULL,
        env={**os.environ, "REDIS_URL": url, "PYTHONPATH": str(FOLDER), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    log = (folder / "workers.log").open("wb")
    running = [subprocess.Popen([*command, *more], stdout=log, stderr=log, **run) for more in ([], ["--with-scheduler"])]
    yield running
    for process in running:
        process.terminate()
    try:
        text = (folder / "workers.log").read_text(errors="replace")[-2000:]
        assert [process.wait(30) for process in running] == [0, 0], text
    finally:
        for process in running:
            process.kill()


@pytest.fixture
def queue(server, workers):
    from rq import Queue

    return Queue(connection=server.client())


def wait_for(jobs, status="finished", seconds=30):
    end = time.monotonic() + seconds
    while any(job.get_status(refresh=True) != status for job in jobs):
        assert time.monotonic() < end, [job.get_status() for job in jobs]
        time.sleep(0.02)


def test_every_job_is_done_once(server, queue):
    jobs = queue.enqueue_many([queue.prepare_data("jobs.note", (n,)) for n in range(COUNT // 2)])
    jobs += [queue.enqueue("jobs.note", n) for n in range(COUNT // 2, COUNT)]
    wait_for(jobs)
    assert [job.return_value() for job in jobs] == [n * n for n in range(COUNT)]
    assert server.client(decode_responses=True).hgetall("noted") == {str(n): "1" for n in range(COUNT)}
    assert queue.count == 0 and queue.started_job_registry.count == 0
    assert queue.finished_job_registry.count == COUNT


def test_a_job_waits_for_others(queue):
    first = [queue.enqueue("jobs.note", n) for n in (1, 2, 3)]
    sum_up = queue.enqueue("jobs.add_results", *[job.id for job in first], depends_on=first)
    wait_for([sum_up])
    assert sum_up.return_value() == 14


def test_retries(server, queue):
    from rq import Retry

    jobs = [queue.enqueue("jobs.stumble", n, retry=Retry(max=3)) for n in range(5)]
    wait_for(jobs)
    assert server.client(decode_responses=True).hgetall("tries") == {str(n): "3" for n in range(5)}


def test_a_failure_is_kept(queue):
    job = queue.enqueue("jobs.fail")
    wait_for([job], "failed")
    assert "on purpose" in job.latest_result().exc_string
    assert job.id in queue.failed_job_registry.get_job_ids()


def test_a_job_in_a_second(server, queue):
    began = time.time()
    job = queue.enqueue_in(timedelta(seconds=1), "jobs.note", "late")
    assert job.get_status() == "scheduled"
    wait_for([job])
    job.refresh()
    # RQ keeps whole seconds.
    assert job.started_at.timestamp() >= int(began) + 1
    assert server.client(decode_responses=True).hget("noted", "late") == "1"


def test_a_job_that_is_cancelled_is_not_done(server, queue):
    late = queue.enqueue_in(timedelta(minutes=1), "jobs.note", "cancelled")
    late.cancel()
    assert late.get_status() == "canceled"
    assert server.client().hget("noted", "cancelled") is None
