"""Draws commands from traffic.txt, and what there is never to be sent."""

import itertools
import re
from pathlib import Path

from words import Words

TRAFFIC = Path(__file__).with_name("traffic.txt")

# (command, reason): never sent, since the data would differ from then on.
NOT_SENT = [
    (r"^client kill id (?!999999$)", "the numbers of connections are the server's own"),
    (r"^client (reply (?!on$)|pause (?!0( |$)))", "a spoilt one may silence the connection, or pause the server for long"),
    (r"^(blpop|brpop|brpoplpush|blmove|bzpopmin|bzpopmax) (?!.* (0\.001|-1|soon)$)", "it may block for long"),
    (r"^b[lz]mpop (?!(0\.001|-1|soon) )", "it may block for long"),
    (r"^wait (?!0 )(?!.* (-1|soon)$)", "it may block for long"),
    (r"^(h?p?expire|p?setex) (\S+|'.*?') [1-9]\d{0,3}( |$)", "it would come to an end while the comparison runs"),
    (r"^(set|getex|msetex|hgetex|hsetex) .* (ex|px) [1-9]\d{0,3}( |$)", "it would come to an end while the comparison runs"),
    (r"^h[gs]etex (fields|nx|xx|fnx|fxx|ex|px|exat|pxat|keepttl|persist) ", "Valkey looks for options in the key, too"),
    (r"^lset \S+ -?\d{12}", "Valkey cuts the index to 32 bits"),
    (r"^z.* limit -", "a negative offset finds nothing in a listpack, and something in Valkey's skip list"),
]
NEVER = re.compile("|".join(pattern for pattern, _ in NOT_SENT), re.IGNORECASE)
TOKEN = re.compile(r"\.\.\.|[\[\]()|]|[^\s\[\]()|]+")
PLAIN = re.compile(r"[!-~]+")


def shown(args):
    return " ".join(arg if PLAIN.fullmatch(arg) else repr(arg) for arg in args)


class Grammar:
    """The rows of the traffic file, each as often as its weight says."""

    def __init__(self, rng, is_valkey, families):
        self.rng, self.words = rng, Words(rng)
        # Rows: (letter of the family's keys, sent alone, sequence); see `parse`.
        self.rows, weights = [], []
        self.sorts = not families or "sort" in families
        letters = set()
        for line in TRAFFIC.read_text().splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if not line.startswith(" "):
                family, letter = words
                letters.add(letter)
            elif not families or family in families:
                marks = self.take_marks(words)
                if is_valkey or "valkey" not in marks:
                    self.rows.append((letter, "single" in marks, self.parse(TOKEN.findall(" ".join(words)))[0]))
                    weights.append(next((int(mark) for mark in marks if mark.isdigit()), 1))
        self.weights = list(itertools.accumulate(weights))
        self.words.letters = sorted(letters - {"*", "x"})

    def take_marks(self, words):
        marks = []
        while words[0] in ("valkey", "single") or words[0].isdigit():
            marks.append(words.pop(0))
        return marks

    def parse(self, tokens):
        """Sequences that were separated by |, of words, methods that draw words, (chance, sequences) and "..."."""
        sequences = [[]]
        while tokens and (token := tokens.pop(0)) not in ("]", ")"):
            if token == "|":
                sequences.append([])
            elif token in ("[", "("):
                sequences[-1].append((0.5 if token == "[" else 1, self.parse(tokens)))
            else:
                sequences[-1].append(token.islower() and getattr(self.words, token, None) or token)
        return sequences

    def expand(self, sequence, out):
        for index, item in enumerate(sequence):
            if item == "...":
                for _ in range(self.rng.randrange(4)):
                    self.expand_item(sequence[index - 1], out)
            else:
                self.expand_item(item, out)

    def expand_item(self, item, out):
        if isinstance(item, str):
            out.append(item)
        elif isinstance(item, tuple):
            chance, sequences = item
            if chance == 1 or self.rng.random() < chance:
                self.expand(sequences[0] if len(sequences) == 1 else self.rng.choice(sequences), out)
        else:
            drawn = item()
            out.extend(drawn if isinstance(drawn, list) else [drawn])

    def command(self):
        """A command, and whether it is to be sent alone."""
        args = []
        self.words.letter, single, row = self.rng.choices(self.rows, cum_weights=self.weights)[0]
        self.expand(row, args)
        if self.rng.random() < 0.06 and not single and self.words.letter != "x":
            self.spoil(args)
        if self.rng.random() < 0.2:
            args[0] = args[0].lower()
        return args, single or args[1:2] == ["WHOLE"]

    def spoil(self, args):
        way = self.rng.randrange(4)
        if way == 0 and len(args) > 1:
            args.pop(self.rng.randrange(1, len(args)))
        elif way == 1:
            args.insert(self.rng.randrange(1, len(args) + 1), self.words.value())
        elif way == 2 and len(args) > 1:
            args[self.rng.randrange(1, len(args))] = self.words.value()
        else:
            args.append(args[-1])
