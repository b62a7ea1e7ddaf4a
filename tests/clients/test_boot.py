"""How the server starts where it may not do what it needs, whom it lets in at first, and how it stops."""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest
import redis

from conftest import BINARY, Server, free_port, wait_for

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
# io_uring_setup, io_uring_enter, io_uring_register have these numbers on every architecture.
IO_URING_CALLS = (425, 426, 427)
EPERM, ENOSYS = 1, 38


def refuse_io_uring(errno):
    """Makes every call of io_uring fail in this process from now on."""
    load_number, jump_if_equal, give = 0x20, 0x15, 0x06
    allow, fail = 0x7FFF0000, 0x00050000
    calls = len(IO_URING_CALLS)
    program = [(load_number, 0, 0, 0)]
    program += [(jump_if_equal, calls - at, 0, call) for at, call in enumerate(IO_URING_CALLS)]
    program += [(give, 0, 0, allow), (give, 0, 0, fail | errno)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))

    class Filter(ctypes.Structure):
        _fields_ = [("steps", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    filter_ = Filter(len(program), ctypes.addressof(code))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0) != 0:
        os._exit(77)


@pytest.mark.skipif(Path(BINARY).name != "ringfort", reason="others need no io_uring")
@pytest.mark.parametrize(
    "errno, sentence",
    [
        (EPERM, "io_uring is forbidden here: allow it"),
        (ENOSYS, "this kernel has no io_uring: Linux 6.1 or newer is needed"),
    ],
)
def test_without_io_uring_it_says_so_and_ends(tmp_path, errno, sentence):
    command = [BINARY, "--port", str(free_port())]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, timeout=20, preexec_fn=lambda: refuse_io_uring(errno)
    )
    if ended.returncode == 77:
        pytest.skip("this system lets no process limit itself")
    last = ended.stdout.decode().strip().splitlines()[-1]
    assert ended.returncode == 1 and sentence in last, ended


def own_address():
    """An address of this host that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return probe.getsockname()[0]


def test_protected_mode_lets_only_this_host_in(tmp_path):
    address = own_address()
    if not address or address.startswith("127."):
        pytest.skip("this host has the loopback interface only")

    def answer():
        with socket.create_connection((address, server.port), timeout=5) as s:
            s.sendall(b"PING\r\n")
            return s.recv(4096)

    server = Server(tmp_path)
    try:
        assert answer().startswith(b"-DENIED ")
        server.client().config_set("protected-mode", "no")
        assert answer() == b"+PONG\r\n"
    finally:
        server.stop()


def test_it_stops_under_load(tmp_path):
    server = Server(tmp_path)
    answered = []

    def load():
        with server.raw() as s:
            try:
                while True:
                    s.sendall(b"SET key value\r\n" * 64)
                    got = s.recv(1 << 16)
                    if not got:
                        break
                    answered.append(len(got))
            except ConnectionError:
                pass

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: sum(answered) > 100_000)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert "bye bye" in server.log.read_text()


def connects(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


def test_port_and_addresses_are_changed(tmp_path):
    server = Server(tmp_path, "--bind", "127.0.0.1", cores=2)
    r = server.client()
    others = [server.client() for _ in range(3)]
    assert all(other.ping() for other in others)
    first, second = server.port, free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(redis.ResponseError, match=r"'port'\) - Unable to listen on this port"):
            r.config_set("port", taken.getsockname()[1])
    assert connects("127.0.0.1", first) and r.config_get("port") == {"port": str(first)}
    assert r.config_set("port", second)
    assert connects("127.0.0.1", second) and not connects("127.0.0.1", first)
    assert r.info("server")["tcp_port"] == second
    with pytest.raises(redis.ResponseError, match=r"'bind'\) - Failed to bind to specified addresses"):
        r.config_set("bind", "198.51.100.1")
    assert connects("127.0.0.1", second) and r.config_get("bind") == {"bind": "127.0.0.1"}
    assert r.config_set("bind", "127.0.0.2")
    assert connects("127.0.0.2", second) and not connects("127.0.0.1", second)
    assert r.config_set("bind", "127.0.0.1 127.0.0.2")
    assert connects("127.0.0.1", second) and connects("127.0.0.2", second)
    for _ in range(20):
        r.config_set("port", first)
        r.config_set("port", second)
    assert r.config_set("port", 0) and not connects("127.0.0.1", second)
    assert r.config_set("port", first) and connects("127.0.0.1", first)
    # Who was connected notices nothing.
    assert all(other.ping() for other in others)
    with redis.Redis(port=first) as new:
        assert new.ping()
    assert server.stop() == 0
