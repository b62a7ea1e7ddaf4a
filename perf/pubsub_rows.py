"""The rows about channels: CPU per delivered message against Valkey."""

import select
import threading
import time

import bench
from bench import Load
from measure import Row, interleaved, pinned_servers, summed_up

SUBSCRIBERS = 100
CHANNEL, TEXT = b"news:today", b"x" * 64
PUBLISH = bench.encode([b"PUBLISH", CHANNEL, TEXT])
MESSAGE = bench.encode([b"message", CHANNEL, TEXT])


class Audience:
    """Connections that are subscribed to the channel; a thread reads what they receive."""

    def __init__(self, server):
        self.sockets = [server.connect() for _ in range(SUBSCRIBERS)]
        for s in self.sockets:
            s.sendall(bench.encode([b"SUBSCRIBE", CHANNEL]))
            while not s.recv(4096).endswith(b":1\r\n"):
                pass

    def hear(self, messages):
        """Reads until each has received so many messages."""
        poll, left = select.epoll(), SUBSCRIBERS * messages * len(MESSAGE)
        by_fd = {s.fileno(): s for s in self.sockets}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        while left:
            for fd, _ in poll.poll(10) or bench.die("messages are missing"):
                left -= len(by_fd[fd].recv(1 << 18))
        poll.close()


def fan_out(options, pipeline):
    """CPU of the server for each message that one of the subscribers receives."""

    def run(audience, server, deliveries):
        rounds = max(deliveries // (SUBSCRIBERS * pipeline), 1)
        cpu, began = server.cpu_seconds(), time.monotonic()
        reader = threading.Thread(target=audience.hear, args=(rounds * pipeline,))
        reader.start()
        with server.connect() as publisher:
            for _ in range(rounds):
                publisher.sendall(PUBLISH * pipeline)
                want = pipeline * len(b":100\r\n")
                while want:
                    want -= len(publisher.recv(1 << 16))
        reader.join()
        wall, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
        count = rounds * pipeline * SUBSCRIBERS
        return Load(count, cpu * 1e6 / count, wall, count / wall, {})

    def measure():
        with pinned_servers(options) as servers:
            audiences = {name: Audience(server) for name, server in servers.items()}
            rounds = interleaved(options, servers, lambda server, ops: run(audiences[server.kind.name], server, ops))
        return summed_up(rounds, "cpu", "ringfort", "valkey")

    return measure


def all_rows(o):
    return [
        Row("publish-p1", f"CPU per message to one of {SUBSCRIBERS}, pipeline 1", fan_out(o, 1), 0.8, 0.5),
        Row("publish-p16", f"CPU per message to one of {SUBSCRIBERS}, pipeline 16", fan_out(o, 16), 0.8, 0.5),
    ]
