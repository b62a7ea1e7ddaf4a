"""Logs that are broken, folders that cannot be, disks that are full: what is said, and what is kept.

What a cut at each single byte does is looked into with AOF_ALL_CUTS=1.
"""

import os
import resource
import shutil
import subprocess
import time

import pytest
import redis

from conftest import Server, wait_for
from crash import commands_of
from test_aof import (
    RINGFORT,
    folder_of,
    is_rewriting,
    kill,
    logged,
    manifest,
    no_patience,
    rewrite,
    write_manifest,
)

ALL_CUTS = bool(os.environ.get("AOF_ALL_CUTS"))


def assert_refused(server, *sentences):
    assert server.process.wait(20) == 1, server.text()
    for sentence in sentences:
        assert sentence in server.text(), server.text()


# ---- what is broken ----


def small_log(tmp_path):
    """A few commands, the last ones a transaction and a set; the log's path, its bytes, its commands."""
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.set("a", 1)
        r.rpush("l", 1, 2, 3)
        r.pipeline(transaction=True).set("b", 2).incr("a").execute()
        r.set("c", "last")
        ours.stop()
    path = folder_of(tmp_path) / manifest(tmp_path)["i"][-1]
    log = path.read_bytes()
    return path, log, list(commands_of(log))


def state_after(commands):
    """The data after whole commands, where a transaction counts when it is complete."""
    names = [words[0].upper() for _, _, words in commands]
    if b"MULTI" in names and b"EXEC" not in names:
        names = names[: names.index(b"MULTI")]
    data = {}
    if b"SET" in names:
        data[b"a"] = b"1"
    if b"EXEC" in names:
        data |= {b"a": b"2", b"b": b"2"}
    if names[-1:] == [b"SET"] and b"EXEC" in names:
        data[b"c"] = b"last"
    return data, b"RPUSH" in names


def test_a_tail_that_was_cut(tmp_path):
    path, log, commands = small_log(tmp_path)
    boundaries = {end for _, end, _ in commands}
    begin = next(begin for begin, _, words in commands if words[0].upper() == b"MULTI")
    lengths = range(len(log)) if ALL_CUTS else [*range(begin, len(log), 17), *boundaries]
    for number, length in enumerate(sorted(lengths)):
        path.write_bytes(log[:length])
        whole = [command for command in commands if command[1] <= length]
        data, has_list = state_after(whole)
        complete = length in boundaries | {0} and sum(words[0] in (b"MULTI", b"EXEC") for _, _, words in whole) % 2 == 0
        if number % 4 == 0 and not complete:
            with logged(tmp_path, "--aof-load-truncated", "no") as ours:
                assert_refused(ours, "Unexpected end of file reading the append only file appendonly.aof.1.incr.aof. You can: ")
            assert path.read_bytes() == log[:length]
        with logged(tmp_path, cores=1 + number % 3) as ours:
            r = ours.ready()
            assert {key: r.get(key) for key in (b"a", b"b", b"c") if r.exists(key)} == data, length
            assert r.exists("l") == has_list
            reasons = "Unexpected end of file within a command", "Reached EOF before reading EXEC for MULTI"
            assert complete or not RINGFORT or any(text in ours.text() for text in reasons), length
            assert complete or "!!! Warning: short read while loading the AOF file" in ours.text(), length
            assert complete or "loaded anyway because aof-load-truncated is enabled" in ours.text(), length
            r.config_set("appendfsync", "always")
            r.set("d", length)
            kill(ours)
        # What was torn is gone, and the log goes on from there. (Redis keeps a MULTI that was followed by half a command,
        # and what comes behind it is lost in the next start.)
        if not RINGFORT and not complete and length not in boundaries and len(data) == 1:
            continue
        with logged(tmp_path) as ours:
            r = ours.ready()
            assert {key: r.get(key) for key in (b"a", b"b", b"c", b"d") if r.exists(key)} == data | {b"d": b"%d" % length}
            ours.stop()


