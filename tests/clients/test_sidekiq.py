"""Sidekiq (Debian's ruby-sidekiq): plain, retried, scheduled and unique jobs; each is done exactly once."""

import os
import subprocess
import time
from pathlib import Path

JOBS = Path(__file__).resolve().parent / "sidekiq" / "jobs.rb"
COUNT = 300


def test_every_job_is_done_once(server, tmp_path):
    client = server.client(decode_responses=True)
    client.flushall()
    environment = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{server.port}/0", "RUBYOPT": "-W0"}
    run = dict(env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL)
    log = (tmp_path / "sidekiq.log").open("wb")
    subprocess.run(["ruby", JOBS, str(COUNT)], check=True, timeout=60, stdout=log, stderr=log, **run)
    worker = subprocess.Popen(["sidekiq", "-r", JOBS, "-c", "5"], stdout=log, stderr=log, **run)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and (client.hlen("noted"), client.scard("overcome")) != (COUNT + 1, 5):
            time.sleep(0.2)
    finally:
        worker.terminate()
        worker.wait(30)
    noted = client.hgetall("noted")
    assert len(noted) == COUNT + 1, (tmp_path / "sidekiq.log").read_text(errors="replace")[-2000:]
    assert set(noted.values()) == {"1"}, "no job is done twice"
    assert client.hgetall("tries") == {str(n): "2" for n in range(5)}
    assert client.hgetall("single") == {str(n): "1" for n in range(10)}
    assert client.llen("queue:default") == 0
