"""The append-only file: read by Redis and Valkey and theirs by us, rewritten and switched.

Every test holds for the others, too:
    RINGFORT=/usr/bin/redis-server target/venv/bin/pytest tests/clients/test_aof.py
"""

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis

from conftest import BINARY, free_port, is_quick, wait_for
from crash import commands_of
from test_rdb_files import contents as raw_contents
from test_rdb_files import fill, program
from test_snapshots import Instance, foreign_servers, loading_delays

RINGFORT = Path(BINARY).name == "ringfort"
FOREIGN = pytest.mark.parametrize("name,path", foreign_servers())


def logged(folder, *options, binary=BINARY, dialect="redis-7.0", **how):
    """A server with an append-only file."""
    if Path(binary).name == "ringfort":
        options += ("--rdb-dialect", dialect)
    return Instance(folder, "--appendonly", "yes", *options, binary=binary, **how)


def no_patience(server, seconds=20):
    """A client that shows errors instead of trying again."""
    return redis.Redis(port=server.port, socket_timeout=seconds, retry=None)


def contents(r):
    """Everything, without the streams' facts that depend on the server or the time."""
    found = raw_contents(r)
    for (db, key), (kind, value, times) in found.items():
        if kind == b"stream":
            r.execute_command("SELECT", db)
            entries, facts = value
            plain = [facts[name] for name in ("length", "last-generated-id", "max-deleted-entry-id", "entries-added")]
            groups = [group_contents(r, key, group, dict(entries)) for group in facts["groups"]]
            found[db, key] = (kind, [entries, plain, groups], times)
    r.execute_command("SELECT", 0)
    return found


def group_contents(r, key, group, entries):
    """A log of commands does not tell how many entries a group has read, nor which of its pending ones are deleted."""
    pending = r.xpending_range(key, group["name"], "-", "+", 1000)
    told = [(one["message_id"], one["consumer"], one["times_delivered"]) for one in pending if one["message_id"] in entries]
    consumers = sorted(consumer[b"name"] for consumer in group["consumers"])
    return [group["name"], group["last-delivered-id"], told, consumers]


def effects(r, alike=False):
    """Commands whose effect must be written down rather than repeated. If `alike`: only those that Redis tells as we do."""
    r.execute_command("SELECT", 5)
    r.sadd("pool", *range(100))
    r.spop("pool")
    r.set("between", 1)
    r.spop("pool", 10)
    r.sadd("emptied", 1, 2)
    r.spop("emptied", 5)
    r.incrbyfloat("float", 3.14)
    r.hincrbyfloat("hash", "float", "0.1")
    for name, command in [("ex", ("EX", 1000)), ("px", ("PX", 10**6)), ("at", ("EXAT", 4 * 10**9))]:
        r.execute_command("SET", name, "v", *command)
    r.execute_command("SETEX", "setex", 1000, "v")
    r.set("getex", "v")
    r.execute_command("GETEX", "getex", "EX", 5000)
    r.set("kept", "v", ex=5000)
    r.execute_command("SET", "kept", "w", "KEEPTTL")
    r.set("persisted", "v", ex=5000)
    r.persist("persisted")
    r.set("expired", "v", px=1)
    time.sleep(0.01)
    r.get("expired")
    pipe = r.pipeline(transaction=True)
    pipe.set("a", 1).incr("a").expire("a", 1000).lpush("l", 1, 2, 3).execute()
    r.eval("redis.call('SET', KEYS[1], redis.call('TIME')[2]); redis.call('SPOP', KEYS[2]); return 1", 2, "random", "pool")
    r.execute_command("LMOVE", "l", "m", "LEFT", "RIGHT")
    r.execute_command("COPY", "a", "copy")
    r.rename("copy", "renamed")
    for number in range(20):
        r.execute_command("XADD", "events", "MAXLEN", "=", 10, "*", "n", number)
    if not alike:
        r.execute_command("SORT", "m", "STORE", "sorted")
        r.xgroup_create("events", "g", 0)
        r.xreadgroup("g", "c", {"events": ">"}, count=3)
        r.xautoclaim("events", "g", "d", 0, count=2)
    r.bitfield("bits").incrby("u8", 0, 7).execute()
    r.pfadd("log", *range(50))
    r.geoadd("places", (13.361389, 38.115556, "x", 15.087269, 37.502669, "y"))
    r.execute_command("GEOSEARCHSTORE", "near", "places", "FROMLONLAT", 15, 37, "BYRADIUS", 100, "km")
    r.zadd("z", {"a": 1.5, "b": 2})
    r.zpopmin("z")
    r.execute_command("RESTORE", "restored", 100_000, r.dump("a"))
    r.execute_command("SELECT", 6)
    r.set("gone", 1)
    r.flushdb()
    r.set("moved", 1)
    r.move("moved", 7)
    r.execute_command("SELECT", 0)
    r.execute_command("SWAPDB", 7, 8)
    blocked_pop(r)


