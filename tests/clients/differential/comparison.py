"""One portion of traffic: drawn from its seed, sent to both servers, and compared."""

import random

from compare import explained
from data import different_data
from dialogues import different_dialogues
from events import Listeners, different_events
from grammar import NEVER, Grammar, shown
from pair import Pair
from wire import Client, Closed

CONNECTIONS = 3
FAILURES_MAX = 40
# Commands between two comparisons of all data.
COMPARE_DATA_EVERY = 3000
# Commands that are sent before a reply is read.
BURSTS = [1, 1, 1, 2, 5, 20, 80]


class Comparison:
    def __init__(self, portion, options, ports):
        """`portion` has the seed, the number of commands, and whether events are compared, too."""
        self.portion, self.options, self.ports = portion, options, ports
        self.rng = random.Random(portion.seed)
        client = Client(ports[1])
        self.is_valkey = client.call("HELLO", "2")[1][1][1] == b"valkey"
        client.close()
        families = options.families.split(",") if options.families else None
        self.grammar = Grammar(self.rng, self.is_valkey, families)
        self.pairs, self.listeners = [], None
        self.failures = self.sent = 0

    def run(self):
        self.start_over()
        compared = 0
        while self.sent < self.portion.commands and self.failures < FAILURES_MAX:
            wrong = self.burst()
            if not wrong and self.sent >= compared + COMPARE_DATA_EVERY:
                compared = self.sent
                wrong = self.different_data()
            if wrong:
                self.report(*wrong)
                self.start_over()
        wrong = self.different_data()
        if wrong:
            self.report(*wrong)
        self.close()
        if not self.options.families:
            for wrong in different_dialogues(self.ports, self.is_valkey):
                self.report(*wrong)

    def start_over(self):
        self.close()
        for port in self.ports:
            client = Client(port)
            client.call("FLUSHALL")
            client.close()
        self.pairs = [Pair(self.ports) for _ in range(CONNECTIONS)]
        self.listeners = Listeners(self.ports) if self.portion.events else None
        self.log = []

    def close(self):
        for connected in [*self.pairs, *filter(None, [self.listeners])]:
            connected.close()

    def burst(self):
        """Draws and sends some commands of one connection. Returns what was answered differently, if anything."""
        pair = self.rng.choice(self.pairs)
        length = self.rng.choice(BURSTS)
        commands, alone = [], False
        while len(commands) < length and not alone:
            args, alone = self.next_command(pair)
            if alone and commands:
                alone = False
                continue
            commands.append(args)
        self.sent += len(commands)
        self.log.extend(commands)
        try:
            wrong = pair.run(commands, alone)
            if wrong or not self.listeners:
                return wrong
            wrong = different_events(self.listeners, pair.ran or commands)
            if wrong and pair.same_words:
                self.list(pair.ran, "ran")
                return wrong
            return None
        except (Closed, TimeoutError) as error:
            return commands[-1], ("!", repr(error).encode()), ("!", b"")

    def next_command(self, pair):
        """A command, and whether it must be alone."""
        while True:
            args, alone = self.grammar.command()
            if NEVER.search(shown(args)) or pair.in_multi and (alone or self.spoils(args)):
                continue
            word = args[0].upper()
            if word == "MULTI" and len(args) == 1:
                pair.in_multi = True
            elif word in ("EXEC", "DISCARD", "RESET") and len(args) == 1:
                pair.in_multi = False
            return args, alone

    def spoils(self, args):
        """Valkey spoils a transaction by a nested MULTI or WATCH, Redis does not: only since 7.2 by CLIENT REPLY."""
        word = args[0].upper()
        return word in ("MULTI", "WATCH") if self.is_valkey else word == "CLIENT" and args[1:2] == ["REPLY"]

    def different_data(self):
        wrong = different_data(self.ports, self.is_valkey, self.grammar.sorts)
        return None if wrong and explained(*wrong) else wrong

    def report(self, args, ours, theirs):
        self.failures += 1
        print(f"\n{self.portion}: {shown(args)[:300]}\n  ours:   {ours!r:.400}\n  theirs: {theirs!r:.400}")
        related = self.log[:-1]
        if self.options.before <= 12:
            names = {arg for arg in args[1:] if arg}
            always = ("SELECT", "MULTI", "EXEC", "RESET")
            related = [c for c in related if names & set(c[1:]) or c[0].upper() in always]
        self.list(related[-self.options.before :], "before")

    def list(self, commands, when):
        for command in commands:
            print(f"    {when}: {shown(command)[:160]}")
