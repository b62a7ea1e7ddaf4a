"""What the clients of the crash test send, and what they remember of it.

Each writer has keys of its own, so its commands, in their order, say what these keys hold (`State`); its `Book` has all that it
sent since the last start, and how much of that was acknowledged. Beside them there are keys that all share, with rules that
hold at every moment: accounts whose sum is zero, keys that are always equal, a queue from which nothing vanishes, and copies
that are never newer than what they were copied from.
"""

import random
import socket
import threading

WRITERS = 4
ACCOUNTS = 6
EQUALS = [f"all:{n}" for n in range(4)]
QUEUES = [f"queue:{n}" for n in range(3)]
SCRIPT = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1]) end return redis.call('INCR', KEYS[1])"


class Connection:
    """A bare client: much lighter than a library's, and it shows what was sent and what was answered."""

    def __init__(self, port, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, commands):
        words = []
        for command in commands:
            words.append(b"*%d\r\n" % len(command))
            for word in command:
                word = word if isinstance(word, bytes) else str(word).encode()
                words.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(words))

    def reply(self):
        """The next reply; an error is a value, the end of the connection raises."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Refusal(rest.decode())
        if kind == b":":
            return int(rest)
        length = int(rest)
        if length < 0:
            return None
        if kind == b"*":
            return [self.reply() for _ in range(length)]
        data = self.file.read(length + 2)
        if len(data) < length + 2:
            raise ConnectionError("closed")
        return data[:-2]

    def ask(self, *command):
        return self.ask_all([command])[0]

    def ask_all(self, commands):
        self.send(commands)
        return [self.reply() for _ in commands]

    def close(self):
        self.file.close()
        self.socket.close()


class Refusal(str):
    """An error reply."""


# ---- what a writer's keys hold ----


class State:
    """A writer's own keys after some of its operations."""

    def __init__(self, keys=None, pool=(), queued=()):
        self.keys = keys or {}
        self.pool, self.lost = set(pool), 0  # `lost`: taken by SPOPs whose reply never came
        self.queued = set(queued)

    def matches(self, keys, pool):
        return self.keys == keys and pool <= self.pool and len(self.pool) - len(pool) == self.lost


class Operation:
    """Commands that are one step, and what they do to a state, given their replies or None."""

    def __init__(self, commands, apply):
        self.commands, self.apply = commands, apply


def together(commands, apply):
    return Operation([("MULTI",), *commands, ("EXEC",)], apply)


class Maker:
    """Draws operations for one writer; `number` is the operation's, so all values are different and grow."""

    def __init__(self, name, rng):
        self.name, self.rng = name, rng
        self.kinds = [getattr(self, kind) for kind in dir(self) if kind.startswith("do_")]

    def key(self, name):
        return f"{self.name}:{name}"

    def draw(self, number):
        return self.rng.choice(self.kinds)(number, str(number).encode())

    def sets(self, names, value):
        """What storing the value under all these names does."""
        keys = [self.key(name) for name in names]
        return lambda state, _: state.keys.update(dict.fromkeys(keys, value))

    def shared(self, commands, value):
        """Commands on shared keys, with a mark among the writer's own."""
        last = ("SET", self.key("last"), value)
        return together([*commands, last], self.sets(["last"], value))

    def do_set(self, number, value):
        name = f"s{self.rng.randrange(3)}"
        return Operation([("SET", self.key(name), value)], self.sets([name], value))

    def do_expire(self, number, value):
        return Operation([("SET", self.key("e"), value, "EX", 100_000)], self.sets(["e"], value))

    def do_delete(self, number, value):
        key = self.key(f"s{self.rng.randrange(3)}")
        command = self.rng.choice([("DEL", key), ("UNLINK", key), ("PEXPIRE", key, -1), ("GETDEL", key)])
        return Operation([command], lambda state, _: state.keys.pop(key, None))

    def do_count(self, number, value):
        key = self.key("count")

        def apply(state, _):
            state.keys[key] = b"%d" % (int(state.keys.get(key, 0)) + 1)

        return Operation([("INCR", key)], apply)

    def do_float(self, number, value):
        key = self.key("float")

        def apply(state, _):
            state.keys[key] = (b"%.1f" % (float(state.keys.get(key, 0)) + 0.5)).removesuffix(b".0")

        return Operation([("INCRBYFLOAT", key, "0.5")], apply)

    def do_push(self, number, value):
        key = self.key("list")
        return Operation([("RPUSH", key, value)], lambda state, _: state.keys.setdefault(key, []).append(value))

    def do_pop(self, number, value):
        key = self.key("list")

        def apply(state, _):
            if items := state.keys.get(key):
                items.pop(0)
                if not items:
                    del state.keys[key]

        return Operation([("LPOP", key)], apply)

    def do_hash(self, number, value):
        key, field = self.key("hash"), b"f%d" % (number % 5)
        return Operation([("HSET", key, field, value)], lambda state, _: state.keys.setdefault(key, {}).update({field: value}))

    def do_zset(self, number, value):
        key, member = self.key("zset"), b"m%d" % (number % 7)
        return Operation([("ZADD", key, value, member)], lambda state, _: state.keys.setdefault(key, {}).update({member: value}))

    def do_stream(self, number, value):
        key = self.key("stream")

        def apply(state, _):
            entries = state.keys.setdefault(key, [])
            entries.append(value)
            del entries[:-5]

        return Operation([("XADD", key, "MAXLEN", 5, "*", "n", value)], apply)

    def do_fill(self, number, value):
        members = [b"%d.%d" % (number, n) for n in range(3)]
        return Operation([("SADD", self.key("pool"), *members)], lambda state, _: state.pool.update(members))

    def do_spop(self, number, value):
        def apply(state, replies):
            if replies is None:
                state.lost += len(state.pool) > state.lost
            else:
                state.pool.discard(replies[0])

        return Operation([("SPOP", self.key("pool"))], apply)

    def do_mset(self, number, value):
        names = ["a", "b", "c"]
        pairs = [word for name in names for word in (self.key(name), value)]
        return Operation([("MSET", *pairs)], self.sets(names, value))

    def do_multi(self, number, value):
        names = ["m0", "m1", "m2"]
        return together([("SET", self.key(name), value) for name in names], self.sets(names, value))

    def do_script(self, number, value):
        keys = [self.key(f"lua{n}") for n in range(3)]

        def apply(state, _):
            state.keys.update(dict.fromkeys(keys, value))
            state.keys[keys[0]] = b"%d" % (number + 1)

        return Operation([("EVAL", SCRIPT, 3, *keys, value)], apply)

    def do_public(self, number, value):
        """What others read and copy. It only grows."""
        key = f"x:{self.name}"
        return Operation([("SET", key, value)], lambda state, _: state.keys.update({key: value}))

    def do_copy(self, number, value):
        other = self.rng.randrange(WRITERS)
        return self.shared([("COPY", f"x:{other}", f"y:{self.name}:{other}", "REPLACE")], value)

    def do_transfer(self, number, value):
        a, b = self.rng.sample(range(ACCOUNTS), 2)
        return self.shared([("DECRBY", f"account:{a}", 3), ("INCRBY", f"account:{b}", 3)], value)

    def do_equal(self, number, value):
        text = f"{self.name}/{number}"
        return self.shared([("MSET", *(word for key in EQUALS for word in (key, text)))], value)

    def do_queue(self, number, value):
        element = f"{self.name}/{number}".encode()
        operation = self.shared([("RPUSH", QUEUES[0], element)], value)
        marked = operation.apply

        def apply(state, replies):
            marked(state, replies)
            state.queued.add(element)

        operation.apply = apply
        return operation

    def do_move(self, number, value):
        source, target = self.rng.sample(QUEUES, 2)
        return self.shared([("LMOVE", source, target, "LEFT", "RIGHT")], value)


