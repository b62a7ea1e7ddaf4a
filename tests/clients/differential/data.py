"""Whether two servers hold the same: keys, types, encodings, times and values, in all databases."""

from compare import pairs, same
from pair import Pair
from wire import ask_both

DATABASES = 16
CONTENT = {
    "string": ["GET", "key"],
    "list": ["LRANGE", "key", "0", "-1"],
    "set": ["SMEMBERS", "key"],
    "hash": ["HGETALL", "key"],
    "zset": ["ZRANGE", "key", "0", "-1", "WITHSCORES"],
    "stream": ["XINFO", "STREAM", "key", "FULL", "COUNT", "0"],
}


def different_data(ports, field_times, sorts):
    """What the servers first answer differently when asked for all of their data: (command, ours, theirs)."""
    pair = Pair(ports)
    try:
        every = ask_both(pair.clients, [c for db in range(DATABASES) for c in (["SELECT", str(db)], ["KEYS", "*"])])
        for db, (ours, theirs) in enumerate(every[1::2]):
            here, there = ({item[1].decode("latin-1") for item in reply[1]} for reply in (ours, theirs))
            if here != there:
                keys = sorted(here ^ there)
                return ["keys-of", str(db), *keys], ("*", sorted(here - there)), ("*", sorted(there - here))
            pair.ours.call("SELECT", str(db))
            pair.theirs.call("SELECT", str(db))
            wrong = different_keys(pair.clients, sorted(here), field_times, sorts)
            if wrong:
                return wrong
        return None
    finally:
        pair.close()


def different_keys(clients, keys, field_times, sorts):
    """The first difference in the selected database, whose keys are the same."""
    questions = [[*question, key] for key in keys for question in (["TYPE"], ["OBJECT", "ENCODING"], ["PEXPIRETIME"])]
    facts = list(zip(questions, ask_both(clients, questions)))
    asked = []
    for key, (args, types), (_, encodings), _ in zip(keys, facts[::3], facts[1::3], facts[2::3]):
        if types[0] != types[1]:
            return args, *types
        asked.append([key if word == "key" else word for word in CONTENT[types[0][1].decode()]])
        if encodings[0] != encodings[1] and not free_encoding(types[0][1], encodings[0][1], sorts):
            return ["object", "encoding", key], *encodings
    answers = list(zip(asked, ask_both(clients, asked)))
    if field_times:
        asked = [fields_question(args[1], ours) for args, (ours, _) in answers if args[0] == "HGETALL"]
        answers += zip(asked, ask_both(clients, asked))
    for args, (ours, theirs) in facts[2::3] + answers:
        if not same(args, ours, theirs) and not (args[0] == "ZRANGE" and without_signs(ours) == without_signs(theirs)):
            return args, ours, theirs
    return None


def fields_question(key, hash):
    fields = [field[1].decode("latin-1") for field, _ in pairs(hash[1])]
    return ["HPEXPIRETIME", key, "FIELDS", str(len(fields)), *fields]


def free_encoding(kind, encoding, sorts):
    """What strings are called, and sorted sets that were sorted: see EXPLAINED. Whether what SUNIONSTORE and the like
    leave is a table hangs on the order of the source's."""
    return kind == b"string" or kind == b"zset" and sorts or kind == b"set" and encoding == b"listpack"


def without_signs(reply):
    """A score of -0 is kept as 0 in a listpack; results of ZINTERSTORE pass through one here, and not in Valkey."""
    return [("$", b"0") if item == ("$", b"-0") else item for item in reply[1]]
