"""Whether two replies are the same, or differ for a reason that is listed here."""

import re
from collections import Counter

from grammar import shown

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
REASONS = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), reason) for pattern, reason in EXPLAINED]
# How often each reason was met with.
met = Counter()

# DBSIZE counts a hash whose fields are all overdue until it is swept.
TIMES = {"dbsize": 1, "object": 2}
TIMES |= {"ttl": 1, "expiretime": 1, "pttl": 3000, "pexpiretime": 3000}
TIMES |= {"httl": 1, "hexpiretime": 1, "hpttl": 3000, "hpexpiretime": 3000}
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


def explained(args, ours, theirs):
    subject = f"{shown(args).lower()} | {text_of(ours)} | {text_of(theirs)}"
    reason = next((reason for pattern, reason in REASONS if pattern.search(subject)), None)
    if reason:
        met[reason] += 1
    return reason is not None


def same(args, ours, theirs):
    if ours is theirs:
        return True
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
