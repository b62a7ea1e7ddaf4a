"""Many connections, and where they live."""

import random
import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import redis

from conftest import BINARY, Server, wait_for

only_ringfort = pytest.mark.skipif(Path(BINARY).name != "ringfort", reason="speaks of Ringfort's cores")


@only_ringfort
@pytest.mark.parametrize("count", [50, 1000])
def test_connections_are_spread_evenly_over_four_cores(tmp_path, count):
    cores = 4  # on fewer CPUs they share, unpinned
    server = Server(tmp_path, cores=cores)
    try:
        held = [server.raw() for _ in range(count)]
        for s in held:
            s.sendall(b"PING\r\n")
        assert all(s.recv(16) == b"+PONG\r\n" for s in held)
        held[0].sendall(b"CLIENT LIST\r\n")
        lines = b""
        while lines.count(b"\n") < count + 2:  # with the length before and the end behind
            lines += held[0].recv(1 << 16)
        homes = Counter(re.findall(rb" io-thread=(\d+)", lines))
        assert homes.total() == count and len(homes) == cores, homes
        assert max(homes.values()) - min(homes.values()) <= 1, homes
        for s in held:
            s.close()
    finally:
        server.stop()


#: Adds up under a key that only the script knows, which needs all shards, and returns what it was sent.
SUM = "redis.call('INCRBY', 'sum:' .. ARGV[1], #ARGV[2]) return ARGV[2]"


def call_scripts(r, name, rounds, rng, sent):
    """Pipelines of a script and of commands that need one shard, of all sizes: every reply is as it must be."""
    for _ in range(rounds):
        pipe, expected = r.pipeline(transaction=rng.random() < 0.2), []
        for _ in range(rng.choice([1, 1, 2, 30])):
            text = "x" * rng.choice([1, 100, 70_000])
            pipe.eval(SUM, 0, name, text)
            pipe.append(f"log:{name}", "y")
            sent[name] += len(text)
            sent[f"log:{name}"] += 1
            expected += [text, sent[f"log:{name}"]]
        assert pipe.execute() == expected


def test_clients_that_need_all_shards_gather(tmp_path):
    """They move while they talk, and nothing is lost, doubled or out of order; who changes its habits moves back."""
    server = Server(tmp_path, cores=2)
    options = {"decode_responses": True, "max_connections": 1, "protocol": 2}
    clients = [server.client(client_name=f"c{number}", **options) for number in range(6)]
    sent, failures = Counter(), []

    def work(number):
        try:
            call_scripts(clients[number], f"c{number}", 40, random.Random(number), sent)
        except Exception as error:
            failures.append(error)

    def homes():
        cores = {line["name"]: line["io-thread"] for line in observer.client_list()}
        return Counter(cores[f"c{number}"] for number in range(6))

    try:
        observer = server.client(**options)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        [thread.start() for thread in threads]
        for _ in range(100):
            # Who comes and is killed meanwhile is gone, wherever it went.
            victim = server.client(retry=None, single_connection_client=True, **options)
            number = victim.client_id()
            [victim.eval(SUM, 0, "none", "") for _ in range(random.randrange(60, 70))]
            assert observer.client_kill_filter(_id=number) == 1
            with pytest.raises(redis.ConnectionError):
                [victim.eval(SUM, 0, "none", "") for _ in range(2)]
        [thread.join() for thread in threads]
        assert not failures, failures
        for number in range(6):
            assert int(observer.get(f"sum:c{number}")) == sent[f"c{number}"]
            assert observer.strlen(f"log:c{number}") == sent[f"log:c{number}"]
        if Path(BINARY).name == "ringfort":
            assert len(homes()) == 1
            for _ in range(600):
                [client.get("k") for client in clients]
            assert len(homes()) == 2
    finally:
        assert server.stop() == 0


def test_connections_come_and_go(server):
    for _ in range(20):
        held = [server.raw() for _ in range(50)]
        for s in held:
            s.sendall(b"SET k v\r\nGET k\r\n")
        for s in held[::2]:
            s.close()  # some without reading
        for s in held[1::2]:
            got = b""
            while len(got) < 12:
                got += s.recv(64)
            assert got == b"+OK\r\n$1\r\nv\r\n"
            s.close()


def test_maxclients(tmp_path):
    server = Server(tmp_path, "--maxclients", "10")
    try:
        held = [server.raw() for _ in range(10)]
        for s in held:
            s.sendall(b"PING\r\n")
            assert s.recv(16) == b"+PONG\r\n"
        with server.raw() as one_more:
            one_more.sendall(b"PING\r\n")
            assert one_more.recv(128) == b"-ERR max number of clients reached\r\n"
        for s in held:
            s.close()
    finally:
        server.stop()


def test_replies_of_a_pipeline_leave_together(server, r):
    """Whatever shards its commands go to, in whatever order; but they wait for a few milliseconds only, on a busy machine, too."""
    together = 0
    with server.raw() as s:
        for count in range(1, 41):
            before = r.info("stats")["total_writes_processed"]
            s.sendall(b"".join(b"PING\r\nEXISTS key:%d:%d\r\n" % (count, n) for n in range(8)))
            got = b""
            while len(got) < 8 * len(b"+PONG\r\n:0\r\n"):
                got += s.recv(4096)
            assert got == b"+PONG\r\n:0\r\n" * 8
            # The reply to the first INFO, and the pipeline's.
            together += r.info("stats")["total_writes_processed"] - before == 2
    assert together >= 30


def test_what_was_answered_leaves_although_a_script_hangs(tmp_path):
    server = Server(tmp_path, "--busy-reply-threshold", "50")
    killer = server.client()
    for key in (b"a", b"b", b"c", b"d"):
        with server.raw() as s:
            s.sendall(b"PING\r\nEVAL 'while true do end' 1 %s\r\nPING\r\n" % key)
            assert s.recv(100) == b"+PONG\r\n"
            assert killer.script_kill()
            assert s.recv(100).startswith(b"-ERR Script killed by user")
    killer.close()
    assert server.stop() == 0

def test_what_a_client_said_before_it_hung_up_is_done_and_answered(server, r):
    """It closes its half of the connection right behind its last command, as `printf … | nc -N` does."""
    r.flushall()
    with server.raw() as s:
        s.sendall(b"".join(b"SET half:%d v\r\nINCR count\r\nGET half:%d\r\n" % (n, n) for n in range(200)))
        s.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    assert got == b"".join(b"+OK\r\n:%d\r\n$1\r\nv\r\n" % (n + 1) for n in range(200))


def test_a_client_that_reads_no_replies_is_obeyed(server, r):
    for attempt in range(20):
        with server.raw() as s:
            s.sendall(b"".join(b"SET forget:%d:%d v\r\n" % (attempt, n) for n in range(100)))
    wait_for(lambda: len(r.keys("forget:*")) >= 2000)
    assert len(r.keys("forget:*")) == 2000
