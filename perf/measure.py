"""What a row of the comparison is, and how rounds against several servers are run and summed up."""

import os
from contextlib import contextmanager

from bench import Server, median

SERVER_CPU, LOAD_CPU, BOTH = "0-0", "1", "0-1"
KEYS = 1_000_000


class Result:
    """A row's outcome. `value` is what the bar speaks of; `shown` are the cells of the table."""

    def __init__(self, value, unit, ours, theirs, detail=None, loads=None):
        self.value, self.unit, self.ours, self.theirs = value, unit, ours, theirs
        self.detail, self.loads = detail or {}, loads or {}


class Row:
    def __init__(self, name, what, measure, bar=None, aim=None, more_is_better=False):
        self.name, self.what, self.measure = name, what, measure
        self.bar, self.aim, self.more_is_better = bar, aim, more_is_better

    def meets(self, value, mark):
        return mark is not None and (value >= mark if self.more_is_better else value <= mark)

    def verdict(self, value):
        if self.meets(value, self.aim):
            return "ok, aim met"
        return "ok" if self.meets(value, self.bar) else "MISS"


@contextmanager
def pinned_servers(options):
    """A server of each kind on the server's CPU, by name; this process, which is the load, runs on the other one meanwhile."""
    servers = {}
    try:
        for kind in options.kinds:
            servers[kind.name] = Server(kind, SERVER_CPU)
        # Servers would inherit it, and have begun.
        os.sched_setaffinity(0, {int(LOAD_CPU)})
        yield servers
    finally:
        os.sched_setaffinity(0, range(os.cpu_count()))
        for server in servers.values():
            server.stop()


def interleaved(options, servers, run, warm_ops=None):
    """`run(server, ops)` for each server in turn, several rounds; the load of each round by server."""
    warm_ops = warm_ops or options.warm_ops
    warm = {name: run(server, warm_ops) for name, server in servers.items()}
    seconds = 0.6 if options.quick else 2.2
    slowest = min(w.cpu_us for w in warm.values())
    ops = max(int(seconds * 1e6 / slowest), warm_ops)
    # No round runs longer than this, however idle the server is while it waits for the load.
    ops = min(ops, int(min(w.rate for w in warm.values()) * (4 if options.quick else 15)))
    ops = max(ops // 1000 * 1000, min(ops, 1000))
    rounds = []
    for n in range(options.rounds):
        order = list(servers) if n % 2 == 0 else list(servers)[::-1]
        rounds.append({name: run(servers[name], ops) for name in order})
    return rounds


def summed_up(rounds, by, ours, theirs):
    figure = {"cpu": lambda load: load.cpu_us, "rate": lambda load: load.rate}[by]
    text = {"cpu": lambda v: f"{v:.2f} µs", "rate": lambda v: f"{v / 1000:.0f} k/s" if v >= 10_000 else f"{v:.0f}/s"}[by]
    mid = {name: median([figure(r[name]) for r in rounds]) for name in rounds[0]}
    loads = {}
    for name in rounds[0]:
        each = [r[name].as_dict() for r in rounds]
        loads[name] = {k: median([e[k] for e in each if k in e]) for k in each[0]}
        loads[name]["rounds"] = each
    rate = median([r[ours].rate / r[theirs].rate for r in rounds])
    return Result(
        median([figure(r[ours]) / figure(r[theirs]) for r in rounds]),
        "×",
        text(mid[ours]),
        {name: text(mid[name]) for name in mid if name != ours},
        {"throughput_ratio": rate},
        loads,
    )
