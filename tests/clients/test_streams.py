"""What users of streams do with redis-py: logs, work queues with consumer groups, taking over from a worker that died."""

import threading

import pytest
import redis


def test_a_log(r):
    first = r.xadd("log", {"event": "start", "n": 1})
    for n in range(2, 6):
        r.xadd("log", {"event": "step", "n": n})
    assert r.xlen("log") == 5
    entries = r.xrange("log")
    assert entries[0] == (first, {"event": "start", "n": "1"})
    assert r.xrevrange("log", count=1)[0][1]["n"] == "5"
    assert [e[1]["n"] for e in r.xread({"log": first}, count=2)[0][1]] == ["2", "3"]
    assert r.xread({"log": "$"}) == []
    assert r.xtrim("log", maxlen=2, approximate=False) == 3
    assert r.xdel("log", entries[4][0]) == 1
    info = r.xinfo_stream("log")
    assert (info["length"], info["entries-added"], info["max-deleted-entry-id"]) == (1, 5, entries[4][0])


@pytest.mark.parametrize("protocol", [2, 3])
def test_workers_share_a_queue(server, protocol):
    jobs, workers = 2000, 4
    with server.client(decode_responses=True, protocol=protocol) as r:
        r.flushall()
        r.xgroup_create("jobs", "workers", id="0", mkstream=True)
        with pytest.raises(redis.ResponseError, match="BUSYGROUP"):
            r.xgroup_create("jobs", "workers")
        done = [[] for _ in range(workers)]

        def work(number):
            with server.client(decode_responses=True, protocol=protocol) as c:
                while len(done[number]) < jobs:
                    got = c.xreadgroup("workers", f"w{number}", {"jobs": ">"}, count=10)
                    streams = got.values() if protocol == 3 else [entries for _, entries in got]
                    entries = [entry for chunk in streams for entry in (chunk[0] if protocol == 3 else chunk)]
                    if not entries and stop.is_set():
                        return
                    done[number] += [int(fields["job"]) for _, fields in entries]
                    if entries:
                        assert c.xack("jobs", "workers", *(id for id, _ in entries)) == len(entries)

        stop = threading.Event()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
        [thread.start() for thread in threads]
        with r.pipeline(transaction=False) as pipe:
            for job in range(jobs):
                pipe.xadd("jobs", {"job": job}, maxlen=10 * jobs)
            pipe.execute()
        stop.set()
        [thread.join(30) for thread in threads]
        assert sorted(job for part in done for job in part) == list(range(jobs)), "each job once"
        assert r.xpending("jobs", "workers")["pending"] == 0
        assert r.xinfo_groups("jobs")[0]["lag"] == 0


def test_a_worker_takes_over(r):
    ids = [r.xadd("jobs", {"job": n}) for n in range(5)]
    r.xgroup_create("jobs", "g", id="0")
    r.xreadgroup("g", "dead", {"jobs": ">"})
    assert [p["message_id"] for p in r.xpending_range("jobs", "g", "-", "+", 9)] == ids
    r.xdel("jobs", ids[0])
    cursor, claimed, deleted = r.xautoclaim("jobs", "g", "alive", min_idle_time=0, count=3)
    assert (cursor, [id for id, _ in claimed], deleted) == (ids[3], ids[1:3], ids[:1])
    assert [id for id, _ in r.xclaim("jobs", "g", "alive", 0, ids[3:])] == ids[3:]
    assert r.xreadgroup("g", "dead", {"jobs": "0"}) == [["jobs", []]]
    assert r.xgroup_delconsumer("jobs", "g", "alive") == 4
    assert r.xgroup_destroy("jobs", "g") == 1


def test_a_stream_moves_to_another_key(r, server):
    for n in range(300):
        r.xadd("s", {"n": n, "text": "x" * n})
    r.xgroup_create("s", "g", id="0")
    r.xreadgroup("g", "c", {"s": ">"}, count=10)
    with server.client() as raw:
        raw.restore("t", 0, raw.dump("s"))
    assert r.xrange("t") == r.xrange("s")
    assert r.xpending("t", "g") == r.xpending("s", "g")
