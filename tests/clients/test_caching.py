"""Client-side caching as redis-py does it, in RESP3, on three cores; and by redirection, in RESP2."""

import random
import threading

import pytest
from conftest import Server
from redis.cache import CacheConfig


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("server"), cores=3)
    yield s
    assert s.alive(), f"the server died: {s.log.read_text(errors='replace')[-2000:]}"
    assert s.stop() == 0, "SIGTERM ends the server cleanly"


def caching(server):
    return server.client(decode_responses=True, protocol=3, cache_config=CacheConfig(max_size=1000))


def test_a_cached_value_is_read_once_and_dropped_when_it_changes(server, r):
    cached = caching(server)
    r.set("k", "1")
    assert [cached.get("k") for _ in range(3)] == ["1"] * 3
    assert cached.get_cache().size == 1
    gets = lambda: r.info("commandstats")["cmdstat_get"]["calls"]
    before = gets()
    assert cached.get("k") == "1"
    assert gets() == before, "it came from the cache"
    r.set("k", "2")
    assert cached.get("k") == "2"
    cached.set("k", "3")
    assert cached.get("k") == "3"
    r.flushall()
    assert cached.get("k") is None


def test_what_was_answered_is_never_believed_otherwise(server, r):
    """A writer counts up; whoever asks afterwards must not find less, from the cache or not."""
    keys = [f"key{n}" for n in range(20)]
    answered = dict.fromkeys(keys, 0)
    r.mset(answered)
    wrong, stop = [], threading.Event()

    def read(seed):
        rng, cached = random.Random(seed), caching(server)
        while not stop.is_set():
            key = rng.choice(keys)
            least = answered[key]
            cached.ping()  # what was told before this reply is known behind it
            got = int(cached.get(key))
            if got < least:
                wrong.append(f"{key}: {got} after {least}")

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for reader in readers:
        reader.start()
    rng = random.Random(9)
    for n in range(1, 3000):
        key = rng.choice(keys)
        r.set(key, n)
        answered[key] = n
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong, wrong[:5]


def test_redirection(server, r):
    subscriber = server.client(decode_responses=True, protocol=2)
    listener = subscriber.pubsub()
    listener.subscribe("__redis__:invalidate")
    assert listener.get_message(timeout=10)["type"] == "subscribe"
    reader = server.client(decode_responses=True, single_connection_client=True, protocol=2)
    listener_id = next(c["id"] for c in r.client_list() if int(c["sub"]) == 1)
    assert reader.client_tracking_on(clientid=int(listener_id))
    assert reader.get("k") is None
    r.set("k", "1")
    message = listener.get_message(timeout=10)
    assert (message["channel"], message["data"]) == ("__redis__:invalidate", ["k"])
    me = reader.client_info()
    assert "t" in me["flags"] and str(me["redir"]) == listener_id
    assert r.info("clients")["tracking_clients"] >= 1
    listener.close()
