"""Bad input by raw socket: an error or a closed connection, bounded memory, and nobody else notices.

Each test keeps a bystander that works all the while.
"""

import random
import socket
import time

import pytest
from conftest import is_quick

MB = 1 << 20


@pytest.fixture
def bystander(server):
    c = server.client()
    c.set("bystander", "fine")
    before = server.resident_bytes()
    yield c
    assert c.get("bystander") == b"fine"
    assert server.alive()
    end = time.monotonic() + 5  # what was in flight may take a moment to go
    while (grown := server.resident_bytes() - before) >= 160 * MB and time.monotonic() < end:
        time.sleep(0.1)
    assert grown < 160 * MB, f"memory grew by {grown / MB:.0f} MB"
    c.close()


def until_closed(s, limit=1 << 16):
    """What the server says before it closes the connection, which it must."""
    got = b""
    try:
        while len(got) < limit:
            more = s.recv(4096)
            if not more:
                return got
            got += more
    except ConnectionError:
        return got
    except TimeoutError:
        pytest.fail(f"the connection is still open after {got[:200]!r}")
    return got


def test_who_wants_no_replies_is_not_told(server):
    """With nothing to send the connection stays, but nobody listens to it any more; what was to be sent is, and then it closes."""
    assert answer_to(server, b"PING\r\nCLIENT REPLY OFF\r\n*x\r\nSET deaf 1\r\n") == b"+PONG\r\n"
    for quiet in (b"OFF", b"SKIP"):
        with server.raw(timeout=0.2) as s, server.client(decode_responses=True) as r:
            s.sendall(b"CLIENT REPLY " + quiet + b"\r\n*x\r\nSET deaf 1\r\n")
            for more in (b"SET deaf 1\r\n", b"CLIENT REPLY ON\r\nPING\r\n"):
                with pytest.raises(TimeoutError):
                    s.recv(1)
                s.sendall(more)
            assert r.get("deaf") is None
            assert [client["flags"] for client in r.client_list() if client["cmd"] == "client|reply"] == ["c"]
            assert r.client_kill_filter(addr="%s:%d" % s.getsockname()) == 1
            assert s.recv(1) == b""


def answer_to(server, data):
    with server.raw(timeout=5) as s:
        try:
            s.sendall(data)
        except ConnectionError:
            pass
        return until_closed(s)


@pytest.mark.parametrize(
    "data, error",
    [
        (b"*abc\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", b"-ERR Protocol error: expected '$', got 'f'\r\n"),
        (b"*1\r\n:5\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
        (b"*1\r\n$abc\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$-5\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b'set "unbalanced\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    ],
)
def test_malformed_resp(server, bystander, data, error):
    assert answer_to(server, data) == error


@pytest.mark.parametrize(
    "data, error",
    [
        (b"*1\r\n$2000000000\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$99999999999999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$9223372036854775807\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*9223372036854775807\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*20000000000000000000\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    ],
)
def test_huge_lengths(server, bystander, data, error):
    assert answer_to(server, data) == error


def test_good_commands_before_bad_ones_are_answered(server, bystander):
    got = answer_to(server, b"PING\r\n*1\r\n$4\r\nPING\r\n*x\r\n")
    assert got == b"+PONG\r\n+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"


def test_empty_arrays_and_lines_are_nothing(server, bystander):
    with server.raw() as s:
        s.sendall(b"*0\r\n\r\n*-1\r\n\n*1\r\n$4\r\nPING\r\n")
        assert s.recv(64) == b"+PONG\r\n"


def test_an_endless_inline_line(server, bystander):
    with server.raw(timeout=5) as s:
        try:
            for _ in range(400):
                s.sendall(b"a" * 4096)
        except ConnectionError:
            return  # closed while we were still sending
        got = until_closed(s)
        assert got in (b"", b"-ERR Protocol error: too big inline request\r\n")


def test_an_endless_length_line(server, bystander):
    got = answer_to(server, b"*" + b"1" * 100_000)
    assert got in (b"", b"-ERR Protocol error: too big mbulk count string\r\n")
    got = answer_to(server, b"*1\r\n$" + b"1" * 100_000)
    assert got in (b"", b"-ERR Protocol error: too big bulk count string\r\n")


def test_a_million_element_array_header(server, bystander):
    held = []
    for _ in range(100):
        s = server.raw()
        s.sendall(b"*1000000\r\n")
        held.append(s)
    time.sleep(0.2)
    assert bystander.ping()
    for s in held:
        s.close()
    # A million arguments are fine if they come.
    with server.raw(timeout=30) as s:
        s.sendall(b"*1000001\r\n$3\r\nDEL\r\n" + b"$1\r\nx\r\n" * 1_000_000)
        assert s.recv(64) == b":0\r\n"


def test_announced_values_cost_nothing_until_they_come(server, bystander):
    held = []
    for _ in range(100):
        s = server.raw()
        s.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nbeginning")
        held.append(s)
    time.sleep(0.2)
    assert bystander.ping()
    for s in held:
        s.close()


def test_half_a_command_then_silence(server, bystander):
    whole = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$5\r\nvalue\r\n"
    pings = lambda: [bystander.ping() for _ in range(200)]
    began = time.monotonic()
    assert all(pings())
    alone = time.monotonic() - began
    held = []
    for cut in range(1, len(whole)):
        s = server.raw()
        s.sendall(whole[:cut])
        held.append((s, whole[cut:]))
    assert is_quick(pings, 5 + 5 * alone)
    assert bystander.exists("half") == 0
    for s, rest in held:  # and none of them was confused
        s.sendall(rest)
        assert s.recv(16) == b"+OK\r\n"
        s.close()


def test_one_byte_at_a_time(server, bystander):
    with server.raw() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nPING\r\n":
            s.sendall(bytes([byte]))
            time.sleep(0.001)
        got = b""
        while len(got) < 18:
            got += s.recv(64)
        assert got == b"$5\r\nhello\r\n+PONG\r\n"


def test_a_client_that_never_reads(server, bystander):
    """It asks for far more than it takes; what waits for it must not grow without end."""
    bystander.set("big", b"x" * MB)
    base = server.resident_bytes()
    with server.raw() as s:
        s.setblocking(False)
        request = b"GET big\r\n" * 1000
        sent, end = 0, time.monotonic() + 3
        while time.monotonic() < end and sent < 4000 * len(request):
            try:
                sent += s.send(request)
            except BlockingIOError:
                time.sleep(0.01)
            except ConnectionError:
                break
            assert bystander.ping()
            grown = server.resident_bytes() - base
            assert grown < 128 * MB, f"{grown / MB:.0f} MB wait for one client"
    bystander.delete("big")


def test_a_client_that_leaves_in_the_middle(server, bystander):
    bystander.set("big", b"x" * MB)
    for _ in range(50):
        s = server.raw()
        s.sendall(b"GET big\r\n" * 20 + b"*3\r\n$3\r\nSET\r\n$1\r\n")
        s.close()
    assert bystander.ping()
    bystander.delete("big")


def test_random_bytes(server, bystander):
    rng = random.Random(7)
    pieces = [b"*", b"$", b"\r\n", b"1", b"3", b"-1", b"SET", b"GET", b"\x00", b'"', b"'", b" ", b"\n", b"99999999"]
    for _ in range(300):
        data = b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 60)))
        with server.raw() as s:
            s.sendall(data)
            if rng.random() < 0.5:
                s.settimeout(0.002)
                try:
                    s.recv(4096)
                except (TimeoutError, ConnectionError):
                    pass
