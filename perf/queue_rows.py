"""The row about BullMQ, whose queues are scripts with keys that no hash tag keeps together."""

import json
import subprocess

import bench
from bench import Load, Server
from measure import BOTH, Row, interleaved, summed_up

LOAD = bench.REPO / "tests/clients/node/throughput.mjs"


def jobs(options):
    """Jobs a second, added and processed; server and load share both CPUs."""

    def run(server, ops):
        cpu = server.cpu_seconds()
        out = subprocess.run(["node", LOAD, str(server.port), str(ops)], capture_output=True, text=True, check=True)
        seconds = json.loads(out.stdout)["seconds"]
        return Load(ops, (server.cpu_seconds() - cpu) * 1e6 / ops, seconds, ops / seconds, {})

    def measure():
        if not (LOAD.parent / "node_modules/bullmq").exists():
            bench.die("the row bullmq needs BullMQ: npm --prefix tests/clients/node install")
        servers = {kind.name: Server(kind, BOTH) for kind in options.kinds}
        try:
            rounds = interleaved(options, servers, run, warm_ops=2000)
        finally:
            for server in servers.values():
                server.stop()
        return summed_up(rounds, "rate", "ringfort", "valkey")

    return measure


def all_rows(options):
    return [Row("bullmq", "two cores: BullMQ jobs added and processed", jobs(options), 1.0, 1.3, more_is_better=True)]
