"""The rows about clients that wait: an element handed from one client to another, and the price of waiting itself."""

import time

import bench
from bench import Load, Server
from measure import BOTH, Result, Row, interleaved, pinned_servers, summed_up

WAITING = 10_000
PUSH = bench.encode([b"LPUSH", b"queue", b"x" * 64])
TAKE = bench.encode([b"BRPOP", b"queue", b"0"])
TAKEN = len(bench.encode([b"queue", b"x" * 64]))


def hand_over(options):
    """Round trips a second: one client waits, another pushes, the first has the element."""

    def run(server, ops):
        with server.connect() as consumer, server.connect() as producer:
            cpu, began = server.cpu_seconds(), time.monotonic()
            for _ in range(ops):
                consumer.sendall(TAKE)
                producer.sendall(PUSH)
                left = TAKEN
                while left:
                    left -= len(consumer.recv(left))
                producer.recv(64)
            wall, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
        return Load(ops, cpu * 1e6 / ops, wall, ops / wall, {})

    def measure():
        with pinned_servers(options) as servers:
            rounds = interleaved(options, servers, run, warm_ops=1000)
        return summed_up(rounds, "rate", "ringfort", "valkey")

    return measure


def idle(options):
    """Percent of a core used by a server with 10,000 clients that wait for as many keys."""

    def used(kind):
        with Server(kind, BOTH, ["--maxclients", "10500"]) as server:
            held = [server.connect() for _ in range(WAITING)]
            for n, s in enumerate(held):
                s.sendall(bench.encode([b"BLPOP", b"k:%d" % n, b"0"]))
            time.sleep(2)
            cpu, began = server.cpu_seconds(), time.monotonic()
            time.sleep(3 if options.quick else 10)
            share = (server.cpu_seconds() - cpu) / (time.monotonic() - began) * 100
            for s in held:
                s.close()
            return share

    def measure():
        if bench.raise_file_limit() < WAITING + 200:
            bench.die("the open-file limit is too low for the row blocked-idle: raise it (ulimit -n)")
        found = {kind.name: used(kind) for kind in options.kinds}
        text = {name: f"{v:.2f} %" for name, v in found.items()}
        return Result(found["ringfort"], "%", text.pop("ringfort"), text)

    return measure


def all_rows(o):
    return [
        Row("hand-over", "LPUSH to a client in BRPOP, round trips", hand_over(o), 1.0, 1.2, more_is_better=True),
        Row("blocked-idle", "CPU, 10,000 clients wait for 10,000 keys", idle(o), 1.0, 0.02),
    ]