def blocked_pop(r):
    """A pop that waited is logged as the pop that it became."""
    waiting = redis.Redis(connection_pool=redis.ConnectionPool(**r.connection_pool.connection_kwargs))
    thread = threading.Thread(target=lambda: waiting.blmove("nothing", "arrived", 0))
    thread.start()
    wait_for(lambda: r.info("clients")["blocked_clients"])
    r.rpush("nothing", "x", "y")
    thread.join()


def write_manifest(tmp_path, text):
    (folder_of(tmp_path) / "appendonly.aof.manifest").write_text(text)


def is_rewriting(r):
    """Whether a rewrite is under way, or is going to be as soon as something else is over."""
    info = r.info("persistence")
    return info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]


def rewrite(r):
    assert r.bgrewriteaof()
    wait_for(lambda: not is_rewriting(r))
    assert r.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def folder_of(tmp_path):
    return tmp_path / "appendonlydir"


def manifest(tmp_path):
    """The files of a manifest: names by kind."""
    files = {}
    for line in (folder_of(tmp_path) / "appendonly.aof.manifest").read_text().splitlines():
        words = line.split()
        files.setdefault(words[5], []).append(words[1])
    return files


def kill(server):
    server.stop(signal.SIGKILL)


# ---- both ways ----


def skip_unless_known(name):
    """Redis and Valkey know only their own files."""
    if not RINGFORT and name not in Path(BINARY).name:
        pytest.skip("another RDB version")


@FOREIGN
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_ours_is_read_by_others(tmp_path, name, path, preamble):
    skip_unless_known(name)
    options = ["--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes"]
    with logged(tmp_path, *options, dialect="redis-7.0" if name == "redis" else "valkey", cores=3) as ours:
        r = ours.ready()
        fill(r)
        rewrite(r)
        effects(r)
        expected = contents(r)
        assert ours.stop() == 0
    check = tmp_path / f"{name}-check-aof"
    check.symlink_to(path)
    done = subprocess.run([check, folder_of(tmp_path) / "appendonly.aof.manifest"], capture_output=True, text=True)
    # Valkey's checker does not know how Valkey's own files begin.
    strange = name == "valkey" and preamble == "yes"
    assert strange or done.returncode == 0 and "All AOF files and manifest are valid" in done.stdout, done.stdout
    assert manifest(tmp_path)["b"][0].endswith(".base.rdb" if preamble == "yes" else ".base.aof")
    with logged(tmp_path, binary=path) as other:
        r = other.ready()
        assert contents(r) == expected


@FOREIGN
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_theirs_is_read_by_us(tmp_path, name, path, preamble):
    skip_unless_known(name)
    with logged(tmp_path, "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes", binary=path) as other:
        r = other.ready()
        fill(r)
        rewrite(r)
        effects(r)
        expected = contents(r)
        other.stop()
    for cores in (1, 3):
        with logged(tmp_path, cores=cores) as ours:
            r = ours.ready()
            assert contents(r) == expected
            assert "DB loaded from append only file: " in ours.text()
            r.set("ours", cores)
            expected[0, b"ours"] = (b"string", b"%d" % cores, [-1])
            assert ours.stop() == 0
    with logged(tmp_path, binary=path) as other:
        assert contents(other.ready()) == expected


def test_a_rewrite_keeps_functions(tmp_path):
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.function_load("#!lua name=lib\nredis.register_function('f', function() return 1 end)")
        rewrite(r)
        ours.stop()
    with logged(tmp_path) as ours:
        assert ours.ready().fcall("f", 0) == 1


def test_the_log_reads_as_redis_writes_it(tmp_path):
    """The same commands lead to the same records, whatever is random in them."""
    skip_unless_known("redis")
    logs = []
    for binary in (BINARY, program("redis-server")):
        folder = tmp_path / Path(binary).name / str(len(logs))
        folder.mkdir(parents=True)
        with logged(folder, binary=binary, cores=3) as server:
            r = server.ready()
            effects(r, alike=True)
            # No command of its own is known to expire a key, so it may come later.
            wait_for(lambda: r.execute_command("SELECT", 5) and not r.exists("expired"))
            server.stop()
        records = []
        for path in sorted(folder_of(folder).glob("*.incr.aof")):
            for _, _, words in commands_of(path.read_bytes()):
                records.append(masked(words))
        logs.append(without_needless_units(records))
    ours, theirs = logs
    for number, (record, expected) in enumerate(zip(ours, theirs)):
        assert record == expected, f"record {number}, after {ours[max(0, number - 3) : number]}"
    assert len(ours) == len(theirs)


def without_needless_units(records):
    """Redis 7.0 removes members one by one, and makes a transaction of one record in places."""
    kept = []
    for record in records:
        if record[0] == b"SREM" and kept and kept[-1][:2] == record[:2]:
            kept[-1][2] += record[2]
        elif record == [b"EXEC"] and kept[-2:-1] == [[b"MULTI"]]:
            del kept[-2]
        else:
            kept.append(record)
    return kept


