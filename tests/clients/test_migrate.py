"""MIGRATE from this server, on one core and on three, and from a real Redis: the same replies, and the same data behind it.

Targets are a real Redis, a Valkey, this server, and sockets that behave badly.
"""

import select
import socket
import threading
import time

import pytest
import redis
from conftest import Server, free_port
from test_rdb_files import Real, contents, fill

SOURCES = ["redis", "ringfort-1", "ringfort-3"]
TARGETS = ["redis", "valkey", "ringfort-3"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Servers by name, started when they are first asked for."""
    running = {}

    def start(name, *options):
        key = (name, *options)
        if key not in running:
            folder = tmp_path_factory.mktemp(name)
            kind, _, cores = name.partition("-")
            if kind == "ringfort":
                running[key] = Server(folder, "--dir", str(folder), *options, cores=int(cores[0]))
            else:
                running[key] = Real(kind, folder, *options)
        server = running[key]
        r = redis.Redis(port=server.port, socket_timeout=20, single_connection_client=True)
        r.flushall()
        r.function_flush()
        r.config_resetstat()
        return r

    yield start
    for server in running.values():
        server.stop()


def port(r):
    return r.connection_pool.connection_kwargs["port"]


@pytest.fixture(params=SOURCES)
def source(servers, request):
    return servers(request.param)


@pytest.fixture
def target(servers):
    # Another one than the source, which may be a Redis, too.
    return servers("redis", "--databases", "17")


def migrate(r, to, key, *words, db=0, timeout=5000, host="127.0.0.1"):
    to = port(to) if isinstance(to, redis.Redis) else to
    return said(r, "MIGRATE", host, to, key, db, timeout, *words)


def said(r, *words):
    try:
        return r.execute_command(*words)
    except redis.ResponseError as error:
        return error.args[0]


@pytest.mark.parametrize("name", TARGETS)
def test_values_of_every_type_arrive(servers, source, name):
    target = servers(name, "--databases", "17")
    if name == "redis" and said(source, "CONFIG", "GET", "rdb-dialect"):
        source.config_set("rdb-dialect", "redis-7.0")  # for what it knows of streams
    fill(source)
    keys = source.keys()
    volatile = {"soon": 60_000, "later": 100_000_000}
    for key, ms in volatile.items():
        source.set(key, "x", px=ms)
    expected = {name: value for (db, name), value in contents(source).items() if db == 0}
    began = time.monotonic()
    for key in keys[: len(keys) // 2]:
        assert migrate(source, target, key) == b"OK"
    assert migrate(source, target, "", "KEYS", *keys[len(keys) // 2 :], *volatile) == b"OK"
    took_ms = (time.monotonic() - began) * 1000
    assert source.dbsize() == 0
    found = {name: value for (db, name), value in contents(target).items() if db == 0}
    assert found.keys() == expected.keys()
    for key, (kind, value, times) in expected.items():
        assert found[key][0] == kind
        if kind != b"stream":
            assert found[key][1] == value, key
        else:
            assert found[key][1][0] == value[0]
            assert target.xpending(key, "group") == {
                "pending": 49, "min": b"3-1", "max": b"51-1", "consumers": [{"name": b"consumer", "pending": 49}]
            } or target.xpending(key, "group")["pending"] == 49
        # What is left of its time is told, and the way takes some.
        assert -100 < found[key][2][0] - times[0] < took_ms + 100, key
    if said(source, "CONFIG", "GET", "rdb-dialect"):
        source.config_set("rdb-dialect", "redis")


def test_what_is_asked_for_is_done(source, target):
    source.mset({"a": 1, "b": 2, "c": 3, "d": 4})
    assert migrate(source, target, "a", "COPY") == b"OK"
    assert (source.get("a"), target.get("a")) == (b"1", b"1")
    busy = "Target instance replied with error: BUSYKEY Target key name already exists."
    assert migrate(source, target, "a") == busy
    assert source.get("a") == b"1"
    source.set("a", "new")
    assert migrate(source, target, "a", "replace") == b"OK"
    assert (source.get("a"), target.get("a")) == (None, b"new")
    assert migrate(source, target, "a") == b"NOKEY"
    # Some of them are not here, one is there already.
    target.set("c", "old")
    assert migrate(source, target, "", "KEYS", "x", "b", "c", "y", "d") == busy
    assert source.keys() == [b"c"]
    assert target.mget("b", "c", "d") == [b"2", b"old", b"4"]
    assert migrate(source, target, "c", db=16) == b"OK"
    assert migrate(source, target, "", "KEYS", "x", "y") == b"NOKEY"
    source.set("e", 5)
    assert migrate(source, target, "e", db=17) == "Target instance replied with error: ERR DB index is out of range"
    assert source.get("e") == b"5"
    # What was not selected is no obstacle to what follows: the key may be there, in another database.
    assert migrate(source, target, "e", "REPLACE", host="localhost", timeout=0) == b"OK"
    assert target.get("e") == b"5"


@pytest.mark.parametrize("words", [
    ("e", "0", "x"), ("e", "x", "0"), ("e", "0", "0", "FOO"), ("e", "0", "0", "AUTH"), ("e", "0", "0", "AUTH2", "x"),
    ("e", "0", "0", "KEYS", "f"), ("e", "0"), ("", "0", "0", "COPY", "KEYS"), ("", "0", "0"),
    ("e", "0", "9223372036854775808"), ("", "0", "0", "KEYS", "KEYS"), ("nothing", "0", "0", "AUTH", "KEYS"),
])
def test_words_that_do_not_fit(servers, target, words):
    replies = []
    for name in SOURCES:
        r = servers(name)
        r.set("e", 1)
        replies.append(said(r, "MIGRATE", "127.0.0.1", port(target), *words))
    assert replies == replies[:1] * 3


@pytest.mark.parametrize("name", TARGETS)
def test_passwords(servers, source, name):
    # Not the target of others: a real Redis keeps connections to those.
    target = servers(name, "--databases", "3")
    target.config_set("requirepass", "secret")
    source.set("a", 1)
    assert migrate(source, target, "a") == "Target instance replied with error: NOAUTH Authentication required."
    wrong = "Target instance replied with error: WRONGPASS invalid username-password pair or user is disabled."
    assert migrate(source, target, "a", "AUTH", "guess") == wrong
    assert migrate(source, target, "a", "AUTH2", "default", "guess") == wrong
    assert source.get("a") == b"1"
    assert migrate(source, target, "a", "AUTH", "secret") == b"OK"
    source.set("a", 2)
    assert migrate(source, target, "", "REPLACE", "AUTH2", "default", "secret", "KEYS", "a") == b"OK"
    assert target.get("a") == b"2"
    source.config_set("slowlog-log-slower-than", 0)
    source.set("a", 3)
    assert migrate(source, target, "a", "AUTH2", "default", "secret", "COPY", "REPLACE") == b"OK"
    shown = [entry["command"] for entry in source.slowlog_get(10) if entry["command"].startswith(b"MIGRATE")]
    assert shown[0].endswith(b" a 0 5000 AUTH2 (redacted) (redacted) COPY REPLACE"), shown
    source.config_set("slowlog-log-slower-than", 10_000)
    target.config_set("requirepass", "")


class Odd(threading.Thread):
    """A target that answers its first connections with such bytes, once it was sent something, and hangs up."""

    def __init__(self, *answers):
        super().__init__(daemon=True)
        self.answers, self.connections = answers, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        for answer in self.answers:
            connection, _ = self.listener.accept()
            self.connections += 1
            with connection:
                if answer is not None:
                    connection.recv(1 << 20)
                    connection.sendall(answer)
        self.listener.close()


def test_targets_that_fail(source):
    reading = "IOERR error or timeout reading to target instance"
    writing = "IOERR error or timeout writing to target instance"
    connecting = "IOERR error or timeout connecting to the client"
    keys = ["a", "b", "c", "{a}d"]
    source.mset({key: 1 for key in keys})
    assert said(source, "MIGRATE", "127.0.0.1", free_port(), "a", 0, 1000) == writing
    assert said(source, "MIGRATE", "no such host", 1, "a", 0, 1000) == connecting
    # Closed before it said anything: it is tried once more.
    for answers, reply, left in [
        ((b"", b""), reading, keys),
        ((b"", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"), b"OK", []),
        ((b"+OK\r\n", b"+OK\r\n-ERR no\r\n"), reading, keys),
        ((b"+OK\r\n+OK\r\n-OOM no\r\n+OK\r\n",), "Target instance replied with error: OOM no", keys[1:2] + keys[3:]),
        ((b"+OK\r\n+OK\r\n+O",), reading, keys[1:]),
        ((b"-ERR no\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",), "Target instance replied with error: ERR no", keys),
    ]:
        source.mset({key: 1 for key in keys})
        odd = Odd(*answers)
        got = said(source, "MIGRATE", "127.0.0.1", odd.port, "", 0, 20_000, "KEYS", *keys)
        if answers[-1].endswith(b"-ERR no\r\n"):
            # What the target said first is what is told.
            assert got == "Target instance replied with error: ERR no", answers
        else:
            assert got == reply, answers
        assert [key for key in keys if source.exists(key)] == left, answers
        odd.join(5)
        assert odd.connections == len(answers)


def test_time_outs(source):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source.set("a", 1)
        began = time.monotonic()
        assert said(source, "MIGRATE", "127.0.0.1", silent.getsockname()[1], "a", 0, 150) == (
            "IOERR error or timeout reading to target instance"
        )
        assert 0.1 < time.monotonic() - began < 5
        assert source.get("a") == b"1"


def test_transactions_and_scripts(source, target):
    source.mset({"a": 1, "b": 2, "c": 3})
    pipe = source.pipeline(transaction=True)
    pipe.incr("a").migrate("127.0.0.1", port(target), ["a"], 0, 1000).get("a").migrate("127.0.0.1", port(target), ["a"], 0, 1000)
    pipe.rpush("l", 1).migrate("127.0.0.1", port(target), ["b", "l"], 0, 1000).exists("b", "l")
    assert pipe.execute() == [2, b"OK", None, b"NOKEY", 1, b"OK", 0]
    assert (target.get("a"), target.lrange("l", 0, -1)) == (b"2", [b"1"])
    script = """
        local first = redis.pcall('MIGRATE', '127.0.0.1', ARGV[1], 'c', '99', '1000')
        local ok = redis.call('MIGRATE', '127.0.0.1', ARGV[1], '', '0', '1000', 'REPLACE', 'KEYS', 'c', 'x')
        return {first['err'], ok, redis.call('EXISTS', 'c'), redis.call('MIGRATE', '127.0.0.1', ARGV[1], 'c', '0', '1000')}
    """
    assert source.eval(script, 0, port(target)) == [
        b"ERR Target instance replied with error: ERR DB index is out of range", b"OK", 0, b"NOKEY"
    ]
    assert target.get("c") == b"3"
    source.set("c", 4)
    failed = said(source, "EVAL", "return redis.call('MIGRATE', '127.0.0.1', ARGV[1], 'c', '0', '1000')", 0, port(target))
    assert failed.startswith("Target instance replied with error: BUSYKEY Target key name already exists.")
    assert said(source, "EVAL_RO", "return redis.call('MIGRATE', '127.0.0.1', ARGV[1], 'c', '0', '1000')", 0, 1).startswith(
        "Write commands are not allowed from read-only scripts."
    )


def test_events(source, target):
    source.config_set("notify-keyspace-events", "KEA")
    source.mset({"a": 1, "b": 2})
    with source.pubsub() as heard:
        heard.psubscribe("__keyevent@0__:*")
        assert heard.get_message(timeout=20)["type"] == "psubscribe"
        migrate(source, target, "", "COPY", "KEYS", "a", "b")
        migrate(source, target, "", "REPLACE", "KEYS", "a", "b")
        got = [heard.get_message(timeout=20) for _ in range(2)]
        assert [(m["channel"], m["data"]) for m in got] == [(b"__keyevent@0__:del", key) for key in (b"a", b"b")]
        assert heard.get_message(timeout=0.05) is None
    source.config_set("notify-keyspace-events", "")


@pytest.mark.parametrize("cores", [1, 3])
def test_others_go_on_and_see_all_or_nothing(servers, cores):
    """While a target takes its time, connections are served, nobody sees half of a move, and what was asked meanwhile is answered."""
    source = servers(f"ringfort-{cores}")
    keys = [f"k{i}" for i in range(20)]
    source.mset({key: 1 for key in keys})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = redis.ConnectionPool(port=port(source), socket_timeout=20)
        moving = pool.get_connection()
        moving.send_command("MIGRATE", "127.0.0.1", listener.getsockname()[1], "", 0, 5000, "KEYS", *keys)
        slow, _ = listener.accept()
        others = [pool.get_connection() for _ in range(4)]
        for other in others:
            other.send_command("PING")
            assert other.read_response() == b"PONG"
        for other, words in zip(others, [["MGET", *keys], ["EVAL", "return 7", 0], ["DBSIZE"], ["GET", "k3"]]):
            other.send_command(*words)
        time.sleep(0.2)
        slow.sendall(b"+OK\r\n" * 11)
        time.sleep(0.1)
        assert select.select([other._sock for other in others], [], [], 0)[0] == []
        slow.sendall(b"+OK\r\n" * 10)
        assert moving.read_response() == b"OK"
        assert [other.read_response() for other in others] == [[None] * 20, 7, 0, None]
        slow.close()
        pool.disconnect()
