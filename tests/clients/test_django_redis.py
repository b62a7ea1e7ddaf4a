"""django-redis: Django's cache and sessions on this server, with its locks, patterns and counters."""

import threading

import pytest


@pytest.fixture(scope="module")
def cache(server):
    import django
    from django.conf import settings

    options = {"CLIENT_CLASS": "django_redis.client.DefaultClient"}
    location = f"redis://127.0.0.1:{server.port}/1"
    backend = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location, "OPTIONS": options}
    packed = {**backend, "KEY_PREFIX": "packed"}
    packed["OPTIONS"] = {**options, "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"}
    settings.configure(
        CACHES={"default": backend, "packed": packed},
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        SECRET_KEY="secret",
        USE_TZ=True,
    )
    django.setup()
    from django.core.cache import cache

    yield cache
    cache.close()


def test_get_and_set(cache):
    value = {"text": "ä", "list": [1, 2.5, None], "bytes": b"\x00\xff"}
    cache.set("value", value, timeout=100)
    assert cache.get("value") == value and "value" in cache
    assert cache.get("missing", "default") == "default"
    assert cache.add("value", 1) is False and cache.add("new", 1) is True
    assert cache.set("value", 2, nx=True) is False and cache.get("value") == value
    assert cache.delete("value") and not cache.delete("value")
    cache.set_many({f"many:{n}": n for n in range(100)})
    assert cache.get_many([f"many:{n}" for n in range(200)]) == {f"many:{n}": n for n in range(100)}
    assert cache.delete_many([f"many:{n}" for n in range(100)]) == 100
    assert cache.get_or_set("computed", lambda: 42) == 42


def test_times_to_live(cache):
    cache.set("key", 1, timeout=100)
    assert 99 <= cache.ttl("key") <= 100
    assert cache.expire("key", 50) and 49 <= cache.ttl("key") <= 50
    assert cache.pexpire("key", 2500) and 2000 < cache.pttl("key") <= 2500
    assert cache.touch("key", 30) and cache.ttl("key") <= 30
    assert cache.persist("key") and cache.ttl("key") is None
    assert cache.ttl("missing") == 0
    cache.set("gone", 1, timeout=0)
    assert cache.get("gone") is None


def test_counters(cache):
    cache.set("count", 1)
    assert cache.incr("count", 10) == 11 and cache.decr("count") == 10
    with pytest.raises(ValueError):
        cache.incr("missing")

    def count():
        for _ in range(50):
            cache.incr("count")

    threads = [threading.Thread(target=count) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert cache.get("count") == 210


def test_versions(cache):
    cache.set("key", "one", version=1)
    cache.incr_version("key", version=1)
    assert cache.get("key", version=2) == "one" and cache.get("key", version=1) is None


def test_patterns(cache):
    cache.set_many({f"pattern:{n}": n for n in range(300)})
    cache.set("other", 1)
    assert sorted(cache.keys("pattern:29?")) == [f"pattern:29{n}" for n in range(10)]
    assert len(set(cache.iter_keys("pattern:*", itersize=50))) == 300
    assert cache.delete_pattern("pattern:*", itersize=50) == 300
    assert cache.keys("pattern:*") == [] and cache.get("other") == 1


def test_compressed_values(cache):
    from django.core.cache import caches

    caches["packed"].set("large", "x" * 100_000)
    assert caches["packed"].get("large") == "x" * 100_000
    assert cache.client.get_client().strlen("packed:1:large") < 1000


def test_locks(cache):
    entered, inside = [], []

    def work(n):
        for _ in range(10):
            with cache.lock("lock", timeout=10, sleep=0.001):
                inside.append(n)
                entered.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert entered == [1] * 40, "one at a time"


def test_sessions(cache):
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["user"] = 7
    session.set_expiry(100)
    session.save()
    again = SessionStore(session_key=session.session_key)
    assert again["user"] == 7
    assert 99 <= cache.ttl(again.cache_key) <= 100
    again.cycle_key()
    assert SessionStore(session_key=again.session_key)["user"] == 7
    assert not SessionStore().exists(session.session_key)
    again.flush()
    assert cache.keys("*sessions*") == []


def test_clear_spares_other_databases(server, cache):
    server.client().set("elsewhere", 1)
    cache.set("key", 1)
    cache.clear()
    assert cache.get("key") is None and server.client().get("elsewhere") == b"1"
