"""What redis-py users do: strings, keys, pipelines, transactions, RESP3, scans."""

import random
import threading
import time

import pytest
import redis


def test_strings(r):
    assert r.set("k", "v") is True
    assert r.get("k") == "v"
    assert r.get("none") is None
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", xx=True, get=True) == "v"
    assert r.getdel("k") == "w" and r.exists("k") == 0
    assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decr("n") == 41
    assert r.incrbyfloat("f", 10.5) == 10.5
    assert r.append("k", "abc") == 3 and r.strlen("k") == 3
    assert r.setrange("k", 5, "x") == 6 and r.getrange("k", 0, 2) == "abc"
    assert r.mset({"a": 1, "b": 2, "c": 3}) is True
    assert r.mget("a", "b", "nope", "c") == ["1", "2", None, "3"]
    assert r.msetnx({"a": 9, "z": 9}) is False and r.get("z") is None


def test_any_bytes_survive(server):
    c = server.client()
    value = bytes(range(256)) * 40
    c.set(b"\x00key\r\n", value)
    assert c.get(b"\x00key\r\n") == value
    c.close()


def test_a_large_value(server):
    c = server.client()
    value = random.Random(1).randbytes(16 << 20)
    c.set("large", value)
    assert c.get("large") == value
    assert c.strlen("large") == len(value)
    assert c.delete("large") == 1
    c.close()


def test_keys(r):
    r.mset({f"user:{i}": i for i in range(20)})
    assert sorted(r.keys("user:1?")) == [f"user:{i}" for i in range(10, 20)]
    assert r.dbsize() == 20
    assert r.delete("user:1", "user:2", "nope") == 2
    assert r.exists("user:3", "user:3", "user:1") == 2
    assert r.type("user:3") == "string" and r.type("nope") == "none"
    assert r.rename("user:3", "moved") is True and r.get("moved") == "3"
    assert r.copy("moved", "copied") is True and r.get("copied") == "3"
    assert r.unlink("moved", "copied") == 2
    assert r.randomkey().startswith("user:")
    with pytest.raises(redis.ResponseError, match="no such key"):
        r.rename("nope", "x")


def test_expiry(r):
    # Within a transaction no time passes.
    assert r.pipeline(transaction=True).set("k", "v", px=80).pttl("k").execute() == [True, 80]
    r.set("lasting", "v", ex=100)
    assert r.ttl("lasting") in (99, 100) and r.persist("lasting") is True and r.ttl("lasting") == -1
    assert r.expire("lasting", 50, nx=True) is True and r.expire("lasting", 10, gt=True) is False
    time.sleep(0.12)
    assert r.get("k") is None and r.ttl("k") == -2


def test_time_passes_within_a_pipeline(r):
    """What stood in the same pipeline behind a slow command saw the time before it, in which the key was still there."""
    r.rpush("{t}list", *range(100_000))
    pipeline = r.pipeline(transaction=False)
    pipeline.set("{t}key", "v", px=5).sort("{t}list", start=0, num=1, alpha=True, desc=True).get("{t}key")
    assert pipeline.execute() == [True, ["99999"], None]
    pipeline = r.pipeline(transaction=True)
    pipeline.set("{t}key", "v", px=5).sort("{t}list", start=0, num=1, alpha=True, desc=True).get("{t}key")
    assert pipeline.execute() == [True, ["99999"], "v"], "a transaction has one time"
    assert r.get("{t}key") is None


def test_databases(server, r):
    other = server.client(db=3, decode_responses=True)
    r.set("k", "zero")
    other.set("k", "three")
    assert (r.get("k"), other.get("k")) == ("zero", "three")
    r.swapdb(0, 3)
    assert (r.get("k"), other.get("k")) == ("three", "zero")
    other.close()


def test_a_pipeline_keeps_its_order(r):
    p = r.pipeline(transaction=False)
    for i in range(10_000):
        p.set(f"k{i}", i)
        p.get(f"k{i - 1}")
    replies = p.execute()
    assert replies[0::2] == [True] * 10_000
    assert replies[1::2] == [None] + [str(i) for i in range(9_999)]


def test_an_error_in_a_pipeline_stands_in_its_place(r):
    p = r.pipeline(transaction=False)
    p.set("s", "text").incr("s").get("s")
    replies = p.execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"


def test_multi_across_shards(r):
    with r.pipeline(transaction=True) as p:
        for i in range(50):
            p.incr(f"counter:{i}")
        assert p.execute() == [1] * 50


def test_watch(server, r):
    r.set("k", 1)
    with r.pipeline() as p:
        p.watch("k")
        server.client().set("k", 2)
        p.multi()
        p.set("k", 3)
        with pytest.raises(redis.WatchError):
            p.execute()
    assert r.get("k") == "2"


def test_mset_is_never_seen_half(server, r):
    keys = [f"half:{i}" for i in range(10)]
    r.mset(dict.fromkeys(keys, 0))
    stop = threading.Event()

    def write():
        c, n = server.client(), 0
        while not stop.is_set():
            n += 1
            c.mset(dict.fromkeys(keys, n))
        c.close()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for w in writers:
        w.start()
    try:
        for _ in range(1500):
            seen = r.mget(keys)
            assert len(set(seen)) == 1, seen
    finally:
        stop.set()
        for w in writers:
            w.join()


def test_counters_from_many_connections(server, r):
    def count():
        c = server.client()
        for i in range(500):
            c.incr(f"count:{i % 7}")
        c.close()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(int(v) for v in r.mget([f"count:{i}" for i in range(7)])) == 8 * 500


def test_resp3(server):
    c = server.client(protocol=3, decode_responses=True)
    c.set("k", "v")
    assert c.get("k") == "v" and c.get("none") is None
    hello = c.execute_command("HELLO", 3)
    assert hello["proto"] == 3 and hello["server"] == "redis" and isinstance(hello["id"], int)
    config = c.config_get("maxclients")
    assert int(config["maxclients"]) > 0
    c.close()


def test_scan_finds_every_key(r):
    want = {f"scan:{i}" for i in range(10_000)}
    p = r.pipeline(transaction=False)
    for k in want:
        p.set(k, "v")
    p.execute()
    assert set(r.scan_iter(count=100)) == want
    assert set(r.scan_iter(match="scan:99*", count=1000)) == {k for k in want if k.startswith("scan:99")}


def test_scan_while_the_table_grows_and_shrinks(r):
    stay = {f"stay:{i}" for i in range(2_000)}
    r.mset(dict.fromkeys(stay, 1))
    seen, cursor, step = set(), None, 0
    while cursor != 0:
        cursor, keys = r.scan(cursor or 0, count=20)
        seen.update(keys)
        p = r.pipeline(transaction=False)
        for i in range(300):
            if step % 20 < 10:
                p.set(f"come:{step}:{i}", 1)
            else:
                p.delete(f"come:{step - 10}:{i}")
        p.execute()
        step += 1
        assert step < 20_000
    assert stay <= seen


def test_server_commands(r):
    info = r.info()
    assert info["redis_version"].startswith("8.") and info["connected_clients"] >= 1
    assert r.config_set("slowlog-max-len", 77) and r.config_get("slowlog-max-len") == {"slowlog-max-len": "77"}
    assert r.command_count() > 50
    assert r.client_setname("tester") and r.client_getname() == "tester"
    assert any(c["name"] == "tester" for c in r.client_list())
    assert len(r.time()) == 2
    with pytest.raises(redis.ResponseError, match="unknown command"):
        r.execute_command("NOSUCH")
