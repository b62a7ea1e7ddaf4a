"""A fresh server for each module: started on a free port, stopped by its pid.

The binary is target/release/ringfort, or what RINGFORT names.
"""

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis

REPO = Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("RINGFORT", str(REPO / "target/release/ringfort"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds=30):
    """What comes about by itself, but nobody promises when; `seconds` are for a machine that is busy or has slow disks."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def is_quick(act, seconds, tries=5):
    """Whether it takes less than that to `act`, once at least: a busy machine may keep anybody waiting now and then."""

    def took():
        began = time.monotonic()
        act()
        return time.monotonic() - began

    return any(took() < seconds for _ in range(tries))


class Server:
    def __init__(self, folder, *options, cores=2):
        self.port = free_port()
        self.log = Path(folder) / f"server-{self.port}.log"
        command = [BINARY, "--port", str(self.port), "--save", "", *options]
        if Path(BINARY).name == "ringfort":
            command += ["--cores", str(cores)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.wait_until_ready()

    def wait_until_ready(self):
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with self.raw() as s:
                    s.sendall(b"PING\r\n")
                    if s.recv(16) == b"+PONG\r\n":
                        return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{BINARY} did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def raw(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def client(self, **options):
        return redis.Redis(port=self.port, **{"socket_timeout": 20, **options})

    def resident_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("server"))
    yield s
    assert s.alive(), f"the server died: {s.log.read_text(errors='replace')[-2000:]}"
    assert s.stop() == 0, "SIGTERM ends the server cleanly"


@pytest.fixture
def on_disk():
    """A folder beside the build, which is on a disk; scripts/test keeps all others in memory where it can."""
    with tempfile.TemporaryDirectory(dir=REPO / "target", prefix="on-disk-") as folder:
        yield Path(folder)


@pytest.fixture
def r(server):
    client = server.client(decode_responses=True)
    client.flushall()
    yield client
    client.close()
