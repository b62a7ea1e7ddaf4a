"""Draws random Lua scripts, libraries of functions, and what they are called with.

In: a source of chance. Out: texts that mean the same to any server: no addresses, no clock, no chance of their own, no
order that is a hash table's affair, no loop that does not end. Most expressions are of the type that is wanted where they
stand; some are not, some names do not exist, and so errors of all kinds come about, caught and uncaught.
"""

KEYS = ["k0", "k1", "k2", "l0", "l1", "h0", "h1", "s0", "s1", "z0", "z1", "x0", "{t}a", "{t}b", "n0", "n1"]
DECLARED_MAX = 3

# Commands as scripts call them: a letter draws a key of that type, `key` one of any, other lower-case words a value.
COMMANDS = """
GET k|SET k value|SET k value NX|SET k value XX GET|SET k value PXAT 9000000000000|SETRANGE k small value|APPEND k value|STRLEN k
GETRANGE k small small|GETDEL k|INCR n|DECRBY n int|INCRBYFLOAT n float|INCRBY n num|MGET k n k|MSET k value n int|SET k value EXAT 9000000000
MSETNX k value k value|GETSET k value|LCS k k|SETBIT k small bit|GETBIT k small|BITCOUNT k|BITPOS k bit|BITFIELD n GET u8 small
LPUSH l value|RPUSH l value value|RPUSH l num|LPOP l|RPOP l small|LRANGE l 0 -1|LRANGE l small small|LLEN l|LINDEX l small
LSET l small value|LREM l small value|LTRIM l small small|LMOVE l l LEFT RIGHT|RPOPLPUSH l l|LINSERT l BEFORE value value|LPOS l value
HSET h field value|HSET h field num field value|HGET h field|HMGET h field field|HGETALL h|HDEL h field|HINCRBY h field int|HLEN h
HINCRBYFLOAT h field float|HKEYS h|HVALS h|HEXISTS h field|HSTRLEN h field|HSETNX h field value
SADD s member|SADD s member member|SREM s member|SISMEMBER s member|SMISMEMBER s member member|SMEMBERS s|SCARD s|SMOVE s s member
SINTER s s|SUNION s s|SDIFF s s|SINTERCARD 2 s s|SUNIONSTORE s s s
ZADD z score member|ZADD z score member score member|ZADD z INCR score member|ZADD z NX score member|ZADD z GT CH score member
ZSCORE z member|ZMSCORE z member member|ZRANGE z 0 -1|ZRANGE z 0 -1 WITHSCORES|ZRANGE z -inf +inf BYSCORE LIMIT 0 small
ZRANGEBYSCORE z -inf score WITHSCORES|ZREVRANGE z 0 small WITHSCORES|ZCARD z|ZCOUNT z -inf score|ZINCRBY z score member|ZRANK z member
ZREM z member|ZPOPMIN z|ZPOPMAX z small|ZREMRANGEBYRANK z small small|ZUNION 2 z z WITHSCORES|ZINTERSTORE z 2 z z|ZRANK z member WITHSCORE
XADD x num-1 field value|XADD x num field value|XLEN x|XRANGE x - +|XREVRANGE x + - COUNT small|XDEL x num-1|XTRIM x MAXLEN small
XREAD COUNT 2 STREAMS x 0|XRANGE x num +|XGROUP CREATE x g 0|XREADGROUP GROUP g c COUNT 1 STREAMS x >|XACK x g num-1|XPENDING x g
GEOADD z 13.3 38.1 member|GEOPOS z member|GEODIST z member member|GEOSEARCH z FROMLONLAT 13 38 BYRADIUS 9000 km ASC
PFADD k value value|PFCOUNT k|COPY key key|RENAME key key|RENAMENX key key|DEL key|DEL key key|UNLINK key|EXISTS key key|TYPE key|PERSIST key
EXPIREAT key 9000000000|PEXPIREAT key 9000000000000|PEXPIRETIME key|TOUCH key|DBSIZE|SORT l ALPHA|SORT n|SORT l ALPHA DESC LIMIT 0 2|SORT_RO l
ECHO value|PING|PING value|SELECT 1|SELECT 0|SELECT small|SWAPDB 0 1|MOVE key 1|FLUSHDB|PUBLISH c value|LPUSHX l value|EXPIRETIME k
BLPOP l 0|BRPOP l 0.1|BLMOVE l l LEFT LEFT 0|BZPOPMIN z 0|BLMPOP 0 1 l LEFT|BZMPOP 0 1 z MIN|XREAD BLOCK 10 STREAMS x $|LMPOP 1 l LEFT|ZMPOP 1 z MAX
MULTI|EXEC|DISCARD|WATCH key|UNWATCH|SUBSCRIBE c|PSUBSCRIBE *|UNSUBSCRIBE|EVAL return 0|EVALSHA x 0|FCALL f0 0|SCRIPT FLUSH|SCRIPT EXISTS a
FUNCTION LIST|HELLO 3|AUTH x|RESET|QUIT|MONITOR|CLIENT ID|CLIENT SETNAME a|CLIENT GETNAME|CONFIG GET maxmemory|CONFIG SET hz 10|WAIT 0 0|SAVE
DEBUG SLEEP 0|SHUTDOWN|KEYS nothing|NOSUCH|NOSUCH value|GET|SET k|get k value|CONFIG|CONFIG NOSUCH|OBJECT NOSUCH x|SETEX k 0 v
EXPIRE k notanumber|LPUSH k value|HSET k field value|SADD l value|INCR k|ZADD z nan member|XADD x 0-0 a b|SET k v EX|ZRANGE z a b|GETRANGE h 0 1
"""
TEMPLATES = [entry.split() for line in COMMANDS.split("\n") for entry in line.split("|") if entry]
# What any server may refuse for reasons of its own (its memory, its age) is rare.
LITERALS = ["''", "'a'", "'b'", "'abc'", "'10'", "'3.5'", "'-7'", "' 12 '", "'0x1F'", "'1e3'", "'hello world'", "'a\\0b'", "'\\255\\254'",
            "'line\\nline'", "'\\r\\n'", "'%d'", "'ERR x'", "[[long]]", "'nan'", "'inf'", "'käse'", "string.rep('ab', 30)"]
