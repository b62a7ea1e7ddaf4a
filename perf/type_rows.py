"""The rows about lists, sets, hashes, sorted sets and streams: CPU per command and bytes per item against Valkey."""

import hashlib
import time

import bench
from bench import Server, median
from measure import LOAD_CPU, SERVER_CPU, Result, Row, interleaved, summed_up

CLIENTS, PIPELINE = 50, 16
LEADERBOARD = 5_000_000
TEN = 10_000_000


def compared(options, test, prepare=None, before_round=None, pipeline=PIPELINE, clients=CLIENTS, keys=1_000_000, warm_ops=None):
    """CPU per command on one core. `prepare(server)` fills the server once, `before_round(server, ops)` before each run."""

    def measure():
        bench.touch_memory(4 << 30)  # what is measured may grow
        servers = {kind.name: Server(kind, SERVER_CPU) for kind in options.kinds}

        def run(server, ops):
            if before_round:
                before_round(server, ops)
            return bench.redis_benchmark(server, test, ops, clients, pipeline, LOAD_CPU, keys=keys)

        try:
            for server in servers.values():
                if prepare:
                    prepare(server)
            rounds = interleaved(options, servers, run, warm_ops)
        finally:
            for server in servers.values():
                server.stop()
        return summed_up(rounds, "cpu", "ringfort", "valkey")

    return measure


def filled(command, ops_factor=1):
    """Before a round of pops: as many pushes."""
    return lambda server, ops: bench.redis_benchmark(
        server, command, ops * ops_factor, CLIENTS, PIPELINE, LOAD_CPU, keys=100_000_000
    )


def list_of(count):
    return lambda server: bench.send(server, [["RPUSH", "mylist", *(f"element:{n:06}" for n in range(count))]])


def hash_of(count):
    pairs = [word for n in range(count) for word in (f"field:{n}", f"value:{n:08}")]
    return lambda server: bench.send(server, [["HSET", "myhash", *pairs]])


def set_of(count):
    return lambda server: bench.send(server, [["SADD", "myset", *(f"member:{n}" for n in range(count))]])


def zset_of(count):
    pairs = [word for n in range(count) for word in (n, f"member:{n}")]
    return lambda server: bench.send(server, [["ZADD", "myzset", *pairs]])


def leaderboard(server):
    """Five million players, their scores in no order."""
    for start in range(0, LEADERBOARD, 100_000):
        players = range(start, start + 100_000)
        word = lambda n: (n * 2_654_435_761 % 1_000_000_007, f"player:{n:012}")
        bench.send(server, [["ZADD", "board", *(w for n in range(p, p + 100) for w in word(n))] for p in players[::100]])


def two_sets(server):
    for name, first in (("a", 0), ("b", 50_000)):
        for start in range(first, first + 100_000, 1000):
            bench.send(server, [["SADD", name, *(f"member:{n:08}" for n in range(start, start + 1000))]])


def bytes_per_item(options, items, commands, count):
    """Resident bytes for each of `items` keys or elements that `commands(first, last)` make, `count` at a time."""

    def measure():
        def per_item(kind):
            with Server(kind, SERVER_CPU) as server:
                time.sleep(0.3)
                before = server.resident_bytes()
                for start in range(0, items, count):
                    bench.send(server, commands(start, min(start + count, items)))
                time.sleep(1.5)
                return (server.resident_bytes() - before) / items

        found = {kind.name: per_item(kind) for kind in options.kinds}
        text = {name: f"{v:.1f} B" for name, v in found.items()}
        ratio = found["ringfort"] / found["valkey"]
        return Result(ratio, "×", text.pop("ringfort"), text, {"bytes_per_item": found})

    return measure


def group_of_readers(options, entries=100_000, batch=100):
    """CPU for XREADGROUP of a hundred entries and their XACK. The group begins again when it is through."""
    ids = [f"{n + 1}-0" for n in range(entries)]

    def prepare(server):
        bench.send(server, [["XADD", "s", id, "field", f"value:{n:06}"] for n, id in enumerate(ids)])
        bench.send(server, [["XGROUP", "CREATE", "s", "g", "0"]])

    def run(server, ops):
        commands = []
        for n in range(ops):
            first = n * batch % entries
            if first == 0:
                commands.append(["XGROUP", "SETID", "s", "g", "0"])
            commands.append(["XREADGROUP", "GROUP", "g", "c", "COUNT", batch, "STREAMS", "s", ">"])
            commands.append(["XACK", "s", "g", *ids[first : first + batch]])
        cpu, began = server.cpu_seconds(), time.monotonic()
        bench.send(server, commands, at_once=20)
        wall, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
        return bench.Load(ops, cpu * 1e6 / ops, wall, ops / wall, {})

    def measure():
        servers = {kind.name: Server(kind, SERVER_CPU) for kind in options.kinds}
        try:
            for server in servers.values():
                prepare(server)
            rounds = interleaved(options, servers, run, 1000)
        finally:
            for server in servers.values():
                server.stop()
        return summed_up(rounds, "cpu", "ringfort", "valkey")

    return measure