def test_a_torn_transaction_says_so(tmp_path):
    path, log, commands = small_log(tmp_path)
    begin = next(begin for begin, _, words in commands if words[0].upper() == b"EXEC")
    path.write_bytes(log[:begin])
    with logged(tmp_path) as ours:
        ours.ready()
        assert "Revert incomplete MULTI/EXEC transaction in AOF file appendonly.aof.1.incr.aof" in ours.text()


def test_bytes_that_changed(tmp_path):
    path, log, commands = small_log(tmp_path)
    start = commands[2][0]
    for at, byte in [(start, b"+"), (start + 1, b"x"), (start + 4, b"*"), (log.index(b"INCR"), b"Q")]:
        path.write_bytes(log[:at] + byte + log[at + 1 :])
        with logged(tmp_path) as ours:
            file = "reading the append only file appendonly.aof.1.incr.aof"
            advice = "make a backup of your AOF file, then use ./"
            assert_refused(ours, *(["nknown command 'QNCRBY'", file] if byte == b"Q" else [f"Bad file format {file}: {advice}"]))


def test_a_corrupt_tail(tmp_path):
    """What is no command is left out with what comes behind it, if all of that is no more than may be left out."""
    path, log, commands = small_log(tmp_path)
    multi, exec_ = (next(c for c in commands if c[2][0].upper() == word) for word in (b"MULTI", b"EXEC"))
    cases = [(commands[-1][0], commands[-1][0]), (multi[1], multi[0]), (exec_[0] + 1, multi[0])]
    for number, (at, good) in enumerate(cases):
        spoilt = log[:at] + b"?" + log[at + 1 :]
        path.write_bytes(spoilt)
        for size in (0, len(log) - good - 1):
            with logged(tmp_path, "--aof-load-corrupt-tail-max-size", str(size)) as ours:
                assert_refused(ours, "Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup")
            assert path.read_bytes() == spoilt
        size = len(log) - good
        with logged(tmp_path, "--aof-load-corrupt-tail-max-size", str(size), cores=1 + number) as ours:
            r = ours.ready()
            data, has_list = state_after([command for command in commands if command[1] <= good])
            assert {key: r.get(key) for key in (b"a", b"b", b"c") if r.exists(key)} == data
            assert r.exists("l") == has_list
            assert f"!!! Truncating the AOF appendonly.aof.1.incr.aof at offset {good} !!!" in ours.text()
            assert "loaded anyway because its corrupt tail" in ours.text()
            assert "Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup" in ours.text()
            r.config_set("appendfsync", "always")
            r.set("d", at)
            kill(ours)
        with logged(tmp_path, "--aof-load-truncated", "no") as ours:
            r = ours.ready()
            assert {key: r.get(key) for key in (b"a", b"b", b"c", b"d") if r.exists(key)} == data | {b"d": b"%d" % at}
            ours.stop()


def test_a_corrupt_tail_is_the_end_of_the_last_file(tmp_path):
    path, log, _ = small_log(tmp_path)
    (folder_of(tmp_path) / "appendonly.aof.2.incr.aof").write_bytes(log)
    path.write_bytes(log + b"?")
    with open(folder_of(tmp_path) / "appendonly.aof.manifest", "a") as names:
        names.write("file appendonly.aof.2.incr.aof seq 2 type i\n")
    with logged(tmp_path, "--aof-load-corrupt-tail-max-size", "1mb") as ours:
        assert_refused(ours, "Bad file format reading the append only file appendonly.aof.1.incr.aof")
    assert path.read_bytes() == log + b"?"


@pytest.mark.parametrize("tail", [b"*2\r\n$", b"?"])
def test_a_base_that_ends_the_log_is_cut_where_it_is_whole(tmp_path, tail):
    """It was left as it was, and the next start refused a broken file that is not the last one."""
    log = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
    (tmp_path / "appendonly.aof").write_bytes(log + tail)
    options = ("--aof-load-corrupt-tail-max-size", "1") if tail == b"?" else ()
    with logged(tmp_path, *options) as ours:
        r = ours.ready()
        assert r.get("a") == b"1" and r.info("persistence")["aof_current_size"] == len(log)
        r.incr("a")
        ours.stop()
    assert (folder_of(tmp_path) / "appendonly.aof").read_bytes() == log
    with logged(tmp_path) as ours:
        assert ours.ready().get("a") == b"2"


