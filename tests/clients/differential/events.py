"""What a client hears from each server that has subscribed to all keyspace events."""

import re
from itertools import zip_longest

from compare import met
from grammar import shown
from wire import Client, Reader, encode

# All classes, with misses and new keys, by key and by event.
CLASSES = "KEAmn"

PAST = "Valkey tells of a time that is past as of one that came"
# (command, what Valkey tells of its key, what Redis does, reason); events are written as by `read_events`, one a line.
EXPLAINED_EVENTS = [
    (r"^p?expire(at)? ", r"(\d+) expired KEY", r"\1 del KEY", PAST),
    (r"^(hp?expire(at)?|hgetex) ", r"(\d+) hexpired KEY", r"\1 hdel KEY", PAST),
    (r"^hsetex ", r"(\d+) hexpire KEY\n\d+ (?:hexpired|hdel) KEY", r"\1 hdel KEY", PAST),
]
RULES = [(re.compile(command, re.IGNORECASE), *rest) for command, *rest in EXPLAINED_EVENTS]


class Listeners:
    def __init__(self, ports):
        self.clients = [Client(port) for port in ports]
        self.asked = 0
        for client in self.clients:
            if client.call("CONFIG", "SET", "notify-keyspace-events", CLASSES) != ("+", b"OK"):
                raise SystemExit(f"no server for keyspace events of the classes {CLASSES}")
            client.call("PSUBSCRIBE", "__key*__:*")

    def heard(self):
        """The events since the last call, from both servers; what a client was answered, it has caused already."""
        self.asked += 1
        token = f"that was {self.asked}"
        for client in self.clients:
            client.send(encode(["PING", token]))
        ours, theirs = (client.until(f"${len(token)}\r\n{token}\r\n".encode()) for client in self.clients)
        return ([], []) if ours == theirs else (read_events(ours), read_events(theirs))

    def close(self):
        for client in self.clients:
            client.close()


def read_events(received):
    """Of each pair of messages, that of the key and that of the event: database, event, key."""
    reader = Reader(received)
    messages = []
    while (message := reader.reply()[1])[0][1] != b"pong":
        messages.append([part.decode("latin-1") for _, part in message[2:]])
    events = []
    for (channel, event), (other, key) in zip_longest(messages[::2], messages[1::2], fillvalue=("", "")):
        db = channel.removeprefix("__keyspace@").split("_")[0]
        if (channel, other) != (f"__keyspace@{db}__:{key}", f"__keyevent@{db}__:{event}"):
            return messages
        events.append(f"{db} {event} {key!r}")
    return events


def different_events(listeners, commands):
    """The first event after these commands that only one server tells of: (a command of its key, ours, theirs)."""
    ours, theirs = listeners.heard()
    if ours != theirs:
        theirs = explain(theirs, commands)
    if ours != theirs:
        ours, theirs = without_misses(ours, commands), without_misses(theirs, commands)
    if ours == theirs:
        return None
    at = next(at for at, (a, b) in enumerate(zip_longest(ours, theirs)) if a != b)
    about = " ".join(str(events[at]) for events in (ours, theirs) if at < len(events))
    concerned = [args for args in commands if any(repr(arg) in about for arg in args[1:])] or commands[-1:]
    return concerned[0], ours[max(at - 2, 0) : at + 6], theirs[max(at - 2, 0) : at + 6]


def without_misses(events, commands):
    """Without those that hang on the order of what SORT found (see EXPLAINED), and those of HGETEX, which looks its key
    up to change it in Redis, and to read it in Valkey."""
    sorts = any(args[0].lower() in ("sort", "sort_ro") for args in commands)
    keys = {repr(args[1]) for args in commands if args[0].lower() == "hgetex"}
    missed = lambda event: re.fullmatch(r"\d+ keymiss (.*)", str(event))
    return [event for event in events if not (miss := missed(event)) or not (sorts or miss[1] in keys)]


def explain(events, commands):
    """What Redis would have told in Valkey's place."""
    told = "".join(f"{event}\n" for event in events)
    for args in commands:
        for command, theirs, redis, reason in RULES:
            if command.search(shown(args)) and len(args) > 1:
                key = repr(args[1])
                pattern = "^" + theirs.replace("KEY", re.escape(key))
                instead = redis.replace("KEY", key.replace("\\", r"\\"))
                told, times = re.subn(pattern, instead, told, count=1, flags=re.MULTILINE)
                met[reason] += times
    return told.splitlines()
