#!/usr/bin/env python3
"""Kills the server in the middle of its work, again and again, and compares what is back with what was acknowledged.

    tests/clients/crash.py --rounds 100 --policy always --cores 1,3
    tests/clients/crash.py --server /usr/bin/redis-server --policy everysec
    tests/clients/crash.py --self-test          the comparison notices a log that lost its end, or a piece within

A round: the server starts, everything is read and compared, clients write for a moment (crash_traffic.py), with snapshots
and rewrites of the log at random, and `kill -9` ends it. The data stays for the next round, under another number of cores;
now and then a round begins with none. Under `appendfsync always` each writer's keys hold all that it was acknowledged, and
perhaps some of what was under way; under `everysec` they hold the writer's operations up to some point. What readers saw is
still there (`always`), shared keys obey their rules, and no copy is newer than its original. A failure prints the seed and
keeps the folder; the exit status is then 1.
"""

import argparse
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crash_traffic import (
    ACCOUNTS, EQUALS, QUEUES, WRITERS, Book, Connection, Disturber, Mover, Reader, Refusal, State, Writer,
)

ROOT = Path(__file__).resolve().parents[2]
ROUNDS_PER_FOLDER = 20
# What was acknowledged this long ago is safe under `everysec`: a second until the log is synced, and one that this may take.
EVERYSEC_SECONDS = 2.5


class Lost(Exception):
    """What is there is not what must be there."""


