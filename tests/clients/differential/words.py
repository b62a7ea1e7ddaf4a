"""The words of the traffic file: keys, members, numbers, times …, valid ones mostly, drawn by one generator."""


class Words:
    """A word in lower case in the traffic file is a method here; some are several words."""

    def __init__(self, rng):
        self.rng = rng
        # Of the family that draws, and of all families whose keys may be of any type.
        self.letter, self.letters = "k", []
        self.top = 0

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
        self.top = self.top + self.rng.choice([0, 0, 1])
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
        return self.rng.choice(["0.001"] * 8 + ["-1", "soon"])

    def name(self):
        return self.rng.choice(["me", "a-b", "", "two words", "\xff"])

    def nonsense(self):
        return self.rng.choice(["foo", "", "127.0.0.1:1", "x y", "f" * 140, "-3"])
