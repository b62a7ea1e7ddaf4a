"""Many connections, and where they live."""

from collections import Counter
from pathlib import Path

import pytest

from conftest import BINARY, Server

only_ringfort = pytest.mark.skipif(Path(BINARY).name != "ringfort", reason="speaks of Ringfort's cores")


@only_ringfort
def test_a_thousand_connections_are_spread_evenly_over_four_cores(tmp_path):
    cores = 4  # on fewer CPUs they share, unpinned
    server = Server(tmp_path, cores=cores)
    try:
        held = [server.raw() for _ in range(1000)]
        for s in held:
            s.sendall(b"PING\r\n")
        assert all(s.recv(16) == b"+PONG\r\n" for s in held)
        with server.client(decode_responses=True) as c:
            listed = c.execute_command("CLIENT", "LIST")
            lines = listed if isinstance(listed, list) else listed.splitlines()
            if not isinstance(listed, list) and "core=" not in listed:
                pytest.skip("CLIENT LIST does not say on which core a connection lives")
        homes = Counter(c.get("core") if isinstance(c, dict) else c.split("core=")[1].split()[0] for c in lines)
        assert len(homes) == cores and max(homes.values()) - min(homes.values()) <= 2, homes
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