def masked(words):
    """A record without times and chance."""
    name = words[0].upper()
    if name == b"SREM":
        return [name, words[1], len(words) - 2]
    if name == b"SET" and words[1] == b"random":
        return [name, words[1]]
    if name == b"SET" and words[3:4] in ([b"KEEPTTL"], [b"PXAT"]):
        return [name, *words[1:3], "<an expiry, kept or told again>"]
    if name in (b"ZADD", b"GEOADD"):
        return [b"ZADD", words[1]]
    if name == b"LMOVE":
        return [name, *(word.lower() for word in words[1:])]
    if name == b"RESTORE":
        return [name, words[1]]
    if name == b"XADD":  # how many entries there are afterwards is told in different ways
        return [name, words[1], *words[-2:]]
    long = lambda word: word.partition(b"-")[0].isdigit() and len(word.partition(b"-")[0]) >= 13
    return [name, *(b"<time>" if long(word) else word for word in words[1:])]


def test_an_old_log_of_one_file_is_taken_over(tmp_path):
    other = program("redis-server")
    made = tmp_path / "made"
    made.mkdir()
    with logged(made, binary=other) as server:
        r = server.ready()
        fill(r)
        rewrite(r)
        effects(r)
        expected = contents(r)
        server.stop()
    parts = [folder_of(made) / name for kind in "bi" for name in manifest(made)[kind]]
    # With an RDB preamble; without one, the commands of the increment alone.
    for case, files in [("preamble", parts), ("commands", parts[1:])]:
        folder = tmp_path / case
        folder.mkdir()
        (folder / "appendonly.aof").write_bytes(b"".join(path.read_bytes() for path in files))
        with logged(folder) as ours:
            r = ours.ready()
            assert case == "commands" or contents(r) == expected
            assert r.execute_command("SELECT", 5) and r.get("kept") == b"w"
            r.set("new", 1)
            assert "Successfully migrated an old-style AOF" in ours.text()
            ours.stop()
        assert not (folder / "appendonly.aof").exists()
        assert manifest(folder)["b"] == ["appendonly.aof"]
        with logged(folder, binary=other) as server:
            r = server.ready()
            assert r.execute_command("SELECT", 5) and r.get("new") == b"1"


