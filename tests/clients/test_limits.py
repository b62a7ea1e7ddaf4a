"""What clients may send, owe and take; and what is no client at all."""

import socket
import subprocess
import time

import pytest

from conftest import BINARY, Server, free_port

MB = 1 << 20


@pytest.fixture(scope="module", params=[1, 2], ids=["one core", "two cores"])
def server(request, tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("limits"), "--enable-debug-command", "yes", cores=request.param)
    yield s
    assert s.alive(), f"the server died: {s.log.read_text(errors='replace')[-2000:]}"
    assert s.stop() == 0


@pytest.fixture
def admin(server):
    with server.client() as c:
        c.config_set("maxmemory-clients", "0")
        yield c
        c.config_set("client-output-buffer-limit", "normal 0 0 0")
        c.config_set("maxmemory-clients", "0")
        c.config_set("client-query-buffer-limit", "1gb")


def is_closed(s, within_s=3):
    """Whether the server ends the connection in time; what it sends before is dropped."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        s.settimeout(max(end - time.monotonic(), 0.01))
        try:
            if not s.recv(MB):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    return False


def wait_until(condition, within_s=5):
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nset attacked 1\r\n",
        b"Host: foo\r\nset attacked 1\r\n",
        b"*2\r\n$4\r\npost\r\n$1\r\na\r\nset attacked 1\r\n",
        b"MULTI\r\nPOST a\r\nset attacked 1\r\n",
    ],
)
def test_a_browser_is_no_client(server, admin, request_bytes):
    with server.raw() as s:
        s.sendall(request_bytes)
        got = b""
        try:
            while part := s.recv(100):
                got += part
        except ConnectionError:
            pass
        assert got == b""
    assert admin.exists("attacked") == 0


def test_the_operator_is_told_of_it_once_a_minute(server, admin):
    for _ in range(3):
        with server.raw() as s:
            s.sendall(b"POST / HTTP/1.1\r\n")
            assert is_closed(s)
    assert server.log.read_text().count("Possible SECURITY ATTACK detected") == 1


def test_who_never_reads_is_closed_by_the_clock(server, admin):
    """The soft limit counts while nothing else happens; and a lower limit concerns those who owe already."""
    admin.set("big", b"x" * 20 * MB)
    with server.raw() as s, server.raw() as early:
        early.sendall(b"GET big\r\n" * 2)
        time.sleep(0.3)
        admin.config_set("client-output-buffer-limit", "normal 0 1mb 1")
        s.sendall(b"GET big\r\n" * 2)
        assert wait_until(lambda: len(admin.client_list()) == 1, within_s=4)
        assert int(admin.info()["client_output_buffer_limit_disconnections"]) >= 2
        assert is_closed(s) and is_closed(early)


def test_small_limits_let_small_replies_through(server, admin):
    admin.set("small", b"x" * 130)
    admin.set("large", b"x" * 40_000)
    admin.config_set("client-output-buffer-limit", "normal 10 5 1")
    with server.raw() as s:
        s.sendall(b"GET small\r\n")
        assert s.recv(1000) == b"$130\r\n" + b"x" * 130 + b"\r\n"
        s.sendall(b"GET large\r\n")
        assert is_closed(s)


def test_arguments_that_came_whole_are_no_query_buffer(server, admin):
    admin.config_set("client-query-buffer-limit", "1mb")
    count = 3000
    argument = b"$1000\r\n" + b"x" * 1000 + b"\r\n"
    with server.raw() as s:
        s.sendall(b"*%d\r\n$3\r\nDEL\r\n" % (count + 1) + argument * (count - 1))
        time.sleep(0.2)
        held = max(int(one["tot-mem"]) for one in admin.client_list())
        assert held > 3_000_000, "it is counted all the same"
        s.sendall(argument)
        assert s.recv(100) == b":0\r\n"
    with server.raw() as s:
        s.sendall(b"*2\r\n$3\r\nGET\r\n$2000000\r\n" + b"x" * 1_500_000)
        assert is_closed(s), "one argument is not whole"


def test_what_multi_queues_is_part_of_the_query_buffer(server, admin):
    admin.config_set("client-query-buffer-limit", "1mb")
    with server.raw() as s:
        s.sendall(b"MULTI\r\n")
        assert s.recv(100) == b"+OK\r\n"
        one = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n" + b"x" * 100_000 + b"\r\n"
        for _ in range(9):
            s.sendall(one)
            assert s.recv(100) == b"+QUEUED\r\n"
        try:
            s.sendall(one * 3)
        except ConnectionError:
            pass
        assert is_closed(s)


def half_a_get(server, size, s=None):
    """A client that has sent so much of one command, or was closed over it."""
    s = s or server.raw()
    try:
        s.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (size + 100_000) + b"x" * size)
    except ConnectionError:
        pass
    return s


def test_clients_are_evicted_until_the_others_fit(server, admin):
    evicted_before = int(admin.info()["evicted_clients"])
    spared = server.raw()
    spared.sendall(b"CLIENT NO-EVICT ON\r\n")
    assert spared.recv(100) == b"+OK\r\n"
    small = half_a_get(server, 300_000)
    admin.config_set("maxmemory-clients", "12mb")
    half_a_get(server, 5 * MB, spared)
    greedy = [half_a_get(server, 3 * MB) for _ in range(5)]

    def total():
        return sum(int(one["tot-mem"]) for one in admin.client_list())

    def evicted():
        return int(admin.info()["evicted_clients"]) - evicted_before

    assert wait_until(lambda: evicted() >= 3 and total() < 12 * MB)
    assert evicted() < 6
    wait_until(lambda: int(admin.info()["mem_clients_normal"]) < 12 * MB)
    assert int(admin.info()["mem_clients_normal"]) < 12 * MB
    classes = admin.execute_command("DEBUG", "CLIENT-EVICTION").decode().splitlines()
    assert len(classes) == 19
    in_megabytes = next(line for line in classes if line.startswith("bucket    2097152 -    4194303: tot-mem: "))
    assert int(in_megabytes.rsplit(" ", 1)[1]) == 5 - evicted(), "the spared one is not among them"
    assert not is_closed(spared, 0.05) and not is_closed(small, 0.05)
    assert sum(is_closed(s, 0.05) for s in greedy) == evicted()
    assert "Evicting client: id=" in server.log.read_text()
    for s in [spared, small, *greedy]:
        s.close()


def test_a_lower_limit_and_a_percentage_count_at_once(server, admin):
    evicted_before = int(admin.info()["evicted_clients"])
    greedy = [half_a_get(server, MB) for _ in range(4)]
    assert wait_until(lambda: sum(int(one["qbuf"]) for one in admin.client_list()) >= 4 * MB)
    admin.config_set("maxmemory", "400mb")
    admin.config_set("maxmemory-clients", "1%")
    assert wait_until(lambda: int(admin.info()["evicted_clients"]) > evicted_before)
    assert any(is_closed(s, 0.5) for s in greedy)
    assert admin.ping()
    admin.config_set("maxmemory", "0")
    for s in greedy:
        s.close()


def test_errors_show_bytes_as_they_came(server, admin):
    admin.geoadd("geo", (1, 1, "a"))
    cases = [
        ([b"foo\xff", b"\xfe"], b"-ERR unknown command 'foo\xff', with args beginning with: '\xfe' \r\n"),
        ([b"CLIENT", b"\xff"], b"-ERR unknown subcommand '\xff'. Try CLIENT HELP.\r\n"),
        (
            [b"CONFIG", b"SET", b"\xff\r\n", b"a"],
            b"-ERR Unknown option or number of arguments for CONFIG SET - '\xff  '\r\n",
        ),
        (
            [b"XPENDING", b"nokey", b"\xff"],
            b"-NOGROUP No such key 'nokey' or consumer group '\xff'\r\n",
        ),
        (
            [b"GEORADIUSBYMEMBER", b"geo", b"\xff", b"1", b"m"],
            b"-ERR member \xff does not exist\r\n",
        ),
        ([b"PEXPIREAT", b"geo", b"1", b"\xff"], b"-ERR Unsupported option \xff\r\n"),
        ([b"HELLO", b"3", b"\xff"], b"-ERR Syntax error in HELLO option '\xff'\r\n"),
        (
            [b"EVAL", b"\xff", b"0"],
            b"-ERR Error compiling script (new function): user_script:1: unexpected symbol near '\xff'\r\n",
        ),
        (
            [b"FUNCTION", b"LOAD", b"#!lua name=a\n\xff"],
            b"-ERR Error compiling function: user_function:2: unexpected symbol near '\xff'\r\n",
        ),
        ([b"FUNCTION", b"LOAD", b"#!\xff name=a\n"], b"-ERR Engine '\xff' not found\r\n"),
        ([b"FUNCTION", b"LIST", b"\xff"], b"-ERR Unknown argument \xff\r\n"),
    ]
    for words, wanted in cases:
        with server.raw() as s:
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            assert s.recv(1000) == wanted, words
    with server.raw() as s:
        s.sendall(b"*1\r\n\xffoo\r\n")
        assert s.recv(1000) == b"-ERR Protocol error: expected '$', got '\xff'\r\n"


def test_bind_to_nothing_stops_tcp_and_no_one_else(tmp_path):
    path = str(tmp_path / "socket")
    server = Server(tmp_path, "--unixsocket", path)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(path)
            s.sendall(b'CONFIG SET bind ""\r\n')
            assert s.recv(100) == b"+OK\r\n"
            with pytest.raises(ConnectionRefusedError):
                server.raw()
            s.sendall(b"CONFIG SET bind 127.0.0.1\r\n")
            assert s.recv(100) == b"+OK\r\n"
            with server.raw() as tcp:
                tcp.sendall(b"PING\r\n")
                assert tcp.recv(100) == b"+PONG\r\n"
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--port", "0"], "Configured to not listen anywhere, exiting."),
        (["--bind", ""], "Configured to not listen anywhere, exiting."),
        (["--rename-command", "nosuch", "fetch"], "No such command in rename-command"),
        (["--rename-command", "get", "set"], "Target command name already exists"),
    ],
)
def test_a_server_that_makes_no_sense_does_not_start(tmp_path, options, complaint):
    command = [BINARY, "--port", str(free_port()), "--save", "", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert complaint in done.stdout + done.stderr
