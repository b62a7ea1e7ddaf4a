"""Replies that do not fit the socket at once: clients that read slowly, late, or not at all."""

import socket
import threading
import time

import pytest

from conftest import Server, is_quick, wait_for

MB = 1 << 20


@pytest.fixture(scope="module", params=[1, 2], ids=["one core", "two cores"])
def server(request, tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("slow"), cores=request.param)
    yield s
    assert s.alive(), f"the server died: {s.log.read_text(errors='replace')[-2000:]}"
    assert s.stop() == 0


def slow_socket(server, timeout=20):
    """A connection whose receive buffer is small, so that the server's sends fall short."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(timeout)
    s.connect(("127.0.0.1", server.port))
    return s


def read_exactly(s, count, portion=MB):
    got = bytearray()
    while len(got) < count:
        part = s.recv(min(portion, count - len(got)))
        assert part, f"closed after {len(got)} of {count} bytes"
        got += part
    return bytes(got)


def value(tag, size):
    return (b"%06d." % tag) * (size // 7)


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [700, 7_000, 63_000, 70_000, 1_400_000])
def test_a_pipeline_read_late_arrives_whole_and_in_order(server, size):
    """Small replies pile up until the socket is full, then all of them are still to come, in order."""
    count = min(20_000, 14_000_000 // size)
    with server.client() as c:
        for k in range(10):
            c.set(f"late:{k}", value(k, size))
    expected = [bulk(value(k, size)) for k in range(10)]
    s = slow_socket(server)
    writer = threading.Thread(
        target=lambda: [s.sendall(b"GET late:%d\r\n" % (i % 10)) for i in range(count)], daemon=True
    )
    writer.start()
    time.sleep(0.3)
    for i in range(count):
        want = expected[i % 10]
        assert read_exactly(s, len(want)) == want, i
    writer.join(10)
    s.sendall(b"PING\r\n")
    assert read_exactly(s, 7) == b"+PONG\r\n"
    s.close()


def test_one_who_reads_a_little_at_a_time_delays_nobody(server):
    with server.client() as c:
        c.set("trickle", value(1, 2 * MB))
        want = bulk(value(1, 2 * MB))
        s = slow_socket(server)
        s.sendall(b"GET trickle\r\n" * 2)
        got = b""
        for _ in range(40):
            got += s.recv(3000)
            assert is_quick(c.ping, 0.5)
        rest = read_exactly(s, 2 * len(want) - len(got))
        assert got + rest == want * 2
        s.close()


@pytest.mark.parametrize("size", [70, 60_000, 5 * MB])
def test_quit_leaves_after_the_replies(server, size):
    with server.client() as c:
        c.set("quit", value(2, size))
    s = slow_socket(server)
    s.sendall(b"GET quit\r\n" * 3 + b"QUIT\r\n")
    time.sleep(0.2)
    want = bulk(value(2, size)) * 3 + b"+OK\r\n"
    assert read_exactly(s, len(want)) == want
    assert s.recv(1) == b"", "and then it is closed"
    s.close()


def test_quit_alone_closes_at_once(server):
    """Nothing else happens on the core: it must not sleep over the close."""
    for _ in range(50):
        with server.raw(timeout=3) as s:
            s.sendall(b"QUIT\r\n")
            assert read_exactly(s, 5) == b"+OK\r\n"
            assert s.recv(1) == b""


def test_an_error_that_ends_the_connection_is_told_at_once(server):
    for _ in range(50):
        with server.raw(timeout=3) as s:
            s.sendall(b"*1\r\nbad\r\n")
            got = b""
            while part := s.recv(100):
                got += part
            assert got.startswith(b"-ERR Protocol error"), got


@pytest.mark.parametrize("size", [60_000, 5 * MB])
def test_kill_with_output_pending(server, size):
    with server.client() as c:
        c.set("kill", value(3, size))
        victim = slow_socket(server)
        victim.sendall(b"CLIENT ID\r\n")
        number = int(victim.recv(64)[1:])
        victim.sendall(b"GET kill\r\n" * 200)
        time.sleep(0.2)
        assert c.execute_command("CLIENT", "KILL", "ID", number) == 1
        wait_for(lambda: str(number) not in [one["id"] for one in c.client_list()])
        with pytest.raises((ConnectionError, AssertionError)):
            read_exactly(victim, 201 * size)
        victim.close()


def test_what_was_sent_is_counted_when_the_server_rests(server):
    """A connection whose replies left owes nothing, although nothing happened on its core since."""
    idle = [server.raw() for _ in range(4)]
    with server.client() as c:
        c.set("count", value(4, 7_000))
        ports = {str(s.getsockname()[1]) for s in idle}
        for rest_s in (0.05, 0.5, 2):  # a busy machine may take the core its CPU right behind a send
            for s in idle:
                s.sendall(b"GET count\r\n")
                read_exactly(s, len(bulk(value(4, 7_000))))
            time.sleep(rest_s)
            listed = [one for one in c.client_list() if one["addr"].rsplit(":", 1)[1] in ports]
            assert len(listed) == 4
            if all((one["oll"], one["omem"]) == ("0", "0") for one in listed):
                break
        else:
            pytest.fail(str(listed))
    for s in idle:
        s.close()


def test_what_was_not_sent_is_counted_too(server):
    with server.client() as c:
        c.set("owed", value(5, 60_000))
        s = slow_socket(server)
        s.sendall(b"CLIENT ID\r\n")
        number = s.recv(64)[1:-2].decode()
        s.sendall(b"GET owed\r\n" * 100)
        mine = lambda: next(one for one in c.client_list() if one["id"] == number)
        wait_for(lambda: int(mine()["omem"]) > 60_000)
        want = bulk(value(5, 60_000))
        assert read_exactly(s, 100 * len(want)) == want * 100
        wait_for(lambda: (mine()["oll"], mine()["omem"]) == ("0", "0"))
        s.close()


def test_many_at_once(server):
    """More connections than completions of a turn, each with a pipeline in flight, read in turns."""
    held = [server.raw() for _ in range(400)]
    for n, s in enumerate(held):
        s.sendall(b"ECHO %06d\r\n" % n * 50)
    for _ in range(3):
        for n, s in enumerate(held):
            assert read_exactly(s, 50 * 12) == b"$6\r\n%06d\r\n" % n * 50
            s.sendall(b"ECHO %06d\r\n" % n * 50)
    for s in held:
        s.close()


@pytest.mark.parametrize("cores", [1, 2])
def test_shutdown_with_output_pending(tmp_path, cores):
    ends = (seconds_to_end(tmp_path, cores) for _ in range(5))
    assert any(seconds < 2 for seconds in ends), "who does not read does not hold it up"


def seconds_to_end(tmp_path, cores):
    """How long a server takes to shut down that owes replies to clients who do not read."""
    server = Server(tmp_path, cores=cores)
    try:
        with server.client() as c:
            c.set("last", value(6, 5 * MB))
        stuck = [slow_socket(server) for _ in range(4)]
        for s in stuck:
            s.sendall(b"GET last\r\n" * 3 + b"PING\r\n" * 100)
        time.sleep(0.2)
        start = time.monotonic()
        with server.raw() as asker:
            asker.sendall(b"SHUTDOWN NOSAVE\r\n")
            assert asker.recv(64) == b"", "the only reply is the end"
        assert server.process.wait(20) == 0
        took = time.monotonic() - start
        for s in stuck:
            s.close()
        return took
    finally:
        server.stop()