def test_taking_over_an_old_log_goes_on_where_it_was_cut_short(tmp_path):
    """The manifest names the old file, which is not in the folder yet."""
    (tmp_path / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")
    folder_of(tmp_path).mkdir()
    write_manifest(tmp_path, "file appendonly.aof seq 1 type b\n")
    with logged(tmp_path) as ours:
        assert ours.ready().get("a") == b"1"
        assert manifest(tmp_path) == {"b": ["appendonly.aof"], "i": ["appendonly.aof.1.incr.aof"]}


# ---- life with a log ----


def test_restarts_on_other_numbers_of_cores(on_disk):
    with logged(on_disk, cores=1) as ours:
        r = ours.ready()
        fill(r)
        effects(r)
        expected = contents(r)
        ours.stop()
    for number, cores in enumerate([3, 1, 2]):
        with logged(on_disk, "--aof-use-rdb-preamble", "yes" if number % 2 else "no", cores=cores) as ours:
            r = ours.ready()
            assert contents(r) == expected
            r.mset({f"restart:{number}:{n}": cores for n in range(5)})
            expected.update({(0, b"restart:%d:%d" % (number, n)): (b"string", b"%d" % cores, [-1]) for n in range(5)})
            rewrite(r)
            kill(ours) if number else ours.stop()


@pytest.mark.parametrize("cores", [1, 3])
def test_a_rewrite_under_writes(tmp_path, cores):
    with logged(tmp_path, cores=cores) as ours:
        r = ours.ready()
        r.execute_command("DEBUG", "POPULATE", 20_000, "filler", 20)
        stop, last = threading.Event(), [0] * 3

        def count(writer):
            own = ours.ready()
            while not stop.is_set():
                pipe = own.pipeline(transaction=bool(writer))
                pipe.set(f"s:{writer}", last[writer] + 1).rpush(f"l:{writer}", last[writer] + 1).execute()
                last[writer] += 1

        threads = [threading.Thread(target=count, args=(writer,)) for writer in range(3)]
        [thread.start() for thread in threads]
        try:
            for _ in range(3):
                rewrite(r)
        finally:
            stop.set()
            [thread.join() for thread in threads]
        assert r.info("persistence")["aof_rewrites"] == 3
        assert {path.name for path in folder_of(tmp_path).iterdir()} == {
            "appendonly.aof.manifest", "appendonly.aof.4.base.rdb", "appendonly.aof.4.incr.aof",
        }
        ours.stop()
    with logged(tmp_path, cores=cores) as ours:
        r = ours.ready()
        assert r.dbsize() == 20_006
        for writer in range(3):
            assert int(r.get(f"s:{writer}")) == r.llen(f"l:{writer}") == last[writer] > 0
            assert r.lrange(f"l:{writer}", 0, -1) == [b"%d" % n for n in range(1, last[writer] + 1)]


def test_appendonly_is_switched_while_it_runs(tmp_path):
    with Instance(tmp_path) as ours:
        r = ours.ready()
        assert "aof_current_size" not in r.info("persistence")
        r.set("before", 1)
        r.config_set("appendonly", "yes")
        r.set("while", 1)
        info = r.info("persistence")
        assert info["aof_enabled"] == 1
        wait_for(lambda: not is_rewriting(r))
        wait_for(lambda: (folder_of(tmp_path) / "appendonly.aof.manifest").exists())
        r.config_set("appendfsync", "always")
        r.set("after", 1)
        kill(ours)
    with logged(tmp_path) as ours:
        r = ours.ready()
        assert sorted(r.keys()) == [b"after", b"before", b"while"]
        r.config_set("appendonly", "no")
        r.set("unlogged", 1)
        assert r.info("persistence")["aof_enabled"] == 0
        kill(ours)
    with logged(tmp_path) as ours:
        r = ours.ready()
        assert sorted(r.keys()) == [b"after", b"before", b"while"]
        r.config_set("appendonly", "no")
        r.set("later", 1)
        r.config_set("appendonly", "yes")
        wait_for(lambda: r.info("persistence")["aof_rewrites"] and not is_rewriting(r))
        for value, enabled in [("no", 0), ("yes", 1)]:
            assert r.pipeline(transaction=True).config_set("appendonly", value).execute() == [True]
            wait_for(lambda: r.info("persistence")["aof_enabled"] == enabled)
        wait_for(lambda: not is_rewriting(r))
        ours.stop()
    with logged(tmp_path) as ours:
        assert sorted(ours.ready().keys()) == [b"after", b"before", b"later", b"while"]


def test_a_log_without_a_base_keeps_the_server_up(tmp_path):
    """SHUTDOWN and SIGTERM gave the first base up, with all that was in memory: only FORCE may."""
    slow = ("--rdb-key-save-delay", "20000")
    with Instance(tmp_path, *slow) as ours:
        r = ours.ready()
        r.execute_command("DEBUG", "POPULATE", 60)
        r.config_set("appendonly", "yes")
        for words in ((), ("NOSAVE",), ("SAVE",)):
            with pytest.raises(redis.ResponseError, match="^Errors trying to SHUTDOWN. Check logs.$"):
                no_patience(ours).execute_command("SHUTDOWN", *words)
        ours.process.terminate()
        wait_for(lambda: "rrors trying to shut down the server" in ours.text())
        assert "Writing initial AOF, can't exit." in ours.text()
        wait_for(lambda: r.info("persistence")["aof_rewrites"] and not r.info("persistence")["aof_rewrite_in_progress"])
        assert ours.stop() == 0
    with logged(tmp_path, *slow) as ours:
        assert ours.ready().dbsize() == 60
        ours.stop()
    (tmp_path / "forced").mkdir()
    with Instance(tmp_path / "forced", *slow) as ours:
        r = no_patience(ours)
        ours.ready().execute_command("DEBUG", "POPULATE", 60)
        r.config_set("appendonly", "yes")
        with pytest.raises(redis.ConnectionError):
            r.execute_command("SHUTDOWN", "FORCE")
        assert ours.process.wait(10) == 0 and "Writing initial AOF. Exit anyway." in ours.text()


@pytest.mark.skipif(not RINGFORT, reason="Redis looks only at a base that is being written, and loses all")
def test_a_log_without_a_base_keeps_the_server_up_at_once(tmp_path):
    with Instance(tmp_path, "--rdb-key-save-delay", "20000") as ours:
        ours.ready().execute_command("DEBUG", "POPULATE", 60)
        with socket.create_connection(("127.0.0.1", ours.port), timeout=10) as s:
            s.sendall(b"MULTI\r\nCONFIG SET appendonly yes\r\nEXEC\r\nSHUTDOWN NOSAVE\r\n")
            said = b""
            while b"Check logs." not in said:
                portion = s.recv(1000)
                assert portion, said
                said += portion


@pytest.mark.parametrize("cores", [1, 3])
def test_a_log_that_cannot_be_opened_is_not_switched_on(tmp_path, cores):
    folder_of(tmp_path).write_text("no folder")
    with Instance(tmp_path, "--enable-protected-configs", "yes", cores=cores) as ours:
        for client in (ours.ready(), ours.ready(), ours.ready()):
            with pytest.raises(redis.ResponseError, match="'appendonly'\\) - Unable to turn on AOF. Check server logs."):
                client.config_set("appendonly", "yes")
            assert client.config_get("appendonly") == {"appendonly": "no"}
            assert client.info("persistence")["aof_enabled"] == 0
            assert client.set("k", 1)
        # All that the command set goes back, whatever came before or behind.
        options = ["appendonly", "maxmemory-samples", "save", "dir", "loglevel", "notify-keyspace-events", "hz", "timeout", "port"]
        before = client.config_get(*options)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "appendonlydir").write_text("no folder")
        changes = ["maxmemory-samples", 7, "save", "77 7", "appendonly", "yes", "loglevel", "debug", "notify-keyspace-events", "KEA"]
        for more in (["hz", 50, "timeout", 100, "port", free_port()], ["dir", str(tmp_path / "elsewhere")]):
            with pytest.raises(redis.ResponseError, match="'appendonly'\\) - Unable to turn on AOF. Check server logs."):
                client.execute_command("CONFIG", "SET", *changes, *more)
            assert client.config_get(*options) == before
            assert ours.ready().ping()
        folder_of(tmp_path).unlink()
        assert client.config_set("appendonly", "yes")
        assert client.info("persistence")["aof_enabled"] == 1