# ---- the server ----


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A server with its log in a folder. It listens again on another port each time."""

    def __init__(self, binary, folder, policy, cores, rewrites):
        self.port, self.log = free_port(), folder / "server.log"
        command = [binary, "--port", str(self.port), "--dir", str(folder), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", policy, "--auto-aof-rewrite-min-size", "256kb"]
        command += [] if rewrites else ["--auto-aof-rewrite-percentage", "0"]
        command += ["--cores", str(cores)] if Path(binary).name == "ringfort" else []
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def connect(self):
        """A connection, once all data is loaded."""
        end = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < end:
            try:
                connection = Connection(self.port)
                while isinstance(connection.ask("GET", "x"), Refusal):
                    time.sleep(0.003)
                return connection
            except OSError:
                time.sleep(0.003)
        last = self.log.read_text(errors="replace")[-1500:]
        raise Lost(f"it does not start again (status {self.process.poll()}):\n{last}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


# ---- what is back ----

READS = {
    b"string": lambda key: ("GET", key),
    b"list": lambda key: ("LRANGE", key, 0, -1),
    b"hash": lambda key: ("HGETALL", key),
    b"set": lambda key: ("SMEMBERS", key),
    b"zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    b"stream": lambda key: ("XRANGE", key, "-", "+"),
}


def everything(connection):
    """All keys and values."""
    keys = connection.ask("KEYS", "*")
    kinds = connection.ask_all([("TYPE", key) for key in keys])
    values = connection.ask_all([READS[kind](key) for key, kind in zip(keys, kinds)])
    found = {}
    for key, kind, value in zip(keys, kinds, values):
        if kind == b"hash":
            value = dict(zip(value[::2], value[1::2]))
        elif kind == b"zset":
            value = dict(zip(value[::2], value[1::2]))
        elif kind == b"stream":
            value = [fields[1] for _, fields in value]
        found[key.decode()] = value
    for key in (key for key in found if key.endswith(":e")):
        if not 0 < connection.ask("TTL", key) <= 100_000:
            raise Lost(f"{key} has lost its time to live")
    return found


def recognize(book, found, policy):
    """The state of a writer that its keys show: one that it was in after an operation, late enough."""
    prefix = f"{book.name}:"
    own = {key: value for key, value in found.items() if key.startswith(prefix) or key == f"x:{book.name}"}
    pool = set(own.pop(f"{prefix}pool", []))
    least = book.acknowledged if policy == "always" else book.durable
    state, nearest = book.base, None
    for count in range(len(book.done) + 1):
        if count:
            operation, replies = book.done[count - 1]
            operation.apply(state, replies)
        if count >= least:
            if state.matches(own, pool):
                return State(own, pool, state.queued)
            nearest = nearest or difference(state, own, pool)
    raise Lost(
        f"writer {book.name}: {len(book.done)} operations sent, {book.acknowledged} acknowledged; what is there is "
        f"none of the states from {least} on. Against that one:\n{nearest}"
    )


def difference(state, own, pool):
    lines = [
        f"  {key}: expected {state.keys.get(key)!r}, found {own.get(key)!r}"
        for key in sorted(state.keys.keys() | own.keys())
        if state.keys.get(key) != own.get(key)
    ]
    if pool != state.pool:
        lines.append(f"  pool: missing {state.pool - pool} ({state.lost} may be), back again {pool - state.pool}")
    return "\n".join(lines)


def check_shared(states, found):
    """The rules of the keys that all writers change."""
    total = sum(int(found.get(f"account:{n}", 0)) for n in range(ACCOUNTS))
    if total != 0:
        raise Lost(f"half of a transfer: the accounts' sum is {total}")
    if len({found.get(key) for key in EQUALS}) != 1:
        raise Lost(f"half of an MSET: {[found.get(key) for key in EQUALS]}")
    queued = sorted(element for key in QUEUES for element in found.get(key, []))
    expected = sorted(element for state in states for element in state.queued)
    if queued != expected:
        missing, extra = set(expected) - set(queued), set(queued) - set(expected)
        raise Lost(f"queues: missing {missing}, extra {extra}, {len(queued)} rather than {len(expected)} elements")
    for copy, value in found.items():
        if copy.startswith("y:"):
            original = f"x:{copy.rsplit(':')[-1]}"
            if int(value) > int(found.get(original, 0)):
                raise Lost(f"{copy} is {value}, copied from {original}, which is {found.get(original)}")


# ---- rounds ----


class Run:
    """Rounds over one folder."""

    def __init__(self, options, policy, seed, folder):
        self.options, self.policy, self.folder = options, policy, folder
        self.rng = random.Random(seed)
        self.books = [Book(str(n)) for n in range(WRITERS)]
        self.seen = [0] * WRITERS
        self.acknowledged, self.rounds, self.seconds = 0, 0, 0.0

    def start(self, rewrites=True):
        cores = self.rng.choice(self.options.cores)
        self.server = Process(self.options.server, self.folder, self.policy, cores, rewrites)

    def compare(self):
        """What is there, against what must be."""
        connection = self.server.connect()
        found = everything(connection)
        states = [recognize(book, found, self.policy) for book in self.books]
        check_shared(states, found)
        for n, number in enumerate(self.seen):
            if self.policy == "always" and int(found.get(f"x:{n}", 0)) < number:
                raise Lost(f"a reader saw {number} in x:{n}, which is {found.get(f'x:{n}')} now")
        for book, state in zip(self.books, states):
            book.restart(state)
        self.seen = [int(found.get(f"x:{n}", 0)) for n in range(WRITERS)]
        connection.close()

    def traffic(self, seconds, quiet):
        """Clients at work, until the kill. If `quiet`, writers only, and the kill when all was acknowledged."""
        complaints, port = [], self.server.port
        seed = lambda: self.rng.randrange(2**32)
        writers = [Writer(port, seed(), complaints, book) for book in self.books]
        others = [Reader(port, seed(), complaints, self.seen)]
        others += [] if quiet else [kind(port, seed(), complaints) for kind in (Mover, Disturber)]
        clients = writers + others
        for client in clients:
            client.start()
        time.sleep(max(0, seconds - EVERYSEC_SECONDS))
        for book in self.books:
            book.durable = book.acknowledged
        time.sleep(min(seconds, EVERYSEC_SECONDS))
        if quiet:
            self.end(clients)
        self.server.kill()
        self.end(clients)
        self.acknowledged += sum(book.acknowledged for book in self.books)
        if complaints:
            raise Lost(f"while it ran: {complaints[:3]}")

    @staticmethod
    def end(clients):
        for client in clients:
            client.asked_to_end.set()
        for client in clients:
            client.join(30)
            if client.is_alive():
                raise Lost("a client never got its answer")

    def round(self, quiet=False):
        began = time.monotonic()
        self.start(rewrites=not quiet)
        try:
            self.compare()
            self.traffic(0.3 if quiet else self.rng.uniform(0.02, self.options.seconds), quiet)
        finally:
            self.server.kill()
        self.rounds += 1
        self.seconds += time.monotonic() - began

    def finish(self):
        self.start()
        try:
            self.compare()
        finally:
            self.server.kill()


def rounds(options, policy, count, seed):
    """So many rounds under a policy; a new folder now and then."""
    acknowledged, seconds, left = 0, 0.0, count
    while left:
        folder = Path(tempfile.mkdtemp(prefix="crash-", dir=options.folder))
        run = Run(options, policy, f"{seed} {policy} {left}", folder)
        try:
            for _ in range(min(left, ROUNDS_PER_FOLDER)):
                run.round()
                left -= 1
            run.finish()
        except Lost as lost:
            print(f"{policy}, seed {seed}, {left} rounds left, {run.rounds} in {folder}: {lost}")
            return False
        shutil.rmtree(folder)
        acknowledged, seconds = acknowledged + run.acknowledged, seconds + run.seconds
    each = seconds / max(count, 1)
    print(f"{policy}: {count} rounds of {each:.2f} s, {acknowledged} operations acknowledged, none lost")
    return True


# ---- can the comparison fail? ----


def commands_of(log):
    """Where the commands of a log begin and end, and their words."""
    at = 0
    while at < len(log):
        begin, end = at, log.index(b"\r\n", at)
        if log[at : at + 1] == b"#":
            at = end + 2
            continue
        words, at = [], end + 2
        for _ in range(int(log[begin + 1 : end])):
            end = log.index(b"\r\n", at)
            length = int(log[at + 1 : end])
            words.append(log[end + 2 : end + 2 + length])
            at = end + length + 4
        yield begin, at, words


def last_log(folder):
    files = (folder / "appendonlydir").glob("*.incr.aof")
    return max((path for path in files if path.stat().st_size), key=lambda path: int(path.name.split(".")[-3]))


def cut_the_end(folder, rng):
    """The last command loses its end, or as a whole."""
    path = last_log(folder)
    log = path.read_bytes()
    begin, end, _ = list(commands_of(log))[-1]
    path.write_bytes(log[: rng.randrange(begin, end)])


def cut_a_piece(folder, rng):
    """A command vanishes from the middle: a stream gets an entry, but not the one before it."""
    path = last_log(folder)
    log = path.read_bytes()
    added = {}
    for begin, end, words in commands_of(log):
        if words[0].upper() == b"XADD":
            added.setdefault(words[1], []).append((begin, end))
    begin, end = rng.choice([places for places in added.values() if len(places) > 1])[-2]
    path.write_bytes(log[:begin] + log[end:])


def self_test(options, seed):
    """Spoils logs after the kill. Each must be noticed."""
    for policy, spoil in [("always", cut_the_end), ("everysec", cut_a_piece)]:
        for case in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="crash-", dir=options.folder) as folder:
                run = Run(options, policy, f"{seed} {case}", Path(folder))
                run.round(quiet=True)
                spoil(Path(folder), run.rng)
                try:
                    run.finish()
                except Lost as lost:
                    print(f"{policy}, {spoil.__name__}: noticed: {str(lost).splitlines()[0][:100]}")
                    continue
            print(f"{policy}, {spoil.__name__}: NOT noticed, seed {seed}, case {case}")
            return False
    return True


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--server", default=str(ROOT / "target/release/ringfort"), metavar="BINARY")
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    parser.add_argument("--policy", choices=["always", "everysec", "no"], help="default: always, and a third as often everysec")
    parser.add_argument("--seconds", type=float, default=0.3, help="at most so long until the kill")
    parser.add_argument("--cores", type=lambda text: [int(n) for n in text.split(",")], default=[1, 3], metavar="N,N")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--folder", help="where the data goes (default: the system's temporary folder)")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return 0 if self_test(options, options.seed) else 1
    always_and_less = [("always", options.rounds), ("everysec", options.rounds // 3)]
    plan = [(options.policy, options.rounds)] if options.policy else always_and_less
    return 0 if all(rounds(options, policy, count, options.seed) for policy, count in plan) else 1


if __name__ == "__main__":
    sys.exit(main())
