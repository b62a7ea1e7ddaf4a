"""The rows about the append-only file: what logging costs, what waiting for the disk costs, how fast a log is read back.

Logs are written below the folder for temporary files; both servers use the same disk. CPU counts all threads.
"""

import re
import tempfile
import time
from pathlib import Path

import bench
from bench import Server
from measure import BOTH, KEYS, LOAD_CPU, SERVER_CPU, Result, Row, interleaved, summed_up

APPENDING = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"]
REPLAYED = 2_000_000


def appending(options, appendfsync, clients, pipeline, by):
    """SETs on random keys with the log on."""

    def measure():
        extra = [*APPENDING, "--appendfsync", appendfsync]
        servers = {kind.name: Server(kind, SERVER_CPU, extra) for kind in options.kinds}
        try:
            command = ["set", "key:__rand_int__", "v" * 64]
            load = lambda server, ops: bench.redis_benchmark(server, command, ops, clients, pipeline, LOAD_CPU, KEYS)
            rounds = interleaved(options, servers, load, warm_ops=5000 if appendfsync == "always" else None)
        finally:
            for server in servers.values():
                server.stop()
        return summed_up(rounds, by, "ringfort", "valkey")

    return measure


def write_log(folder, commands):
    """A log of Valkey's form: SETs of new keys, then writes to them and to collections."""
    directory = Path(folder) / "appendonlydir"
    directory.mkdir()
    (directory / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    with open(directory / "appendonly.aof.1.incr.aof", "wb") as log:
        log.write(bench.encode(["SELECT", "0"]))
        for number in range(commands):
            key = number % (commands // 2)
            match number % 4:
                case 0 | 1:
                    log.write(bench.encode(["SET", f"key:{key:012d}", "v" * 64]))
                case 2:
                    log.write(bench.encode(["RPUSH", f"list:{key % 10_000}", "element"]))
                case _:
                    log.write(bench.encode(["HSET", f"hash:{key % 10_000}", f"f{key % 50}", "value"]))


def replay_seconds(kind, folder):
    with Server(kind, BOTH, ["--appendonly", "yes", "--dir", folder]) as server:
        said = r"DB loaded from append only file: ([\d.]+) seconds"
        while not (found := re.search(said, server.log.read_text(errors="replace"))):
            time.sleep(0.02)
        return float(found[1])


def replaying(options):
    """Reading the same log of commands back, on two cores."""

    def measure():
        commands = REPLAYED // 4 if options.quick else REPLAYED
        with tempfile.TemporaryDirectory(prefix="ringfort-perf-") as folder:
            write_log(folder, commands)
            rounds = []
            for number in range(options.rounds):
                kinds = options.kinds if number % 2 == 0 else options.kinds[::-1]
                rounds.append({kind.name: replay_seconds(kind, folder) for kind in kinds})
        mid = {name: bench.median([each[name] for each in rounds]) for name in rounds[0]}
        shown = {name: f"{seconds:.2f} s" for name, seconds in mid.items()}
        ours = shown.pop("ringfort")
        ratio = bench.median([each["ringfort"] / each["valkey"] for each in rounds])
        return Result(ratio, "×", ours, shown, {"commands": commands, "rounds": rounds})

    return measure


def all_rows(o):
    return [
        Row("log-everysec", "CPU/SET P16, appendonly everysec", appending(o, "everysec", 50, 16, "cpu"), 0.8, 0.6),
        Row("log-always", "SET P1, 50 clients, appendfsync always", appending(o, "always", 50, 1, "rate"), 1.2, 2.0, True),
        Row("log-replay", "reading a log back, two cores", replaying(o), 0.8, 0.5),
    ]
