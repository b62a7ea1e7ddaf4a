#!/usr/bin/env python3
"""Sends the same random Lua scripts and functions to Ringfort and to a reference server, and compares every reply.

    tests/clients/differential/scripts.py --seed 7 --scripts 20000 --cores 3
    tests/clients/differential/scripts.py --reference /usr/bin/redis-server

Scripts come from lua_grammar.py, with keys declared rightly, wrongly or not at all; they run by EVAL, by their digest,
read-only, inside MULTI, as functions of libraries that come and go, and now and then on a server that is out of memory, over
RESP2 and RESP3. Replies are compared byte for byte, all data now and then and at the end. What differs for a reason is listed
in EXPLAINED; Redis 7.0 also has other orders of sets, and 17 digits in scores. A failure prints the seed and the commands that led to it; the exit status is then 1.
"""
import argparse
import hashlib
import random
import re
import sys
import tempfile
from pathlib import Path

import lua_grammar
from wire import ROOT, Client, Closed, Server, encode, reference_argv

# (what is replaced in the script's reply, by what, reason), before replies are compared.
EXPLAINED = [
    (rb" script: ([0-9a-f]{40}|f\d), on ", b" script: on ", "Valkey does not name the script"),
    (rb"NOSCRIPT No matching script\. Please use EVAL\.", b"NOSCRIPT No matching script.", "Valkey is shorter"),
    (rb"This (Redis|Valkey) command is not allowed", b"This command is not allowed", "each names itself"),
    (rb"Wrong number of args calling Redis command", b"Wrong number of args calling command", "Valkey does not name itself"),
    (rb"(Unknown Redis command called from script|Unknown command called from script|unknown subcommand '\w*'\. Try \w+ HELP\.)", b"Unknown command",
     "Redis tells no unknown subcommand from an unknown command"),
    (rb"(Lua redis lib command|Command) arguments must be", b"Arguments must be", "Valkey has other engines than Lua"),
    (rb"at least one argument for this (redis lib )?call", b"at least one argument for this call", "the same"),
    (rb"(redis\.set_repl\(\) requires two arguments|server\.set_repl\(\) requires one argument)", b"set_repl", "Redis counts one too many"),
    (rb"Invalid (debug|log) level", b"Invalid level", "Valkey calls it by another name"),
    (rb"ERR Function f\d already exists", b"ERR Function already exists", "which of several is told is a hash table's affair"),
    (rb"(table|function): (builtin: )?0x[0-9a-f]+", b"address", "addresses"),
    (rb"[\xd9].ERR |[\xa0-\xbf]ERR ", b"ERR ", "the same where an error is packed"),
    (rb"(\*\d\r\n[^*]*)+-ERR reached lua stack limit", b"-ERR reached lua stack limit", "tables are nested 1000 deep at most here, about 8000 there"),
    (rb"(Error registering functions: ERR )?(Library|Function) (names can only|already exists)", rb"\3", "Valkey says less, and calls a function one"),
    (rb"(\([^\r\x00]*)\x00[^\r]*", rb"\1", "Valkey ends a big number at a NUL"),
    (rb"(Redis|Valkey) is busy", b"is busy", "each names itself"),
    (rb"\xef\xbf\xbd|[\xfe\xff]", b"?", "what is not UTF-8 is shown as a replacement character in errors"),
    (rb"\$\d+\r\n(?=ERR )", b"$\r\n", "so texts of errors have other lengths"),
    (rb"(redis|server)\.(setresp|set_repl|log|register_function)", rb"redis.\2", "Valkey's table has another name"),
]
# (pattern of "command | our reply | their reply", reason): both may differ altogether.
DIFFERENT = [
    (rb"Write commands are not allowed from read-only scripts[^|]*\| [^|]*OOM command not allowed",
     "a write of a read-only script while memory is short: Redis names the script, Valkey the memory"),
    (rb"big_number = struct\.pack.*\| [$(]", "big numbers end at a byte 0 in Valkey, not in Redis"),
    (rb"v(\d+)\[1\] = v\1\b.*reached lua stack limit.*reached lua stack limit",
     "a table within itself: tables are nested 1000 deep at most here, about 8000 there"),
    (rb"cjson\.encode.*This Redis command is not allowed.*This Valkey command is not allowed", "each names itself"),
    (rb"setmetatable.*-ERR unknown error.*-err", "the text of an error is not looked for behind a metatable here"),
]
# (pattern of a script, reason): never sent.
NOT_SENT = [
    (r"(encode|pack)\((redis|string|server|_G)\b", "libraries are seen through empty tables here; only what packs tables can tell"),
]