class Book:
    """All that a writer did since the last start. `base` is what was found then."""

    def __init__(self, name):
        self.name, self.number = name, 0
        self.restart(State())

    def restart(self, base):
        self.base = base
        self.done = []  # (operation, its replies or None), in the order sent
        self.acknowledged = 0
        self.durable = 0  # so many were acknowledged long ago

    def sent(self, operations):
        self.done += [(operation, None) for operation in operations]

    def answered(self, replies):
        operation, _ = self.done[self.acknowledged]
        self.done[self.acknowledged] = (operation, replies)
        self.acknowledged += 1


# ---- the clients ----


class Client(threading.Thread):
    """Works until the server is gone. What must not be answered is in `complaints`."""

    def __init__(self, port, seed, complaints):
        super().__init__(daemon=True)
        self.rng, self.complaints = random.Random(seed), complaints
        self.connection = Connection(port)
        self.asked_to_end = threading.Event()

    def run(self):
        try:
            while not self.asked_to_end.is_set():
                self.work()
        except OSError:
            pass
        except Exception as error:  # shown by the main thread
            self.complaints.append(repr(error))
        finally:
            self.connection.close()


class Writer(Client):
    def __init__(self, port, seed, complaints, book):
        super().__init__(port, seed, complaints)
        self.book, self.maker = book, Maker(book.name, self.rng)

    def work(self):
        operations = []
        for _ in range(self.rng.choice([1, 1, 4, 16])):
            self.book.number += 1
            operations.append(self.maker.draw(self.book.number))
        self.book.sent(operations)
        self.connection.send([command for operation in operations for command in operation.commands])
        for operation in operations:
            replies = [self.connection.reply() for _ in operation.commands]
            last = replies[-1] if isinstance(replies[-1], list) else []
            if refusal := next((reply for reply in replies + last if isinstance(reply, Refusal)), None):
                self.complaints.append(f"{operation.commands}: {refusal}")
            self.book.answered(replies)


class Reader(Client):
    """Only reads. Under `always`, what it saw must still be there."""

    def __init__(self, port, seed, complaints, seen):
        super().__init__(port, seed, complaints)
        self.seen = seen

    def work(self):
        own = [("GET", f"x:{n}") for n in range(WRITERS)]
        *numbers, equals = self.connection.ask_all([*own, ("MGET", *EQUALS)])
        for n, number in enumerate(numbers):
            self.seen[n] = max(self.seen[n], int(number or 0))
        if len(set(equals)) != 1:
            self.complaints.append(f"half of an MSET was seen: {equals}")


class Mover(Client):
    """Waits for elements and moves them on."""

    def work(self):
        source, target = self.rng.sample(QUEUES, 2)
        self.connection.ask("BLMOVE", source, target, "LEFT", "RIGHT", "0.02")


class Disturber(Client):
    """Has snapshots and logs written, at random. That one is under way already is no error."""

    def work(self):
        self.asked_to_end.wait(self.rng.random() * 0.15)
        self.connection.ask(self.rng.choice(["BGSAVE", "BGREWRITEAOF"]))