def test_a_file_that_is_cut_before_the_last_is_refused(tmp_path):
    small_log(tmp_path)
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.set("more", 1)
        rewrite(r)
        r.set("last", 1)
        ours.stop()
    base = folder_of(tmp_path) / manifest(tmp_path)["b"][0]
    base.write_bytes(base.read_bytes()[:-9])
    with logged(tmp_path) as ours:
        assert_refused(ours)
    assert "last" not in [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "Found an empty AOF manifest"),
        ("file appendonly.aof.1.base.rdb seq 1 type b\nfile missing.incr.aof seq 1 type i\n", "Unable to obtain the AOF file missing.incr.aof length. stat: No such file or directory"),
        ("file missing.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n", "Unable to obtain the AOF file missing.base.rdb length. stat: No such file or directory"),
        ("file appendonly.aof.1.base.rdb seq 1 type x\n", "Unknown AOF file type"),
        ("file appendonly.aof.1.base.rdb sequence\n", "Invalid AOF manifest file format"),
        ("\n", "Invalid AOF manifest file format"),
        ("file ../appendonly.aof.1.base.rdb seq 1 type b\n", "File can't be a path, just a filename"),
        ("file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.base.rdb seq 1 type b\n", "Found duplicate base file information"),
        ("file a.2.incr.aof seq 2 type i\nfile a.1.incr.aof seq 1 type i\n", "Found a non-monotonic sequence number"),
    ],
)
def test_a_manifest_that_is_wrong(tmp_path, text, sentence):
    small_log(tmp_path)
    write_manifest(tmp_path, text)
    before = sorted(path.name for path in folder_of(tmp_path).iterdir())
    with logged(tmp_path) as ours:
        assert_refused(ours, sentence)
    assert sorted(path.name for path in folder_of(tmp_path).iterdir()) == before


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "appendonlydir").write_text("a file")
    with logged(tmp_path) as ours:
        assert_refused(ours, "Can't open or create append-only dir appendonlydir: Not a directory")
    with logged(tmp_path / "missing", logs=tmp_path) as ours:
        assert_refused(ours, "No such file or directory")


def test_a_folder_that_vanishes(tmp_path):
    """A rewrite that cannot be says so; the data stays, and the next one that can be repairs all."""
    with logged(tmp_path) as ours:
        r = ours.ready()
        r.set("a", 1)
        shutil.rmtree(folder_of(tmp_path))
        folder_of(tmp_path).write_text("a file")
        try:
            r.bgrewriteaof()
        except redis.ResponseError as error:
            assert "Can't execute an AOF background rewriting. Please check the server logs" in str(error)
        wait_for(lambda: r.info("persistence")["aof_last_bgrewrite_status"] == "err")
        assert "Not a directory" in ours.text()
        assert r.get("a") == b"1"
        folder_of(tmp_path).unlink()
        rewrite(r)
        r.set("b", 1)
        assert ours.stop() == 0
    with logged(tmp_path) as ours:
        assert sorted(ours.ready().keys()) == [b"a", b"b"]


# ---- a disk that is full ----


class Limit:
    """Files end at a size: what the kernel says is `File too large`."""

    def __init__(self, tmp_path, size):
        self.folder, self.size = tmp_path, size
        # Python ignores the signal that comes with it; so will the server.
        self.how = {"restore_signals": False}

    def fill(self, server):
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))

    def free(self, server):
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def end(self):
        pass