def test_a_rewrite_waits_for_a_snapshot(tmp_path):
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.execute_command("DEBUG", "POPULATE", 300)
        r.config_set("rdb-key-save-delay", 100_000)
        r.execute_command("BGSAVE")
        assert r.execute_command("BGREWRITEAOF") is not None
        assert r.info("persistence")["aof_rewrite_scheduled"] == 1
        r.config_set("rdb-key-save-delay", 0)
        wait_for(lambda: r.info("persistence")["aof_rewrites"] == 1)
        wait_for(lambda: not is_rewriting(r))
        r.config_set("rdb-key-save-delay", 100_000)
        r.bgrewriteaof()
        assert r.info("persistence")["aof_rewrite_in_progress"] == 1
        with pytest.raises(redis.ResponseError, match="Background append only file rewriting already in progress"):
            r.bgrewriteaof()
        with pytest.raises(redis.ResponseError, match=r"Another child process is active \(AOF\?\): can't BGSAVE right now"):
            r.execute_command("BGSAVE")
        kill(ours)


def test_a_rewrite_that_waits_ends_with_the_log(tmp_path):
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.execute_command("DEBUG", "POPULATE", 300)
        r.config_set("rdb-key-save-delay", 100_000)
        r.execute_command("BGSAVE")
        r.bgrewriteaof()
        assert r.info("persistence")["aof_rewrite_scheduled"] == 1
        r.config_set("appendonly", "no")
        assert r.info("persistence")["aof_rewrite_scheduled"] == 0
        r.config_set("rdb-key-save-delay", 0)
        wait_for(lambda: not r.info("persistence")["rdb_bgsave_in_progress"])
        time.sleep(0.3)
        info = r.info("persistence")
        assert (info["aof_rewrites"], info["aof_rewrite_in_progress"]) == (0, 0)
        kill(ours)


def test_it_rewrites_by_itself(tmp_path):
    with logged(tmp_path, "--auto-aof-rewrite-min-size", "64kb", "--auto-aof-rewrite-percentage", "100") as ours:
        r = ours.ready()
        r.set("k", "x" * 30_000)
        time.sleep(0.15)
        assert r.info("persistence")["aof_rewrites"] == 0
        # At once: a rewrite that begins among them would lead to one more.
        pipe = r.pipeline(transaction=True)
        [pipe.set("k", "x" * 30_000) for _ in range(4)]
        pipe.execute()
        wait_for(lambda: r.info("persistence")["aof_rewrites"] == 1)
        wait_for(lambda: not is_rewriting(r))
        info = r.info("persistence")
        assert 0 < info["aof_base_size"] <= info["aof_current_size"] < 64_000
        assert "Starting automatic rewriting of AOF on " in ours.text()


def test_it_rewrites_at_once_what_grew_before_the_start(tmp_path):
    """The whole log was taken for what the last rewrite had left, so that a server that starts often never rewrote it."""
    automatic = ("--auto-aof-rewrite-min-size", "64kb", "--auto-aof-rewrite-percentage")
    with logged(tmp_path, *automatic, "0") as ours:
        r = ours.ready()
        [r.set("k", "x" * 30_000) for _ in range(10)]
        ours.stop()
    base = (folder_of(tmp_path) / manifest(tmp_path)["b"][0]).stat().st_size
    with logged(tmp_path, *automatic, "0") as ours:
        info = ours.ready().info("persistence")
        assert info["aof_base_size"] == base < 200 and info["aof_current_size"] > 300_000
        ours.stop()
    with logged(tmp_path, *automatic, "100") as ours:
        r = ours.ready()
        wait_for(lambda: r.info("persistence")["aof_rewrites"] == 1)
        wait_for(lambda: r.info("persistence")["aof_current_size"] < 64_000)
        ours.stop()


