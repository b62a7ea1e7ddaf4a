"""What redis-py users do with scripts and functions: locks, limiters, libraries; and what a script that hangs does."""

import random
import socket
import threading

import pytest
import redis
from conftest import Server, wait_for
from redis.backoff import NoBackoff
from redis.retry import Retry

LIMITER = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1] - ARGV[2])
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
return 0
"""

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"


@pytest.fixture
def r(server):
    client = server.client(decode_responses=True)
    client.flushall()
    client.script_flush()
    client.function_flush()
    yield client
    client.close()


def is_busy(client):
    """Whether a script runs for so long that others are told."""
    try:
        client.get("k")
    except redis.ResponseError as error:
        return "busy" in str(error).lower()
    return False


def test_a_lock_lets_one_in(server, r):
    inside, worst, done = [], [], []

    def work(number):
        client = server.client()
        for _ in range(30):
            with client.lock("lock", timeout=10, sleep=0.001):
                inside.append(number)
                worst.append(len(inside))
                inside.remove(number)
                done.append(number)
        client.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert len(done) == 120 and max(worst) == 1


def test_a_lock_belongs_to_its_owner(r):
    lock = r.lock("lock", timeout=5)
    assert lock.acquire() and lock.owned() and lock.extend(5)
    other = r.lock("lock", timeout=5, blocking=False)
    assert not other.acquire()
    r.set("lock", "stolen")
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()


def test_many_locks_are_released_by_whoever_holds_them(r):
    """Redlock's own script, on keys of all shards."""
    for n in range(200):
        assert r.set(f"resource:{n}", "mine", nx=True, px=30000)
        assert r.eval(RELEASE, 1, f"resource:{n}", "other") == 0
        assert r.eval(RELEASE, 1, f"resource:{n}", "mine") == 1
    assert r.dbsize() == 0


def test_a_sliding_window(r):
    limiter = r.register_script(LIMITER)
    for key in (f"user:{n}" for n in range(20)):
        assert [limiter(keys=[key], args=[1000 + n, 500, 3, n]) for n in range(6)] == [1, 1, 1, 0, 0, 0]
        assert limiter(keys=[key], args=[1600, 500, 3, "late"]) == 1


def test_pipelines_of_scripts(r):
    script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    pipe = r.pipeline()
    for n in range(300):
        script(keys=[f"k{n % 10}"], args=[1], client=pipe)
    assert sorted(pipe.execute())[-10:] == [30] * 10


def test_undeclared_keys_are_atomic(server, r):
    """Money moves between accounts that no script declares; who reads them all always finds all of it."""
    move = "local n = tonumber(ARGV[3]) redis.call('DECRBY', ARGV[1], n) redis.call('INCRBY', ARGV[2], n) return 1"
    total = "local sum = 0 for i = 0, 9 do sum = sum + tonumber(redis.call('GET', 'account:' .. i)) end return sum"
    r.mset({f"account:{n}": 100 for n in range(10)})
    sums = []

    def work(seed):
        rng, client = random.Random(seed), server.client()
        for _ in range(200):
            a, b = rng.sample(range(10), 2)
            client.eval(move, 0, f"account:{a}", f"account:{b}", rng.randrange(50))
            sums.append(client.eval(total, 0))
        client.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert sums == [1000] * 800


def test_functions(r):
    code = "#!lua name=lib\nredis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)"
    assert r.function_load(code) == "lib"
    assert all(r.fcall("put", 1, f"k{n}", n) == "OK" for n in range(50)) and r.dbsize() == 50
    with pytest.raises(redis.ResponseError, match="already exists"):
        r.function_load(code)
    raw = redis.Redis(port=r.connection_pool.connection_kwargs["port"])
    dump = raw.function_dump()
    assert raw.function_flush() and raw.function_restore(dump)
    assert r.function_list()[0][1] == "lib"
    raw.close()


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("body", ["while true do end", "while true do pcall(function() while true do end end) end"])
def test_a_script_that_hangs_is_killed(tmp_path, cores, body):
    server = Server(tmp_path, "--busy-reply-threshold", "50", cores=cores)
    clients = [server.client() for _ in range(4)]
    failures = []

    def hang():
        try:
            clients[0].eval(body, 1, "k")
        except redis.ResponseError as error:
            failures.append(str(error))

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        wait_for(lambda: is_busy(clients[1]))
        for client in clients[1:]:
            for command in (["PING"], ["SET", "a", "b"], ["GET", "c"], ["EVAL", "return 1", "0"]):
                with pytest.raises(redis.ResponseError, match="BUSY|busy"):
                    client.execute_command(*command)
        assert clients[1].execute_command("SCRIPT", "KILL") in (True, b"OK", "OK")
        thread.join(10)
        assert len(failures) == 1 and "Script killed by user with SCRIPT KILL" in failures[0]
        assert all(client.ping() for client in clients)
    finally:
        server.stop()