NUMBERS = ["0", "1", "2", "3", "-1", "10", "100", "3.5", "-0.25", "1e15", "1e17", "2^53", "-2^31", "2^63", "1/3", "0.1", "1e100", "-1e-7",
           "1/0", "-1/0", "123456789012", "4294967296", "-0"]
JSON = ["{}", "[]", "[1,2,3]", '{"a":1}', '{"a":{"b":[true,null]}}', "[1.5,-2e3,\"x\"]", '"text"', "12", "null", "true", "[[[]]]",
        '{"a":"\\u00e9\\n"}', "[1,", "{a:1}", "", "nul", "[1 2]", '{"a" 1}', "[1e999]", '["\\ud83d\\ude00"]', '"\\x"', "[01]", "[-]", " [ 1 ] ", "{\"1\":2}"]
FORMATS = [("b", 1), ("B", 1), ("h", 1), ("H", 1), (">i4", 1), ("<I8", 1), ("d", 1), ("f", 1), ("s", "s"), ("c3", "s"), (">!4bi", 2),
           ("=hB", 2), ("i3", 1), ("Bc0", "n"), ("q", 1), ("i17", 1), ("xxB", 1), ("!8bd", 2)]
SHEBANGS = ["#!lua", "#!lua flags=no-writes", "#!lua flags=allow-oom", "#!lua flags=no-writes,allow-stale", "#!lua flags=no-cluster",
            "#!lua flags=allow-cross-slot-keys", "#!lua name=lib", "#!lua flags=", "#!lua flags=nosuch", "#!lua nosuch=1", "#!python", "#!",
            "#!lua flags=no-writes flags=allow-oom", "#! lua", "#!LUA", "#!lua  flags=no-writes", "#!lua name=", "#!lua flags"]
SPOILT = ["return (", "x = = 1", "for", "return 'abc", "end", "local 1 = 2", "goto x", "return 1 return 2", "if true then", "--[[", "\"", "@", "return \\",
          "break", "local t = {1, 2", "f(", "return ...", "local function f() return ... end", "for i = 1 do end", "x", "x.y", "'a' = 1"]