@pytest.mark.parametrize("base,lines", [(90, "file b seq 1 type b\nfile i seq 1 type i\n"), (0, "file i seq 1 type i\n")])
def test_info_tells_how_long_the_base_is(tmp_path, base, lines):
    command = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n1234\r\n"
    folder_of(tmp_path).mkdir()
    for name, content in [("b", command * 3), ("i", command * 5), ("appendonly.aof.manifest", lines.encode())]:
        (folder_of(tmp_path) / name).write_bytes(content)
    with logged(tmp_path) as ours:
        info = ours.ready().info("persistence")
        assert (info["aof_base_size"], info["aof_current_size"]) == (base, base + 150)


def test_info_tells_of_the_log(tmp_path):
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.set("k", "v" * 1000)
        rewrite(r)
        for n in range(10):
            r.set(f"k{n}", "v" * 1000)
        expected = {
            "aof_enabled": 1, "aof_rewrite_in_progress": 0, "aof_rewrite_scheduled": 0, "aof_last_bgrewrite_status": "ok",
            "aof_last_write_status": "ok", "aof_current_rewrite_time_sec": -1, "aof_rewrites": 1,
            "aof_rewrites_consecutive_failures": 0, "aof_pending_rewrite": 0, "aof_buffer_length": 0, "aof_delayed_fsync": 0,
        }
        wait_for(lambda: expected.items() <= r.info("persistence").items())
        size = lambda names: sum((folder_of(tmp_path) / name).stat().st_size for name in names)
        files = manifest(tmp_path)
        wait_for(lambda: r.info("persistence")["aof_current_size"] == size(files["b"] + files["i"]) > 10_000)
        info = r.info("persistence")
        assert info["aof_base_size"] == size(files["b"])
        assert info["aof_current_size"] > info["aof_base_size"] + 10_000
        assert info["aof_last_rewrite_time_sec"] >= 0
        assert info["aof_last_cow_size"] >= 0
        assert info["aof_pending_bio_fsync"] >= 0


def test_debug_loadaof_gives_the_same_data(tmp_path):
    with logged(tmp_path, cores=3) as ours:
        r = ours.ready()
        fill(r)
        effects(r)
        expected = contents(r)
        for _ in range(2):
            assert r.execute_command("DEBUG", "LOADAOF")
            assert contents(r) == expected
        rewrite(r)
        r.set("more", 1)
        assert r.execute_command("DEBUG", "LOADAOF")
        assert r.get("more") == b"1" and r.delete("more")
        assert contents(r) == expected


LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("what", ["LOADAOF", "RELOAD"])
def test_clients_are_told_that_a_file_is_loaded(tmp_path, cores, what):
    """As Redis does now and then while it reads: not each of them, or a file that is read at once, shows it."""
    with logged(tmp_path, "--rdbcompression", "no", cores=cores) as ours:
        r = ours.ready()
        pipe = r.pipeline(transaction=False)
        for n in range(5000):
            pipe.set(f"k{n}", "v" * 300)
        pipe.execute()
        r.config_set("loading-process-events-interval-bytes", 1024)
        for delay_us in (100, 400, 1600):  # a busy machine may ask before or after
            r.set("k1", "v" * 300)
            r.config_set("key-load-delay", delay_us)
            replies = asked_meanwhile(ours, delay_us / 2000, "DEBUG", what)
            if all(LOADING[1:] in reply for reply in (replies[0], replies[-2])):
                break
        assert replies[0] == b"-EXECABORT Transaction discarded because of: " + LOADING[1:]
        assert replies[1:] == [b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n", b"+OK\r\n", *[LOADING] * 4, b"+OK\r\n"]
        assert r.get("k1") == b"v" * 300 and r.dbsize() == 5000
        assert r.info("persistence")["loading"] == 0


def asked_meanwhile(server, after_s, *command):
    """The lines that a client is answered which had begun a transaction, and ends it when this command has begun."""
    thread = threading.Thread(target=server.ready().execute_command, args=command)
    with socket.create_connection(("127.0.0.1", server.port), 20) as s:
        replies = s.makefile("rb")
        s.sendall(b"MULTI\r\nCONFIG SET hz 20\r\nGET k1\r\n")
        assert [replies.readline() for _ in range(3)] == [b"+OK\r\n", b"+QUEUED\r\n", b"+QUEUED\r\n"]
        thread.start()
        time.sleep(after_s)
        s.sendall(b"EXEC\r\nMULTI\r\nCONFIG SET hz 30\r\nEXEC\r\nPING\r\nGET k1\r\nSET k1 x\r\nDBSIZE\r\nQUIT\r\n")
        lines = replies.readlines()
    thread.join()
    return lines


def write_old_log(folder, commands):
    """A log of one file, as it was before Redis 7.0."""
    words = [[f"${len(word)}\r\n{word}\r\n" for word in command] for command in commands]
    (folder / "appendonly.aof").write_text("".join(f"*{len(command)}\r\n" + "".join(command) for command in words))


def long_log(folder, count):
    """A log that takes a while to be read, if each command is delayed."""
    write_old_log(folder, [("SET", f"k{n}", "v" * 100) for n in range(count)])


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("around", [(b"", b""), (b"MULTI\r\n", b"EXEC\r\n")], ids=["plain", "multi"])
def test_options_are_set_while_the_log_is_read(tmp_path, cores, around):
    """The log was taken to be off before it was read, and was switched on: the server died, or began the log anew."""
    count = 40_000
    long_log(tmp_path, count)
    delays = loading_delays(15 * cores)
    with logged(tmp_path, "--key-load-delay", next(delays), cores=cores) as ours:
        asked, loading = 0, True
        while loading:
            try:
                with socket.create_connection(("127.0.0.1", ours.port), 20) as s:
                    change = b"CONFIG SET hz 50 key-load-delay %s\r\n" % next(delays).encode()
                    s.sendall(around[0] + change + around[1] + b"GET x\r\n")
                    lines = s.makefile("rb")
                    answers = [lines.readline() for _ in range(5 if around[0] else 2)]
                    assert answers[-2] == b"+OK\r\n", (answers, ours.text())
                    asked, loading = asked + 1, answers[-1].startswith(b"-LOADING ")
            except ConnectionRefusedError:
                assert ours.process.poll() is None, ours.text()
        assert asked > 2, "it loaded too fast to be seen"
        r = ours.ready()
        assert r.dbsize() == count and r.set("more", 1)
        assert r.info("persistence")["aof_enabled"] == 1
        names = {path.name for path in folder_of(tmp_path).iterdir()}
        assert names == {"appendonly.aof", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"}
        ours.stop()
    with logged(tmp_path, cores=cores) as ours:
        assert ours.ready().dbsize() == count + 1


@pytest.mark.parametrize("cores", [1, 3])
def test_nothing_is_loaded_again_before_it_is_loaded(tmp_path, cores):
    """What reloads ended the start's loading: clients were served when half of the data was there. (The others die of it.)"""
    long_log(tmp_path, 40_000)
    delays = loading_delays(15 * cores)
    with logged(tmp_path, "--key-load-delay", next(delays), cores=cores) as ours:
        asked, loading = 0, True
        while loading:
            try:
                with socket.create_connection(("127.0.0.1", ours.port), 20) as s:
                    s.sendall(b"CONFIG SET key-load-delay %s\r\n" % next(delays).encode())
                    s.sendall(b"GET x\r\nDEBUG RELOAD NOSAVE\r\nDEBUG LOADAOF\r\nDBSIZE\r\n")
                    lines = s.makefile("rb")
                    assert lines.readline() == b"+OK\r\n"
                    answers = [lines.readline() for _ in range(4)]
                    loading = answers[-1].startswith(b"-LOADING ")
                    if loading:
                        assert answers == [LOADING] * 4
                        asked += 1
            except ConnectionRefusedError:
                assert ours.process.poll() is None, ours.text()
        assert asked > 2, "it loaded too fast to be seen"
        assert ours.ready().dbsize() == 40_000


@pytest.mark.parametrize("cores", [1, 3])
def test_options_are_set_behind_a_switch_in_a_transaction(tmp_path, cores):
    """The next command took the log's beginning for its own, and the server died."""
    with Instance(tmp_path, cores=cores) as ours:
        r = ours.ready()
        for value in ["yes", "no"] * 3 + ["yes"]:
            pipe = r.pipeline(transaction=False)
            pipe.execute_command("MULTI").config_set("appendonly", value).execute_command("EXEC").config_set("hz", 50)
            assert pipe.execute()[-1] is True
            wait_for(lambda: r.info("persistence")["aof_enabled"] == (value == "yes"))
        assert r.set("k", 1)


@pytest.mark.parametrize("cores", [1, 3])
def test_a_slow_script_in_a_log(tmp_path, cores):
    """Old logs have scripts as they were sent. One that takes long is waited for, and nothing behind it is refused."""
    slow = "redis.call('SET', KEYS[1], 'y') for i = 1, 200000 do redis.call('PING') end"
    commands = [("EVAL", slow, "1", "x"), *(("SET", f"k{n}", "v") for n in range(50))]
    write_old_log(tmp_path, commands)
    with logged(tmp_path, "--lua-time-limit", "1", cores=cores) as ours:
        r = ours.ready()
        assert r.dbsize() == 51
        assert "Slow script detected" in ours.text()
        assert r.execute_command("DEBUG", "LOADAOF")
        assert r.dbsize() == 51


@pytest.mark.parametrize("policy", ["no", "everysec"])
def test_a_shutdown_leaves_nothing_out(tmp_path, policy):
    with logged(tmp_path, "--appendfsync", policy, cores=3) as ours:
        r = ours.ready()
        pipe = r.pipeline(transaction=False)
        for n in range(5000):
            pipe.set(f"k{n}", n)
        pipe.execute()
        assert ours.stop() == 0
    with logged(tmp_path, cores=1) as ours:
        assert ours.ready().dbsize() == 5000


@pytest.mark.parametrize("cores", [1, 2, 3])
@pytest.mark.parametrize("how", ["eval", "function", "transaction"])
def test_half_a_script_is_not_logged(tmp_path, cores, how):
    """SHUTDOWN NOSAVE ends a script where it is; what it had done by then was logged."""
    body = "redis.call('SET', 'a', 1) redis.call('SET', 'b', 1) local n = 0 while n < 1e10 do n = n + 1 end redis.call('SET', 'c', 1)"
    options = ("--busy-reply-threshold", "20", "--appendfsync", "always")
    with logged(tmp_path, *options, cores=cores) as ours:
        r = ours.ready()
        r.execute_command("FUNCTION", "LOAD", f"#!lua name=lib\nredis.register_function('f', function() {body} end)")
        r.set("before", 1)
        script = ["FCALL", "f", "0"] if how == "function" else ["EVAL", body, "0"]
        lines = [["SET", "first", "1"], script, ["SET", "d", "1"]]
        if how == "transaction":
            lines = [["MULTI"], *lines, ["EXEC"]]
        with socket.create_connection(("127.0.0.1", ours.port)) as s:
            pack = redis.connection.Connection().pack_commands
            s.sendall(b"".join(pack(lines)))
            other = no_patience(ours)

            def is_busy():
                try:
                    return not other.ping()
                except redis.ResponseError as error:
                    return "BUSY" in str(error)

            wait_for(is_busy)
            with pytest.raises(redis.ConnectionError):
                other.execute_command("SHUTDOWN", "NOSAVE")
            assert ours.process.wait(10) == 0
    with logged(tmp_path, cores=cores) as ours:
        whole = [b"before"] if how == "transaction" else [b"before", b"first"]
        assert sorted(ours.ready().keys()) == whole


def test_waitaof(tmp_path):
    with logged(tmp_path, cores=3) as ours:
        r = ours.ready()
        try:
            r.execute_command("WAITAOF", 0, 0, 0)
        except redis.ResponseError as error:
            if "unknown command" in str(error) and not RINGFORT:
                pytest.skip("WAITAOF came with Redis 7.2")
            raise

        def written():
            assert r.set("k", 1) and r.execute_command("WAITAOF", 1, 0, 0) == [1, 0]

        assert is_quick(written, 3)
        assert r.execute_command("WAITAOF", 1, 1, 30) == [1, 0]
        r.config_set("appendfsync", "no")
        r.set("k", 1)
        # Who wrote nothing has nothing to wait for.
        assert ours.ready().execute_command("WAITAOF", 1, 0, 0) == [1, 0]
        assert r.execute_command("WAITAOF", 1, 0, 30) == [0, 0]
        r.config_set("appendfsync", "everysec")
        pipe = r.pipeline(transaction=True)
        assert pipe.set("k", 2).execute_command("WAITAOF", 0, 1, 0).execute()[1][1] == 0
        for words, message in [
            ((2, 0, 0), "value is out of range, (value )?must between 0 and 1"),
            ((1, 0, -1), "timeout is negative"),
            (("x", 0, 0), "value is not an integer or out of range|value is out of range"),
        ]:
            with pytest.raises(redis.ResponseError, match=message):
                r.execute_command("WAITAOF", *words)
        r.config_set("appendonly", "no")
        with pytest.raises(redis.ResponseError, match="WAITAOF cannot be used when numlocal is set but appendonly is disabled"):
            r.execute_command("WAITAOF", 1, 0, 0)
        kill(ours)
    with logged(tmp_path) as ours:
        assert ours.ready().get("k") == b"2"


def test_waitaof_ends_with_the_log(tmp_path):
    """Who waited when the log was switched off was told that nothing was durable, where Redis has an error."""
    with logged(tmp_path, "--appendfsync", "no", cores=3) as ours:
        r = ours.ready()
        waiting = []
        for words in ([1, 0, 0], [1, 1, 0]):
            s = socket.create_connection(("127.0.0.1", ours.port), timeout=10)
            s.sendall(b"SET k 1\r\nWAITAOF %d %d %d\r\n" % tuple(words))
            waiting.append(s)
        if not RINGFORT and "unknown command" in str(waiting[0].recv(100)):
            pytest.skip("WAITAOF came with Redis 7.2")
        wait_for(lambda: r.info("clients")["blocked_clients"] == 2)
        r.config_set("appendonly", "no")
        error = b"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"
        for s in waiting:
            said = b""
            while not said.endswith(error[-20:]):
                portion = s.recv(1000)
                assert portion, said
                said += portion
            assert said.endswith(error)
            s.close()