def test_a_script_that_wrote_cannot_be_killed(tmp_path):
    server = Server(tmp_path, "--busy-reply-threshold", "50")
    clients = [server.client() for _ in range(3)]

    def hang():
        with pytest.raises(redis.RedisError):
            clients[0].eval("redis.call('SET', KEYS[1], 1) while true do end", 1, "k")

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        wait_for(lambda: is_busy(clients[1]))
        with pytest.raises(redis.ResponseError, match="UNKILLABLE"):
            clients[1].execute_command("SCRIPT", "KILL")
        with pytest.raises(redis.RedisError):
            clients[1].execute_command("SHUTDOWN", "NOSAVE")
        thread.join(10)
        assert server.process.wait(10) == 0
    finally:
        server.stop()


SLOW = "local till = os.clock() + 0.2 repeat until os.clock() > till "


def in_background(work):
    """Begins it; what is returned waits for its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result():
        thread.join(10)
        return results[0]

    return result


@pytest.mark.parametrize("cores", [1, 2])
def test_a_slow_script_comes_to_its_end_though_memory_runs_short(tmp_path, cores):
    server = Server(tmp_path, "--busy-reply-threshold", "20", cores=cores)
    first, second = (server.client() for _ in range(2))
    raw = socket.create_connection(("127.0.0.1", server.port))
    try:
        first.config_set("maxmemory", first.info("memory")["used_memory"] + 3_000_000)
        body = "#!lua\nredis.call('SET', KEYS[1], 1) " + SLOW + SLOW.replace("local ", "") + "return redis.call('INCR', KEYS[1])"
        result = in_background(lambda: first.eval(body, 1, "k"))
        wait_for(lambda: is_busy(second))
        # Half of a command is kept, and counts.
        raw.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$9000000\r\n" + b"x" * 6_000_000)
        assert result() == 2
        with pytest.raises(redis.ResponseError, match="OOM|maxmemory"):
            second.set("other", "x")
        raw.close()
        wait_for(lambda: second.config_set("maxmemory", 0) and second.set("other", "x"))
        assert second.get("k") == b"2"
    finally:
        raw.close()
        server.stop()


@pytest.mark.parametrize("cores", [2, 3])
def test_a_script_is_slow_before_it_reaches_for_other_keys(tmp_path, cores):
    server = Server(tmp_path, "--busy-reply-threshold", "50", cores=cores)
    first, second = (server.client(decode_responses=True) for _ in range(2))
    try:
        for at, key in enumerate(("a", "b")):
            first.set(f"{key}:read", at)
            reads, writes = (
                first.script_load(f"{SLOW} return redis.call('{verb}', '{key}:' .. ARGV[1])") for verb in ("GET", "INCR")
            )
            run = in_background(lambda: first.evalsha(reads, 0, "read"))
            wait_for(lambda: is_busy(second))
            assert run() == str(at) and not is_busy(second)
            run = in_background(lambda: first.evalsha(writes, 0, "write"))
            wait_for(lambda: is_busy(second))
            assert run() == 1 and second.get(f"{key}:write") == "1"
        assert first.evalsha(writes, 1, "declared", "write") == 2 and first.evalsha_ro(reads, 0, "read") == str(at)
    finally:
        server.stop()


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_what_a_script_did_in_vain_is_not_counted(tmp_path, cores):
    """It begins anew where it first reaches for a key that is not at hand, or is slow, or writes."""
    server = Server(tmp_path, "--slowlog-log-slower-than", "0", "--busy-reply-threshold", "50", cores=cores)
    client = server.client()
    reads = "for i = 1, 3 do redis.call('GET', KEYS[i]) redis.pcall('LLEN', KEYS[i]) redis.pcall('NO') end "
    keys = ["{one}a", "{one}b", "{one}c"]
    bodies = [
        f"{reads} return redis.call('GETRANGE', ARGV[1], 0, -1)",
        f"{reads} return redis.call('INCR', ARGV[1])",
        f"{reads} {SLOW} return redis.call('STRLEN', ARGV[1])",
        f"{reads} return redis.call('SLOWLOG', ARGV[1])",
        f"for i = 1, 2000 do redis.call('TTL', KEYS[1]) end {reads} return 1",
        f"{reads} return ARGV[1]",
    ]
    try:
        client.mset({key: 1 for key in keys})
        client.config_set("slowlog-max-len", 10000)
        for body, argument in zip(bodies, ("x", "y", "z", "LEN", "", ""), strict=True):
            sha = client.script_load(body)
            client.config_resetstat()
            client.slowlog_reset()
            client.evalsha(sha, 3, *keys, argument)
            stats, noted = client.info("commandstats"), [entry["command"] for entry in client.slowlog_get(10000)]
            assert stats["cmdstat_get"]["calls"] == 3 and stats["cmdstat_evalsha"]["calls"] == 1
            assert stats["cmdstat_llen"]["failed_calls"] == 3
            assert sum(command.startswith(b"GET {one}") for command in noted) == 3
            assert {kind: count["count"] for kind, count in client.info("errorstats").items()} == {
                "errorstat_WRONGTYPE": 3,
                "errorstat_ERR": 3,
            }
            assert stats.get("cmdstat_ttl", {}).get("calls", 2000) == 2000
    finally:
        server.stop()


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("inside_multi", [False, True])
def test_a_script_that_hangs_before_it_reaches_for_other_keys(tmp_path, cores, inside_multi):
    """Until it is killed, or the server stops."""
    server = Server(tmp_path, "--busy-reply-threshold", "50", cores=cores)
    first, second = (server.client(retry=Retry(NoBackoff(), 0)) for _ in range(2))
    sha = first.script_load("while ARGV[1] do end return redis.call('INCR', 'n' .. #KEYS)")

    def hang():
        pipe = first.pipeline(transaction=inside_multi)
        pipe.evalsha(sha, 1, "k", 1).incr("after")
        try:
            return pipe.execute(raise_on_error=False)
        except redis.RedisError as error:
            return error

    try:
        run = in_background(hang)
        wait_for(lambda: is_busy(second))
        assert second.execute_command("SCRIPT", "KILL") in (True, b"OK", "OK")
        error, after = run()
        assert "Script killed by user" in str(error) and after == 1 and not second.exists("n1")
        # Of the same script, which is known to be slow now.
        assert first.evalsha(sha, 0) == 1
        run = in_background(hang)
        wait_for(lambda: is_busy(second))
        with pytest.raises(redis.RedisError):
            second.execute_command("SHUTDOWN", "NOSAVE")
        assert isinstance(run(), redis.RedisError) and server.process.wait(10) == 0
    finally:
        server.stop()


def test_a_greedy_script_gets_an_error(r):
    for body in (
        "local t = {} while true do t[#t + 1] = {1, 2, 3, 4, 5, 6, 7, 8} end",
        "local s = 'x' while true do s = s .. s end",
        "return string.rep(string.rep('x', 1000000), 2000)",
    ):
        with pytest.raises(redis.ResponseError, match="not enough memory|string"):
            r.eval(body, 0)
    with pytest.raises(redis.ResponseError, match="stack overflow"):
        r.eval("local function f() return 1 + f() end return f()", 0)
    for call in ("find(s, p)", "match(s, p)", "gsub(s, p, '')", "gmatch(s, p)()"):
        with pytest.raises(redis.ResponseError, match="user_script:1: pattern too complex"):
            r.eval(f"local s, p = string.rep('a', 1e6), string.rep('a?', 1e6) return string.{call}", 0)
    deep = "local n = 199000 return {string.find(string.rep('a', n), string.rep('a?', n))}"
    assert r.eval(deep, 0) == [1, 199000]
    assert r.eval("local p = string.rep('a?', 1e6) return string.find('x' .. p, p, 1, true)", 0) == 2
    with pytest.raises(redis.ResponseError, match=r"bad argument #2 to 'find' \(string expected, got no value\)"):
        r.eval("return string.find('x')", 0)
    assert r.ping()


def test_a_function_that_hangs_is_killed_by_its_own_command(tmp_path):
    server = Server(tmp_path, "--busy-reply-threshold", "50")
    clients = [server.client() for _ in range(2)]
    code = "#!lua name=lib\nredis.register_function('hang', function() while true do end end)"
    assert clients[0].execute_command("FUNCTION", "LOAD", code) in ("lib", b"lib")
    failures = []

    def hang():
        try:
            clients[0].execute_command("FCALL", "hang", 0)
        except redis.ResponseError as error:
            failures.append(str(error))

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        wait_for(lambda: is_busy(clients[1]))
        for command in (["SCRIPT", "KILL"], ["GET", "k"], ["FCALL", "hang", "0"]):
            with pytest.raises(redis.ResponseError, match="FUNCTION KILL|busy"):
                clients[1].execute_command(*command)
        assert b"hang" in repr(clients[1].execute_command("FUNCTION", "STATS")).encode()
        assert clients[1].execute_command("FUNCTION", "KILL") in (True, b"OK", "OK")
        thread.join(10)
        assert len(failures) == 1 and "Script killed by user" in failures[0]
        with pytest.raises(redis.ResponseError, match="No scripts in execution"):
            clients[1].execute_command("FUNCTION", "KILL")
    finally:
        server.stop()


def test_without_a_threshold_others_wait(tmp_path):
    server = Server(tmp_path, "--busy-reply-threshold", "0")
    script = "local n = 0 while n < 2e7 do n = n + 1 end return n"
    first, second = server.client(), server.client()
    thread = threading.Thread(target=lambda: first.eval(script, 1, "k"))
    thread.start()
    try:
        while thread.is_alive():
            assert second.set("k", "v")
            with pytest.raises(redis.ResponseError, match="No scripts in execution"):
                second.execute_command("SCRIPT", "KILL")
        assert second.config_get("lua-time-limit") == {"lua-time-limit": "0"}
    finally:
        thread.join(30)
        server.stop()


def test_recursion_has_an_end(r):
    """Patterns, coroutines, compilation, replies: whatever recurses ends with an answer, and the server stays."""
    for body in (
        "return string.find(string.rep('a', 200000), string.rep('a?', 200000))",
        "local function f() return coroutine.wrap(f)() end return {pcall(f)}",
        "return {loadstring('return ' .. string.rep('(', 100000))}",
        "return {loadstring('return ' .. string.rep('{', 100000))}",
        "local t = {} for i = 1, 1e5 do t = {t} end return #cmsgpack.pack(t)",
        "local t = {} t[1] = t return {pcall(cjson.encode, t)}",
        "return {pcall(cjson.decode, string.rep('[', 100000))}",
        "local f = function() return 1 end for i = 1, 1e5 do local g = f f = function() return g() + 1 end end return {pcall(f)}",
        "local s = string.rep('x', 100000) return string.gsub(s, '.', function() return string.rep('y', 100) end) and 1",
    ):
        r.eval(body, 0)
    # An array in an array in an array …: deeper than a client may want to go.
    script, received = "local t = {} t[1] = t return t", b""
    with socket.create_connection(("127.0.0.1", r.connection_pool.connection_kwargs["port"]), 10) as raw:
        raw.sendall(f"*3\r\n$4\r\nEVAL\r\n${len(script)}\r\n{script}\r\n$1\r\n0\r\n".encode())
        while not received.endswith(b"stack limit\r\n"):
            received += raw.recv(1 << 16) or pytest.fail("the connection was closed")
    assert received.startswith(b"*1\r\n*1\r\n") and b"-ERR reached lua stack limit" in received
    assert r.ping()