class Lua:
    """One script after the other. `keys` and `args` say what the script may expect in KEYS and ARGV."""

    def __init__(self, rng, is_valkey=True):
        self.rng = rng
        # Redis 7.0 has no table `server`, and refuses commands that block or that it does not know.
        blocks = lambda row: row[0] == "WAIT" or row[0][0] == "B" and row[0][:3] != "BIT" or row[1:2] == ["BLOCK"]
        self.templates = [row for row in TEMPLATES if is_valkey or not blocks(row) and row[-1] != "WITHSCORE"]
        # Valkey has engines with other names, and others' errors.
        self.engines = [line for line in SHEBANGS if line.startswith("#!lua") or not is_valkey]
        # Valkey writes a fraction as short as it can, Redis with 17 digits.
        self.shortens = is_valkey
        # Lua takes 0 and -0 for one constant, and Redis sends -0 as it is, Valkey as 0.
        self.numbers = [number for number in NUMBERS if number not in ("0", "-0") or not is_valkey]
        # Texts of errors differ, and would get into the data.
        self.caught = "err = type(err)" if is_valkey else "if type(err) == 'table' then err = err.err end"
        # Redis 7.0 crashes where a table without a text is raised.
        self.any_error = is_valkey
        self.tables = ["redis"] * 9 + ["server" if is_valkey else "redis"]
        self.is_function = False

    # ---- small things ----

    def chance(self, share):
        return self.rng.random() < share

    def fresh(self):
        self.names += 1
        return f"v{self.names}"

    def known(self, *kinds):
        """A variable of one of those kinds, or None."""
        found = [name for name, kind in self.scope if kind in kinds]
        return self.rng.choice(found) if found else None

    def quoted(self, text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"

    # ---- expressions ----

    def number(self, depth=0):
        """An expression whose value is a number, most of the time."""
        rng = self.rng
        if self.chance(0.02):
            return self.odd()
        var = self.known("number")
        if var and self.chance(0.4):
            return var
        if depth > 2 or self.chance(0.4):
            return rng.choice(self.numbers)
        deeper = depth + 1
        return rng.choice([
            lambda: f"({self.number(deeper)} {rng.choice('+-*/%')} {self.number(deeper)})",
            lambda: f"({self.number(deeper)} ^ {rng.choice(['2', '0.5', '3'])})",
            lambda: f"(0 - {self.number(deeper)})",
            lambda: f"#{self.text(deeper)}",
            lambda: f"#{self.table(deeper)}",
            lambda: f"(tonumber({self.text(deeper)}) or {self.number(deeper)})",
            lambda: f"tonumber({self.text(deeper)}, {rng.choice(['10', '16', '2', '36', '1'])})",
            lambda: f"math.{rng.choice(['floor', 'ceil', 'abs', 'sqrt'])}({self.number(deeper)})",
            lambda: f"math.{rng.choice(['max', 'min', 'fmod'])}({self.number(deeper)}, {self.number(deeper)})",
            lambda: f"bit.{rng.choice(['band', 'bor', 'bxor', 'lshift', 'rshift', 'arshift', 'rol'])}({self.number(deeper)}, {self.number(deeper)})",
            lambda: f"bit.{rng.choice(['bnot', 'tobit', 'bswap'])}({self.number(deeper)})",
            lambda: f"string.byte({self.text(deeper)}, {self.number(deeper)})",
            lambda: f"(string.find({self.text(deeper)}, {rng.choice(LITERALS[:8])}) or {self.number(deeper)})",
            lambda: f"select('#', {self.arguments(deeper)})",
            lambda: f"struct.size({self.quoted(rng.choice(FORMATS)[0])})",
            lambda: f"table.maxn({self.table(deeper)})",
            lambda: f"(redis.call('{rng.choice(['INCR', 'LLEN', 'STRLEN', 'HLEN'])}', {self.key()}) or 0)",
        ])()

    def text(self, depth=0):
        """An expression whose value is a string, most of the time."""
        rng = self.rng
        if self.chance(0.02):
            return self.odd()
        var = self.known("text")
        if var and self.chance(0.4):
            return var
        if depth > 2 or self.chance(0.35):
            return self.argument() if self.chance(0.3) else rng.choice(LITERALS)
        deeper = depth + 1
        fmt, kind = rng.choice(FORMATS)
        values = {1: self.number(deeper), 2: f"{self.number(deeper)}, {self.number(deeper)}", "s": self.text(deeper), "n": f"2, {self.text(deeper)}"}
        return rng.choice([
            lambda: f"({self.text(deeper)} .. {self.text(deeper)})",
            lambda: f"({self.text(deeper)} .. {self.number(deeper)})",
            lambda: f"tostring({self.number(deeper)})",
            lambda: f"tostring({self.truth(deeper)})",
            lambda: f"type({self.any(deeper)})",
            lambda: f"string.{rng.choice(['upper', 'lower', 'reverse'])}({self.text(deeper)})",
            lambda: f"string.sub({self.text(deeper)}, {rng.choice(['1', '2', '-3', '0'])}, {rng.choice(['1', '4', '-1', '-2'])})",
            lambda: f"string.rep({self.text(deeper)}, {rng.choice(['0', '1', '3', '-1'])})",
            lambda: f"string.format({rng.choice(['%q', '%s', '%10s', '%-5s|', '%.2s']).join(chr(39) * 2)}, {self.text(deeper)})",
            lambda: f"string.format('{rng.choice(['%d', '%5.1f', '%g', '%x', '%e', '%05d', '%c', '%i', '%.14g', '%.17g', '%u', '%y'])}', {self.number(deeper)})",
            lambda: f"string.gsub({self.text(deeper)}, {rng.choice(LITERALS[:8])}, {rng.choice(LITERALS[:8])})",
            lambda: f"(string.match({self.text(deeper)}, '{rng.choice(['%d+', '(%a)(%a)', '^%s*', '.-b', '[^a]+', '%', '[a', '(%w'])}') or {self.text(deeper)})",
            lambda: f"cjson.encode({self.any(deeper)})",
            lambda: f"cmsgpack.pack({self.any(deeper)})",
            lambda: f"struct.pack({self.quoted(fmt)}, {values[kind]})",
            lambda: f"redis.sha1hex({self.text(deeper)})",
            lambda: f"bit.tohex({self.number(deeper)}, {rng.choice(['1', '4', '-8', '0'])})",
            lambda: f"table.concat({self.table(deeper)}, {rng.choice(LITERALS[:4])})",
            lambda: f"(redis.call('GET', {self.key()}) or {self.text(deeper)})",
        ])()

    def truth(self, depth=0):
        rng = self.rng
        if depth > 2 or self.chance(0.3):
            return rng.choice(["true", "false", "nil"])
        deeper = depth + 1
        return rng.choice([
            lambda: f"({self.number(deeper)} {rng.choice(['<', '<=', '>', '>=', '==', '~='])} {self.number(deeper)})",
            lambda: f"({self.text(deeper)} {rng.choice(['<', '==', '~='])} {self.text(deeper)})",
            lambda: f"(not {self.any(deeper)})",
            lambda: f"({self.truth(deeper)} {rng.choice(['and', 'or'])} {self.any(deeper)})",
            lambda: f"({self.any(deeper)} == nil)",
            lambda: f"rawequal({self.any(deeper)}, {self.any(deeper)})",
        ])()

    def table(self, depth=0):
        rng = self.rng
        if self.chance(0.02):
            return self.odd()
        var = self.known("table")
        if var and self.chance(0.4):
            return var
        if depth > 2 or self.chance(0.2):
            return rng.choice(["{}", "{1}", "{1, 2, 3}", "{'a', 'b'}", "KEYS" if not self.is_function else "keys"])
        deeper = depth + 1
        fmt = rng.choice(FORMATS)[0]
        return rng.choice([
            lambda: "{" + self.arguments(deeper) + "}",
            lambda: "{" + self.arguments(deeper) + f", n = {self.any(deeper)}}}",
            lambda: f"{{{self.any(deeper)}, nil, {self.any(deeper)}}}",
            lambda: f"{{[{rng.choice(['1', '2', '0', '1.5', '-1', 'true'])}] = {self.any(deeper)}}}",
            lambda: f"{{ok = {self.any(deeper)}}}",
            lambda: f"{{err = {self.any(deeper)}}}",
            lambda: f"{{double = {self.any(deeper)}}}",
            lambda: f"{{map = {{[{self.any(deeper)}] = {self.any(deeper)}}}}}",
            lambda: f"{{set = {{[{self.any(deeper)}] = true}}}}",
            lambda: f"{{big_number = {self.any(deeper)}}}",
            lambda: f"{{verbatim_string = {{string = {self.any(deeper)}, format = {rng.choice(['chr', 'txt', 'mkd', 'x', 'long']).join(chr(39) * 2)}}}}}",
            lambda: f"{{verbatim_string = {self.any(deeper)}}}",
            lambda: f"{{map = {{{self.any(deeper)}}}, set = {{}}, {rng.choice(['big_number', 'double', 'ok', 'verbatim_string'])} = {self.any(deeper)}}}",
            lambda: f"{{{self.call(deeper)}}}",
            lambda: f"{self.call(deeper, 'pcall')}",
            lambda: f"cjson.decode({self.quoted(rng.choice(JSON))})",
            lambda: f"{{cmsgpack.unpack({self.text(deeper) if self.chance(0.3) else 'cmsgpack.pack(' + self.arguments(deeper) + ')'})}}",
            lambda: f"{{cmsgpack.unpack_{rng.choice(['one', 'limit'])}({self.text(deeper)}, {rng.choice(['1', '0', '2', '-1'])}{rng.choice(['', ', 1', ', 3'])})}}",
            lambda: f"{{struct.unpack({self.quoted(fmt)}, {self.text(deeper)}{rng.choice(['', ', 1', ', 2', ', 0'])})}}",
            lambda: f"redis.error_reply({self.text(deeper)})",
            lambda: f"redis.status_reply({self.text(deeper)})",
            lambda: f"{{pcall(function() {self.last(deeper)} end)}}",
            lambda: f"{{xpcall(function() {self.last(deeper)} end, function(e) return type(e) end)}}",
            lambda: f"{{select({rng.choice(['1', '2', '-1', '-9', '0'])}, {self.arguments(deeper)})}}",
            lambda: f"{{unpack({self.table(deeper)})}}",
            lambda: f"{{next({self.table(deeper)})}}",
            lambda: f"{{string.find({self.text(deeper)}, {rng.choice(LITERALS[:8])})}}",
            lambda: f"{{coroutine.wrap(function() coroutine.yield({self.any(deeper)}) {self.last(deeper)} end)()}}",
            lambda: f"{{coroutine.resume(coroutine.create(function() {self.last(deeper)} end))}}",
            lambda: f"setmetatable({self.table(deeper)}, {{__index = {rng.choice(['{ok = 1}', 'function(t, k) return k end'])}}})",
            lambda: f"{{loadstring({self.quoted('return ' + rng.choice(NUMBERS))})()}}",
            lambda: f"{{math.modf({self.number(deeper)})}}",
        ])()

    def any(self, depth=0):
        var = self.known("any", "number", "text", "table")
        if var and self.chance(0.3):
            return var
        return self.rng.choice([self.number, self.number, self.text, self.text, self.table, self.truth, lambda d: "nil", lambda d: self.call(d)])(depth)

    def raised(self):
        """What an error is: a text, a table, anything."""
        if self.chance(0.4):
            return f"tostring({self.text(1)})"
        if self.chance(0.4):
            return self.rng.choice(["{{err = tostring({})}}", "redis.error_reply(tostring({}))"]).format(self.text(1))
        return self.any(1) if self.any_error else "'raised'"

    def odd(self, has_address=False):
        """What is seldom right. `has_address`: it may be something whose text is an address."""
        plain = ["nil", "true", "undefined", "KEYS.x", "undefined.x", "redis.nosuch", "ARGV[9]", "print", "_G.x", "#nil", "('a' + 1)", "(nil .. 'x')",
                 "redis.call()", "redis.LOG_WARNING"]
        return self.rng.choice(plain + ["{}", "function() end", "cjson.null", "string", "redis.call", "redis"] if has_address else plain)

    def arguments(self, depth):
        return ", ".join(self.any(depth) for _ in range(self.rng.randint(1, 3)))

    # ---- keys, arguments, commands ----

    def key(self, letter=None):
        rng = self.rng
        keys, argv = ("keys", "args") if self.is_function else ("KEYS", "ARGV")
        way = rng.random()
        if way < 0.45 and self.keys:
            fitting = [n for n, key in enumerate(self.keys, 1) if not letter or key[0] == letter]
            return f"{keys}[{rng.choice(fitting or range(1, len(self.keys) + 1))}]"
        if way < 0.5:
            return f"{argv}[1]"
        fitting = [key for key in KEYS if not letter or key[0] == letter]
        return self.quoted(rng.choice(fitting if self.chance(0.95) else KEYS))

    def argument(self):
        name = "args" if self.is_function else "ARGV"
        return f"{name}[{self.rng.choice([1, 1, 2, 3])}]"

    def word(self, token):
        rng = self.rng
        if token in ("k", "l", "h", "s", "z", "x", "n"):
            return self.key(token)
        if token == "key":
            return self.key()
        if token == "small":
            return rng.choice(["0", "1", "2", "-1", "3", "'1'", "5"])
        if token in ("num", "num-1"):
            number = str(rng.randint(1, 50))
            return number if token == "num" else f"'{number}-1'"
        if token == "int":
            return rng.choice(["1", "5", "-3", "'7'", self.number_word()])
        if token in ("float", "score"):
            return rng.choice(["1.5", "-2.25", "3", "'0.5'", "'0.1'", "1e20", self.number_word()])
        if token == "bit":
            return rng.choice(["0", "1"])
        if token == "field":
            return rng.choice(["'f0'", "'f1'", "'f2'", "7"])
        if token == "member":
            return rng.choice(["'m0'", "'m1'", "'m2'", "'m3'"])
        if token == "value":
            return rng.choice([self.text, self.text, lambda _: self.number_word()])(1) if self.chance(0.5) else rng.choice(LITERALS)
        return self.quoted(token)

    def number_word(self):
        number = self.number(1)
        return f"tostring({number})" if self.shortens else number

    def call(self, depth=0, how=None):
        rng = self.rng
        how = how or rng.choice(["call", "call", "call", "pcall"])
        words = [self.word(token) for token in rng.choice(self.templates)]
        if self.chance(0.02):
            words.append(self.odd(True))
        if self.chance(0.01):
            words.pop()
        return f"{rng.choice(self.tables)}.{how}({', '.join(words)})"

    # ---- statements ----

    def statement(self, depth):
        rng = self.rng
        deeper = depth + 1
        block = lambda: self.block(deeper)
        simple = [
            (30, lambda: self.local()),
            (25, lambda: self.call()),
            (2, lambda: f"redis.setresp({rng.choice(['3', '3', '3', '2', '4', chr(39) + '3' + chr(39)])})"),
            (2, lambda: self.assign()),
            (1, lambda: f"table.insert({self.known('table') or '{}'}, {self.any(1)})"),
            (1, lambda: f"table.sort({self.known('table') or '{3, 1, 2}'})"),
            (1, lambda: f"redis.set_repl({rng.choice(['redis.REPL_ALL', 'redis.REPL_AOF', '9', ''])})"),
            (0.5, lambda: f"redis.log({rng.choice(['redis.LOG_DEBUG', '9', 'nil', ''])}, 'x')"),
            (0.5, lambda: f"{rng.choice(['x', 'redis', 'KEYS', 'string.x', 'redis.call', 'print', '_G.y'])} = {self.any(1)}"),
            (0.7, lambda: f"error({self.raised()}{rng.choice(['', '', ', 0', ', 2'])})"),
            (0.5, lambda: f"assert({self.any(1)}{rng.choice(['', ', ' + self.text(1)])})"),
        ]
        if depth < 2:
            simple += [
                (3, lambda: f"if {self.truth()} then\n{block()}\nelse\n{block()}\nend"),
                (3, lambda: self.loop(deeper)),
                (4, lambda: f"local ok, err = pcall(function()\n{block()}\nend)\n{self.caught}" + self.note("err", "any")),
                (1, lambda: f"local function f(a, b)\n{self.last(deeper)}\nend\n{self.local_of('any', 'f(' + self.arguments(1) + ')')}"),
            ]
        weights, makers = zip(*simple)
        return rng.choices(makers, weights)[0]()

    def note(self, name, kind):
        self.scope.append((name, kind))
        return ""

    def local(self):
        kind, make = self.rng.choice([("number", self.number), ("text", self.text), ("table", self.table), ("any", self.any), ("any", self.call)])
        return self.local_of(kind, make())

    def local_of(self, kind, expression):
        name = self.fresh()
        self.scope.append((name, kind))
        return f"local {name} = {expression}"

    def assign(self):
        name, table = self.known("number", "text"), self.known("table")
        if table and self.chance(0.5):
            return f"{table}[{self.rng.choice(['1', '2', '#' + table + ' + 1', chr(39) + 'x' + chr(39)])}] = {self.any(1)}"
        return f"{name} = {self.text(1)}" if name else self.local()

    def loop(self, depth):
        rng = self.rng
        name = self.fresh()
        header = rng.choice([f"for {name} = 1, {rng.randint(0, 4)} do", f"for {name} = 3, 1, -1 do", f"for {name} in ipairs({{{self.arguments(1)}}}) do",
                             f"for _, {name} in ipairs({{{self.arguments(1)}}}) do"])
        before = len(self.scope)
        self.scope.append((name, "number" if "_" not in header else "any"))
        body = self.block(depth)
        del self.scope[before:]
        return f"{header}\n{body}\nend"

    def block(self, depth):
        before = len(self.scope)
        lines = [self.statement(depth) for _ in range(self.rng.randint(1, 3))]
        if self.chance(0.15):
            lines.append(self.last(depth))
        del self.scope[before:]
        return self.joined(lines)

    def joined(self, lines):
        # Two expressions on two lines would be one call where the second begins with a bracket.
        return self.rng.choice(["\n", "; ", " "]).join(lines) if len(lines) > 1 else "".join(lines)

    def last(self, depth):
        rng = self.rng
        return rng.choice([
            lambda: f"return {self.any(depth)}",
            lambda: f"return {self.table(depth)}",
            lambda: f"return {self.call(depth)}",
            lambda: f"return {self.call(depth)}",
            lambda: f"return {self.number(depth)}",
            lambda: f"error({self.raised()})",
        ])()

    # ---- whole texts ----

    def begin(self, keys, is_function):
        self.keys, self.is_function = keys, is_function
        self.names, self.scope = 0, []

    def body(self, depth=0):
        lines = [self.statement(depth) for _ in range(self.rng.choice([0, 1, 1, 2, 3, 5, 8]))]
        lines.append(self.last(0))
        return self.rng.choice(["\n", "\n", " "]).join(lines)

    def script(self, keys):
        """The text of a script that will be given those keys."""
        self.begin(keys, False)
        if self.chance(0.02):
            return self.rng.choice(SPOILT)
        text = self.body()
        if self.chance(0.15):
            text = self.rng.choice(SHEBANGS[:6] if self.chance(0.7) else self.engines) + "\n" + text
        return text

    def library(self, name, functions):
        """A library that registers those functions, most of the time."""
        rng = self.rng
        lines = [rng.choice(["#!lua name=" + name] * 20 + ["#!lua", "#!lua name=", "#!lua name=a-b", "", f"#!lua name={name} x=1",
                                                           f"#!lua name={name} name=other", "#!lua name=" + "n" * 70])]
        if self.chance(0.3):
            lines.append("local count = 0")
        for function in functions:
            self.begin(["k0", "h0"], True)
            body = self.body(1)
            if "local count = 0" in lines and self.chance(0.7):
                body = "count = count + 1 " + (body if self.chance(0.5) else "return count")
            code = f"function(keys, args)\n{body}\nend"
            flags = rng.choice(["", "", "flags = {'no-writes'},", "flags = {'allow-oom'},", "flags = {'no-writes', 'allow-stale'},", "flags = {'nosuch'},", "flags = 1,"]
                               if self.chance(0.5) else [""])
            lines.append(rng.choice([
                f"redis.register_function('{function}', {code})",
                f"redis.register_function{{function_name = '{function}', {flags} callback = {code}}}",
                f"redis.register_function{{function_name = '{function}', {flags} callback = {code}, description = 'about {function}'}}",
            ]))
        if self.chance(0.12):
            lines.append(rng.choice(["redis.register_function('f0', function() end)", "redis.register_function('bad name', function() end)", "redis.register_function()",
                                     "redis.register_function('x')", "redis.register_function('x', 1)", "redis.register_function{callback = 1}", "return redis.call('PING')",
                                     "redis.register_function{function_name = 'y'}", "redis.register_function{function_name = 'y', callback = function() end, other = 1}",
                                     "error('no')", "x = 1", "local function f(", "redis.register_function(1, 2, 3)", "undefined()", "error({err = 'My error'})",
                                     "redis.register_function{function_name = 1, callback = function() end}", "math.x = 1", "KEYS = 1"]))
        return "\n".join(lines)