BATCH = 25
COMPARE_DATA_EVERY = 1000
FUNCTIONS = [f"f{n}" for n in range(6)]
LIBRARIES = ["lib0", "lib1", "lib2"]


class RawClient(Client):
    """A connection whose replies are the bytes that came."""

    def raw(self):
        # Replies may be nested deeper than a function may call itself.
        start, left = self.at, 1
        while left:
            left -= 1
            line = self.line()
            mark, rest = line[:1], line[1:]
            if mark in (b"$", b"=") and rest != b"-1":
                self.take(int(rest))
            elif mark in (b"*", b"~", b">", b"%") and rest != b"-1":
                left += int(rest) * (2 if mark == b"%" else 1)
        reply = self.buffer[start : self.at]
        if self.at == len(self.buffer):
            self.buffer, self.at = b"", 0
        return reply


class Commands:
    """Draws what is sent."""

    def __init__(self, rng, is_valkey):
        self.rng = rng
        self.lua = lua_grammar.Lua(rng, is_valkey)
        self.bodies = ["return 1"]

    def keys_and_args(self):
        """Declared keys, and the words behind the script: their count, they, and the arguments."""
        rng = self.rng
        keys = rng.sample(lua_grammar.KEYS, rng.randint(0, lua_grammar.DECLARED_MAX))
        count = str(len(keys)) if rng.random() < 0.97 else rng.choice(["-1", "x", "9", "", "1.5"])
        args = [rng.choice(["1", "10", "-3", "2.5", "text", "", "k0", "a b", "\xff\x00"]) for _ in range(rng.randint(0, 3))]
        return keys, [count, *keys, *args]

    def script(self, keys):
        while True:
            body = self.lua.script(keys)
            if not any(re.search(pattern, body) for pattern, _ in NOT_SENT):
                self.bodies = self.bodies[-200:] + [body]
                return body

    def library(self):
        rng = self.rng
        while True:
            code = self.lua.library(rng.choice(LIBRARIES), rng.sample(FUNCTIONS, rng.randint(0, 3)))
            if not any(re.search(pattern, code) for pattern, _ in NOT_SENT):
                return code

    def run(self):
        rng = self.rng
        keys, rest = self.keys_and_args()
        way = rng.random()
        if way < 0.7:
            return [rng.choice(["EVAL"] * 6 + ["EVAL_RO"]), self.script(keys), *rest]
        if way < 0.85:
            digest = hashlib.sha1(rng.choice(self.bodies[-20:]).encode("latin-1")).hexdigest()
            digest = rng.choice([digest] * 8 + [digest.upper(), "0" * 40, "abc"])
            return [rng.choice(["EVALSHA"] * 4 + ["EVALSHA_RO"]), digest, *rest]
        return [rng.choice(["FCALL"] * 3 + ["FCALL_RO"]), rng.choice(FUNCTIONS), *rest]

    def other(self):
        rng = self.rng
        digests = [hashlib.sha1(body.encode("latin-1")).hexdigest() for body in rng.sample(self.bodies, 1)]
        return rng.choice([
            lambda: ["SCRIPT", "LOAD", self.script([])],
            lambda: ["SCRIPT", "EXISTS", *digests, rng.choice(["x", "0" * 40])],
            lambda: ["SCRIPT", "FLUSH", *rng.choice([[], ["SYNC"], ["ASYNC"], ["x"]])],
            lambda: ["SCRIPT", rng.choice(["KILL", "NOSUCH", "LOAD"])],
            lambda: ["FUNCTION", "LOAD", "REPLACE", self.library()],
            lambda: ["FUNCTION", "LOAD", "REPLACE", self.library()],
            lambda: ["FUNCTION", "LOAD", self.library()],
            lambda: ["FUNCTION", "DELETE", rng.choice(LIBRARIES + ["nosuch"])],
            lambda: ["FUNCTION", "FLUSH"] if rng.random() < 0.2 else ["FUNCTION", "LIST", "LIBRARYNAME", rng.choice(LIBRARIES)],
            lambda: ["FUNCTION", rng.choice(["KILL", "NOSUCH", "DELETE", "LOAD"])],
        ])()

    def batch(self):
        """Commands that are sent at once."""
        rng = self.rng
        commands = [self.run() if rng.random() < 0.9 else self.other() for _ in range(rng.randint(1, BATCH))]
        way = rng.random()
        if way < 0.05:
            # No command that needs memory may run, as long as this lasts.
            return [["CONFIG", "SET", "maxmemory", "1"], *commands[:6], ["CONFIG", "SET", "maxmemory", "0"]]
        if way < 0.15:
            return [["MULTI"], *commands[:5], ["EXEC"]]
        return commands