def stall(options, way, kind, elements):
    """The worst PING, in ms, while a large value or database goes: what of it was the server's work (see examples/stalls.rs)."""

    def measure():
        found, detail = {}, {}
        for theirs in options.kinds:
            with Server(theirs, SERVER_CPU) as server:
                (detail[theirs.name],) = bench.stalls(server, LOAD_CPU, way, kind, elements)
            found[theirs.name] = detail[theirs.name]["probes"]["max_us"] / 1000
        text = {name: f"{v:.2f} ms" for name, v in found.items()}
        return Result(found["ringfort"], "ms", text.pop("ringfort"), text, {"elements": elements, "passes": detail})

    return measure


def small(make):
    """A command for each key."""
    return lambda first, last: [make(f"key:{n:012}", n) for n in range(first, last)]


SCRIPT = "return redis.call('GET',KEYS[1])"
EVALSHA = ["EVALSHA", hashlib.sha1(SCRIPT.encode()).hexdigest(), "1", "key:__rand_int__"]
WINDOW = (
    "redis.call('ZREMRANGEBYSCORE',KEYS[1],0,ARGV[1]) "
    "if redis.call('ZCARD',KEYS[1]) < 20 then redis.call('ZADD',KEYS[1],ARGV[2],ARGV[3]) "
    "redis.call('PEXPIRE',KEYS[1],60000) return 1 end return 0"
)


def script(server):
    with server.connect() as s:
        s.sendall(bench.encode(["SCRIPT", "LOAD", SCRIPT]))
        s.recv(100)


def strings_and_script(server):
    bench.fill(server, 1_000_000, 64)
    script(server)