class Mount:
    """A small file system of its own: `No space left on device`."""

    def __init__(self, tmp_path, size):
        self.folder, self.how = tmp_path / "small", {"logs": tmp_path}
        self.folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", self.folder], capture_output=True)
        if done.returncode:
            pytest.skip("this process may not mount")
        self.ballast = self.folder / "ballast"
        self.size = size

    def fill(self, server):
        self.ballast.write_bytes(bytes(2**21 - self.size - 2**16))

    def free(self, server):
        self.ballast.unlink()

    def end(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


@pytest.fixture(params=[Limit, Mount])
def disk(request, tmp_path):
    disk = request.param(tmp_path, 200_000)
    yield disk
    disk.end()


def write_until_it_fails(r):
    """The keys that were acknowledged, and the error. What is written waits for a sync that is under way."""
    for n in range(3000):
        try:
            r.set(f"k{n}", "v" * 1000)
        except redis.RedisError as error:
            return n, error
        time.sleep(0.01 if n > 300 else 0)
    raise AssertionError("the disk never filled")


def test_a_full_disk_stops_writes_until_there_is_room(disk):
    with logged(disk.folder, "--auto-aof-rewrite-percentage", "0", **disk.how) as ours:
        r = ours.ready()
        client = no_patience(ours)
        disk.fill(ours)
        # The write that meets the error may be acknowledged: it is kept in memory until it can be written.
        count, error = write_until_it_fails(client)
        assert str(error).startswith("MISCONF Errors writing to the AOF file: "), error
        assert "AOF file" in ours.text()
        assert r.info("persistence")["aof_last_write_status"] == "err"
        assert r.get("k0") == b"v" * 1000
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.set("refused", 1)
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.ping()
        disk.free(ours)
        wait_for(lambda: r.info("persistence")["aof_last_write_status"] == "ok")
        assert client.set("after", 1)
        ours.stop()
    with logged(disk.folder, **disk.how) as ours:
        r = ours.ready()
        assert r.dbsize() == count + 1 and r.get("after") == b"1" and not r.exists("refused")


def test_a_log_that_fails_is_switched_off_and_keeps_nobody_from_writing(disk):
    with logged(disk.folder, "--auto-aof-rewrite-percentage", "0", **disk.how) as ours:
        ours.ready()
        client = no_patience(ours)
        for _ in range(3):
            disk.fill(ours)
            write_until_it_fails(client)
            assert client.config_set("appendonly", "no") and client.set("after", 1)
            disk.free(ours)
            assert client.config_set("appendonly", "yes") and client.set("after", 2)
            wait_for(lambda: not is_rewriting(client))
            client.flushall()
            client.bgrewriteaof()
            wait_for(lambda: not is_rewriting(client))


def test_a_full_disk_under_always_loses_nothing_acknowledged(disk):
    """Redis ends here. Waiting for the disk is as good: what waits is answered when there is room."""
    options = ["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
    resumed = set()
    with logged(disk.folder, *options, **disk.how) as ours:
        ours.ready()
        disk.fill(ours)
        count, error = write_until_it_fails(no_patience(ours, 1))
        # Redis cuts off what it wrote of the last command; what it then leaves is full all the same.
        disk.free(ours) if ours.process.poll() is None or isinstance(disk, Mount) else None
        if isinstance(error, redis.TimeoutError):
            client = no_patience(ours)
            wait_for(lambda: client.info("persistence")["aof_last_write_status"] == "ok")
            assert client.set("resumed", 1)
            resumed = {b"resumed"}
        else:
            assert ours.process.wait(5) == 1 and "Exiting" in ours.text(), error
        kill(ours)
    with logged(disk.folder, **disk.how) as ours:
        r = ours.ready()
        keys = set(r.keys())
        # The one that failed may or may not be there.
        assert keys - {b"k%d" % count} == {b"k%d" % n for n in range(count)} | resumed
        assert r.set("after", 1)


def test_files_of_a_log_that_is_off_are_nobodys_business(tmp_path):
    """As in Redis: a manifest may name files that are gone, as long as nobody wants to read them."""
    directory = tmp_path / "appendonlydir"
    directory.mkdir()
    (directory / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    server = Server(tmp_path)
    try:
        assert redis.Redis(port=server.port).ping()
    finally:
        server.stop()
