"""Many connections, and where they live."""

import re
from collections import Counter
from pathlib import Path

import pytest

from conftest import BINARY, Server

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