def all_rows(o):
    P16 = 0.75, 0.55
    RANGE = 0.8, 0.5
    rand = "__rand_int__"
    mget = ["MGET", *[f"key:{rand}"] * 100]
    fill_strings = lambda server: bench.fill(server, 1_000_000, 64)
    small_fill = lambda command: filled(command)
    long = lambda test, prepare: compared(o, test, prepare, warm_ops=o.warm_ops // 10)
    pop = lambda test, fill: compared(o, test, before_round=fill)
    hash5 = lambda key, n: ["HSET", key, *(w for f in range(5) for w in (f"field{f}", f"value:{n % 1000:04}"))]
    list8 = lambda key, n: ["RPUSH", key, *(f"item:{n % 1000 + i:04}" for i in range(8))]
    set8 = lambda key, n: ["SADD", key, *(f"item:{n % 1000 + i:04}" for i in range(8))]
    zset8 = lambda key, n: ["ZADD", key, *(w for i in range(8) for w in (n + i, f"item:{n % 1000 + i:04}"))]
    big_zset = lambda first, last: [["ZADD", "z", n * 2_654_435_761 % 1_000_000_007, f"player:{n:09}"] for n in range(first, last)]
    big_hash = lambda first, last: [["HSET", "h", f"field:{n:010}", f"value:{n % 100:02}"] for n in range(first, last)]
    xadd = ["XADD", "mystream", "*", "field", "value:000000"]
    entry = lambda n: ["XADD", "s", f"{1_700_000_000_000 + n}-0", "f1", f"v{n % 1000}", "f2", f"w{n % 1000}"]
    one_stream = lambda first, last: [entry(n) for n in range(first, last)]
    return [
        Row("lpush", "LPUSH", compared(o, "lpush"), *P16),
        Row("rpush", "RPUSH", compared(o, "rpush"), *P16),
        Row("lpop", "LPOP", pop("lpop", small_fill("rpush")), *P16),
        Row("rpop", "RPOP", pop("rpop", small_fill("rpush")), *P16),
        Row("sadd", "SADD", compared(o, ["SADD", "myset", f"element:{rand}"]), *P16),
        Row("spop", "SPOP", pop("spop", small_fill("sadd")), *P16),
        Row("hset", "HSET", compared(o, ["HSET", "myhash", f"field:{rand}", "value"]), *P16),
        Row("zadd", "ZADD", compared(o, ["ZADD", "myzset", rand, f"element:{rand}"]), *P16),
        Row("zpopmin", "ZPOPMIN", pop("zpopmin", small_fill(["ZADD", "myzset", rand, f"element:{rand}"])), *P16),
        Row("incr", "INCR", compared(o, "incr"), *P16),
        Row("evalsha", "EVALSHA of a GET", compared(o, EVALSHA, strings_and_script), 1.0, 0.7),
        Row("window", "a sliding-window limiter, EVAL", compared(o, ["EVAL", WINDOW, "1", f"limit:{rand}", "5", rand, rand], keys=100_000), 0.9, 0.7),
        Row("lrange-100", "LRANGE of 100", long(["LRANGE", "mylist", "0", "99"], list_of(700)), *RANGE),
        Row("lrange-600", "LRANGE of 600", long(["LRANGE", "mylist", "0", "599"], list_of(700)), *RANGE),
        Row("hgetall-50", "HGETALL of 50 fields", long(["HGETALL", "myhash"], hash_of(50)), *RANGE),
        Row("zrange-100", "ZRANGE of 100 WITHSCORES", long(["ZRANGE", "myzset", "0", "99", "WITHSCORES"], zset_of(1000)), *RANGE),
        Row("smembers-100", "SMEMBERS of 100", long(["SMEMBERS", "myset"], set_of(100)), *RANGE),
        Row("mget-100", "MGET of 100", long(mget, fill_strings), *RANGE),
        Row("board-zadd", "ZADD among 5 million", compared(o, ["ZADD", "board", rand, f"player:{rand}"], leaderboard, keys=LEADERBOARD), 0.7, 0.4),
        Row("board-zrank", "ZRANK among 5 million", compared(o, ["ZRANK", "board", f"player:{rand}"], leaderboard, keys=LEADERBOARD), 0.7, 0.4),
        Row("board-zrange", "ZRANGE of 10 among 5 million", compared(o, ["ZRANGE", "board", "2500000", "2500009"], leaderboard, keys=LEADERBOARD), 0.7, 0.4),
        Row("sinter", "SINTER of 100,000 and 100,000", compared(o, ["SINTER", "a", "b"], two_sets, pipeline=1, clients=1, warm_ops=20), 1.0, 0.5),
        Row("sunion", "SUNION of 100,000 and 100,000", compared(o, ["SUNION", "a", "b"], two_sets, pipeline=1, clients=1, warm_ops=20), 1.0, 0.5),
        *(Row(f"del-{kind}", f"worst PING while a {kind} of 10 million goes", stall(o, "del", kind, TEN), 1.0) for kind in ("set", "hash", "zset", "list")),
        Row("overwrite-set", "worst PING while a set of 10 million is overwritten", stall(o, "overwrite", "set", TEN), 1.0),
        Row("flush", "worst PING while FLUSHALL drops 10 million keys", stall(o, "flush", "strings", TEN), 1.0),
        Row("expire-set", "worst PING while a set of 10 million expires", stall(o, "expire", "set", TEN), 1.0),
        Row("expire-keys", "worst PING while a million keys expire", stall(o, "expire", "strings", 1_000_000), 1.0),
        Row("xadd", "XADD", compared(o, xadd), 0.75, 0.5),
        Row("xreadgroup", "XREADGROUP of 100 and XACK", group_of_readers(o), 0.75, 0.5),
        Row("mem-hash5", "bytes per hash of 5 fields", bytes_per_item(o, 500_000, small(hash5), 10_000), 0.9, 0.7),
        Row("mem-list8", "bytes per list of 8 items", bytes_per_item(o, 500_000, small(list8), 10_000), 0.9, 0.7),
        Row("mem-set8", "bytes per set of 8 members", bytes_per_item(o, 500_000, small(set8), 10_000), 0.9, 0.7),
        Row("mem-zset8", "bytes per sorted set of 8", bytes_per_item(o, 500_000, small(zset8), 10_000), 0.9, 0.7),
        Row("mem-stream", "bytes per entry of a stream of 5 million", bytes_per_item(o, 5_000_000, one_stream, 10_000), 1.0, 0.85),
        Row("mem-zset", "bytes per member of a sorted set of 2 million", bytes_per_item(o, 2_000_000, big_zset, 10_000), 0.9, 0.6),
        Row("mem-hash", "bytes per field of a hash of 2 million", bytes_per_item(o, 2_000_000, big_hash, 10_000), 0.9, 0.7),
    ]
