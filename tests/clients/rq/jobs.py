"""Jobs of RQ, for test_rq.py. Where the server is, REDIS_URL says."""

import os

import redis

notes = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def note(n):
    notes.hincrby("noted", n, 1)
    return n * n if isinstance(n, int) else n


def stumble(n):
    """Fails twice, then succeeds."""
    if notes.hincrby("tries", n, 1) < 3:
        raise RuntimeError("on purpose")
    return n


def fail():
    raise ValueError("on purpose")


def add_results(*ids):
    from rq.job import Job

    connection = redis.Redis.from_url(os.environ["REDIS_URL"])
    return sum(Job.fetch(job, connection=connection).return_value() for job in ids)
