"""Clients that wait, as redis-py has them: time-outs, CLIENT UNBLOCK, clients that leave, queues, ten thousand waiting at once."""

import resource
import socket
import threading
import time

import pytest
import redis
from conftest import Server, wait_for


@pytest.fixture(scope="module", params=[1, 3], ids=["one core", "three cores"])
def server(request, tmp_path_factory):
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    s = Server(tmp_path_factory.mktemp("server"), "--maxclients", "10500", cores=request.param)
    yield s
    assert s.alive(), f"the server died: {s.log.read_text(errors='replace')[-2000:]}"
    assert s.stop() == 0, "SIGTERM ends the server cleanly"
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def in_background(act, *args):
    """A thread, and the list that gets what `act` returns or raises."""
    found = []

    def run():
        try:
            found.append(act(*args))
        except redis.RedisError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def waiting_clients(r):
    return [c for c in r.client_list() if "b" in c["flags"]]


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.2])
def test_time_runs_out_and_never_early(server, r, seconds):
    for command in (
        ["BLPOP", "a", "b", "c", seconds],
        ["BLMOVE", "a", "b", "LEFT", "LEFT", seconds],
        ["BZMPOP", seconds, "2", "y", "z", "MIN"],
    ):
        took = []
        for _ in range(5):
            began = time.monotonic()
            assert r.execute_command(*command) is None
            took.append(time.monotonic() - began)
        # A busy machine may keep anybody waiting, but not each time.
        assert seconds <= min(took) < seconds + 0.25, command
    assert r.info("clients")["blocked_clients"] == 0
    assert r.info("clients")["total_blocking_keys"] == 0


@pytest.mark.parametrize("error", [False, True])
def test_unblock(server, r, error):
    for name in ("a", "b", "c", "d"):
        with server.client(decode_responses=True, single_connection_client=True) as waiting:
            number = waiting.client_id()
            thread, found = in_background(waiting.blpop, name, 0)
            wait_for(lambda: waiting_clients(r))
            assert r.info("clients")["total_blocking_keys"] == 1
            assert r.client_unblock(number, error=error) == 1
            assert r.client_unblock(number, error=error) == 0
            thread.join(10)
            if error:
                assert str(found[0]) == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
            else:
                assert found == [None]
            assert r.rpush(name, "v") == 1 and r.llen(name) == 1


def test_who_left_or_was_killed_gets_nothing(server, r):
    for name in ("a", "b", "c", "d"):
        with server.raw() as leaving:
            leaving.sendall(b"BLPOP %s other 0\r\n" % name.encode())
            wait_for(lambda: waiting_clients(r))
        wait_for(lambda: not waiting_clients(r))
        with server.raw() as killed:
            killed.sendall(b"BLPOP %s 0\r\n" % name.encode())
            wait_for(lambda: waiting_clients(r))
            r.client_kill_filter(_id=waiting_clients(r)[0]["id"])
            assert r.rpush(name, "v") == 1
            assert r.llen(name) == 1
            assert killed.recv(100) == b""


def test_commands_without_keys_while_elements_are_to_move(server, r):
    moving = [server.client(single_connection_client=True) for _ in range(4)]
    names = ["a", "b", "c", "d", "e"]
    moves = [in_background(c.blmove, x, y, 0) for c, x, y in zip(moving, names, names[1:])]
    wait_for(lambda: len(waiting_clients(r)) == 4)
    for _ in range(6):
        with server.client(socket_timeout=5) as other:
            assert other.ping() and other.set("x", 1) and other.publish("channel", "x") == 0
            other.client_setname("x")
            with other.pipeline(transaction=True) as pipe:
                pipe.set("y", 1).set("z", 1).ping()
                assert pipe.execute() == [True, True, True]
    with r.pipeline(transaction=False) as pipe:
        pipe.rpush("a", "v").llen("a").llen("b").llen("e")
        assert pipe.execute() == [1, 0, 0, 1]
    for thread, found in moves:
        thread.join(10)
        assert found == [b"v"]


def test_a_silenced_command_waits_in_silence(server, r):
    with server.raw() as s:
        s.sendall(b"CLIENT REPLY SKIP\r\nBLPOP k 0\r\nPING\r\n")
        wait_for(lambda: waiting_clients(r))
        assert r.rpush("k", "v") == 1
        assert s.recv(100) == b"+PONG\r\n"


def test_a_hundred_producers_and_a_hundred_consumers(server, r):
    each, queues = 50, [f"queue:{n}" for n in range(8)]
    taken, lock = [], threading.Lock()

    def produce(n):
        with server.client(single_connection_client=True) as client:
            for i in range(each):
                client.lpush(queues[(n + i) % len(queues)], f"{n}:{i}")

    def consume(n):
        mine = queues[n % 8 :] + queues[: n % 8]
        with server.client(single_connection_client=True) as client:
            while True:
                key, element = client.brpop(mine, 0)
                if element == b"end":
                    return
                with lock:
                    taken.append(element)

    consumers = [in_background(consume, n) for n in range(100)]
    producers = [in_background(produce, n) for n in range(100)]
    for thread, _ in producers:
        thread.join(60)
    wait_for(lambda: len(taken) == 100 * each)
    for n in range(100):
        r.lpush(queues[n % 8], "end")
    for thread, found in consumers:
        thread.join(30)
        assert found == [None]
    assert sorted(taken) == sorted(f"{n}:{i}".encode() for n in range(100) for i in range(each))
    assert r.exists(*queues) == 0


def test_ten_thousand_clients_wait_for_ten_thousand_keys(server, r):
    count = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + 200:
        pytest.skip("the limit of open files is too low")
    waiting = []
    for n in range(count):
        s = server.raw()
        s.sendall(b"BLPOP k:%d 0\r\n" % n)
        waiting.append(s)
    wait_for(lambda: r.info("clients")["blocked_clients"] == count)
    assert r.info("clients")["total_blocking_keys"] == count
    for first in range(0, count, 1000):
        with r.pipeline(transaction=False) as pipe:
            for n in range(first, first + 1000):
                pipe.rpush(f"k:{n}", n)
            assert pipe.execute() == [1] * 1000
    for n, s in enumerate(waiting):
        key, element = b"k:%d" % n, b"%d" % n
        wanted = b"*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(element), element)
        assert s.recv(len(wanted), socket.MSG_WAITALL) == wanted
        s.close()
    assert r.dbsize() == 0
    assert r.info("clients")["total_blocking_keys"] == 0
