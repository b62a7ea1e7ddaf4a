"""Tasks of a Celery application, for test_celery.py. Where the server is, REDIS_URL says."""

import os
import time

import redis
from celery import Celery

URL = os.environ["REDIS_URL"]
app = Celery("tasks", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=600,
    task_acks_late=True,
    worker_prefetch_multiplier=4,
)
notes = redis.Redis.from_url(URL, decode_responses=True)


@app.task
def note(n):
    """Says in the keyspace that it ran."""
    notes.hincrby("noted", n, 1)
    return n


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3, default_retry_delay=0.05)
def stumble(self, n):
    """Fails twice, then succeeds."""
    if notes.hincrby("tries", n, 1) < 3:
        raise self.retry()
    return n


@app.task
def when():
    return time.time()


@app.task
def fail():
    raise ValueError("on purpose")