def same(args, ours, theirs):
    if ours == theirs or normal(ours) == normal(theirs):
        return True
    # The order of a library's functions is a hash table's affair.
    if b"library_name" in ours and sorted(normal(ours).split(b"\r\n")) == sorted(normal(theirs).split(b"\r\n")):
        return True
    subject = b"%s | %s | %s" % (" ".join(args).encode("latin-1"), ours, theirs)
    return any(re.search(pattern, subject, re.DOTALL) for pattern, _ in DIFFERENT)


def normal(reply):
    for pattern, by, _reason in EXPLAINED:
        reply = re.sub(pattern, by, reply)
    return reply


class Comparison:
    FAILURES_MAX = 60

    def __init__(self, options, ports):
        self.options, self.ports = options, ports
        self.rng = random.Random(options.seed)
        self.commands = Commands(self.rng, Client(ports[1]).call("HELLO", "2")[1][1][1] == b"valkey")
        self.failures = 0
        self.signatures = {}

    def start_over(self):
        self.pairs = []
        for resp in ("2", "2", "3"):
            pair = [RawClient(port) for port in self.ports]
            for client in pair:
                client.call("CONFIG", "SET", "maxmemory", "0")
                client.call("FLUSHALL")
                client.call("SCRIPT", "FLUSH")
                client.call("FUNCTION", "FLUSH")
                client.call("HELLO", resp)
            self.pairs.append(pair)
        self.log = []

    def run(self):
        self.start_over()
        sent = compared = 0
        while sent < self.options.scripts and self.failures < self.FAILURES_MAX:
            commands = self.commands.batch()
            sent += len(commands)
            self.log = self.log[-400:] + commands
            wrong = self.send(self.rng.choice(self.pairs), commands)
            if not wrong and sent >= compared + COMPARE_DATA_EVERY:
                compared = sent
                wrong = self.different_data()
            if wrong:
                self.report(*wrong)
                self.start_over()
        wrong = self.different_data()
        if wrong:
            self.report(*wrong)
        return sent

    def send(self, pair, commands):
        """The first command that is answered differently, with both replies."""
        data = b"".join(encode(args) for args in commands)
        ours = theirs = b""
        for client in pair:
            client.send(data)
        for args in commands:
            try:
                theirs = b"nothing"
                theirs = pair[1].raw()
                ours = b"nothing"
                ours = pair[0].raw()
            except (Closed, TimeoutError) as error:
                return args, ours + repr(error).encode(), theirs
            if not same(args, ours, theirs):
                return args, ours, theirs
        return None

    def data(self, port):
        client, found = RawClient(port), {}
        for db in ("0", "1", "2", "3", "5"):
            client.call("SELECT", db)
            for _, key in sorted(client.call("KEYS", "*")[1]):
                key = key.decode("latin-1")
                kind = client.call("TYPE", key)[1].decode()
                read = {"string": ["GET", key], "list": ["LRANGE", key, "0", "-1"], "hash": ["HGETALL", key], "set": ["SMEMBERS", key],
                        "zset": ["ZRANGE", key, "0", "-1", "WITHSCORES"], "stream": ["XRANGE", key, "-", "+"]}[kind]
                client.send(encode(read) + encode(["PEXPIRETIME", key]))
                found[db, key] = kind, client.raw(), client.raw() == b":-1\r\n"
        client.close()
        return found

    def different_data(self):
        ours, theirs = (self.data(port) for port in self.ports)
        for place in sorted(ours.keys() | theirs.keys()):
            if ours.get(place) != theirs.get(place):
                return ["data", *place], repr(ours.get(place)).encode(), repr(theirs.get(place)).encode()
        return None

    def report(self, args, ours, theirs):
        self.failures += 1
        print(f"\nseed {self.options.seed}: {' '.join(args[:1])} {args[2:]!r}\n{''.join(args[1:2])}\n  ours:   {ours!r:.600}\n  theirs: {theirs!r:.600}", flush=True)
        if args[0] == "data":
            for before in [c for c in self.log if any(args[2] in word for word in c)][-self.options.before:]:
                print(f"    before: {before!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--scripts", type=int, default=20000)
    parser.add_argument("--cores", default="3", help="as the option `cores` of the server takes it")
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/ringfort")
    parser.add_argument("--before", type=int, default=6, help="commands shown before data that differ")
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
