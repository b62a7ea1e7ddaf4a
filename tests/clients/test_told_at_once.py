"""What a client waits to hear comes by itself: nobody else's command has to wake the core that owes it.

The server is idle but for the one thing that happens; every listener is on a core of its own. Whoever is told by chance only,
when something else happens on that core, is not told here at all.
"""

import time

import pytest
from differential.wire import Client, encode

from conftest import Server

CORES = 3
#: Long beside what an idle server needs, short beside for ever.
PATIENCE_S = 10
CONFIGURED = ["notify-keyspace-events", "maxmemory", "maxmemory-policy", "tracking-table-max-keys"]


class Party(Client):
    """A client that speaks RESP3, on whatever core it was put."""

    def __init__(self, port):
        super().__init__(port)
        self.socket.settimeout(PATIENCE_S)
        self.ask("HELLO", "3")

    def ask(self, *words):
        """The reply to a command, as Python has it."""
        self.send(encode([str(word) for word in words]))
        return self.hear()

    def hear(self):
        return plain(self.reply())


def plain(reply):
    mark, value = reply
    if mark in "*~>%":
        return [plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("told"), "--enable-debug-command", "yes", cores=CORES)
    yield server
    assert server.stop() == 0


@pytest.fixture
def parties(crowded):
    """Two on each core, and the one that acts; afterwards all is as it was."""
    parties = [Party(crowded.port) for _ in range(2 * CORES)]
    actor = Party(crowded.port)
    before = {name: actor.ask("CONFIG", "GET", name)[1] for name in CONFIGURED}
    yield actor, parties
    for name, value in before.items():
        actor.ask("CONFIG", "SET", name, value)
    [party.socket.close() for party in (actor, *parties)]
    with crowded.client() as r:
        r.flushall()


def events(actor, parties, flags):
    """Everybody listens to keyspace events of these kinds."""
    assert actor.ask("CONFIG", "SET", "notify-keyspace-events", flags) == "OK"
    for party in parties:
        assert party.ask("PSUBSCRIBE", "__keyevent@0__:*")[0] == "psubscribe"


def all_hear(parties, *events):
    """Each of these events, in any order: they come from several cores."""
    for party in parties:
        heard = sorted(party.hear()[2:] for _ in events)
        assert heard == sorted([f"__keyevent@0__:{name}", key] for name, key in events)


def test_messages(parties):
    actor, parties = parties
    for party in parties:
        party.ask("SUBSCRIBE", "news")
    for n in range(50):
        assert actor.ask("PUBLISH", "news", n) == len(parties)
        assert all(party.hear() == ["message", "news", str(n)] for party in parties)


def test_elements(parties):
    actor, parties = parties
    for n in range(10):
        for number, party in enumerate(parties):
            party.send(encode(["BLPOP", f"k{number}", f"j{number}", "0"]))
        time.sleep(0.01)
        for number, party in enumerate(parties):
            actor.ask("RPUSH", f"j{number}", n)
            assert party.hear() == [f"j{number}", str(n)]


def test_elements_of_a_database_that_is_swapped_in(parties):
    actor, parties = parties
    for number, party in enumerate(parties):
        party.send(encode(["BZPOPMIN", f"z{number}", "0"]))
    time.sleep(0.05)
    actor.ask("SELECT", 1)
    for number in range(len(parties)):
        actor.ask("ZADD", f"z{number}", 1, "m")
    actor.ask("SWAPDB", 0, 1)
    assert all(party.hear() == [f"z{number}", "m", "1"] for number, party in enumerate(parties))


def test_the_end_of_a_time_out(parties):
    actor, parties = parties
    for number, party in enumerate(parties):
        party.send(encode(["BLPOP", f"none{number}", "0.05"]))
    assert all(party.hear() is None for party in parties)
    for party in parties:
        party.send(encode(["WAIT", "1", "50"]))
    assert all(party.hear() == 0 for party in parties)


def test_groups_that_are_destroyed(parties):
    actor, parties = parties
    for number, party in enumerate(parties):
        actor.ask("XGROUP", "CREATE", f"s{number}", "g", "$", "MKSTREAM")
        party.send(encode(["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", f"s{number}", ">"]))
    time.sleep(0.05)
    for number, party in enumerate(parties):
        actor.ask("XGROUP", "DESTROY", f"s{number}", "g")
        assert party.hear().startswith("NOGROUP")


def test_the_end_of_a_pause(parties):
    actor, parties = parties
    actor.ask("CLIENT", "PAUSE", 50, "ALL")
    for party in parties:
        party.send(encode(["GET", "k"]))
    assert all(party.hear() is None for party in parties)
    actor.ask("CLIENT", "PAUSE", 100_000, "WRITE")
    for party in parties:
        party.send(encode(["SET", "k", "v"]))
    actor.ask("CLIENT", "UNPAUSE")
    assert all(party.hear() == "OK" for party in parties)


def test_keys_that_expire(parties):
    actor, parties = parties
    events(actor, parties, "Ex")
    for number in range(5):
        actor.ask("SET", f"k{number}", "v", "PX", 20)
    all_hear(parties, *[("expired", f"k{number}") for number in range(5)])


def test_fields_that_expire(parties):
    actor, parties = parties
    events(actor, parties, "Ehg")
    actor.ask("HSET", "h", "f", "v")
    all_hear(parties, ("hset", "h"))
    actor.ask("HPEXPIRE", "h", 20, "FIELDS", 1, "f")
    all_hear(parties, ("hexpire", "h"), ("hexpired", "h"), ("del", "h"))


def test_keys_that_are_evicted(parties):
    actor, parties = parties
    events(actor, parties, "Ee")
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        actor.ask("SET", key, "v")
    actor.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", 1)
    all_hear(parties, *[("evicted", key) for key in keys])


def track(actor, parties, *options):
    for party in parties:
        assert party.ask("CLIENT", "TRACKING", "ON", *options) == "OK"


def test_cached_keys_that_change(parties):
    actor, parties = parties
    track(actor, parties)
    for n in range(20):
        for party in parties:
            party.ask("MGET", "k", "j")
        actor.ask("SET", "k", n)
        assert all(party.hear() == ["invalidate", ["k"]] for party in parties)
    for party in parties:
        party.ask("GET", "k")
    actor.ask("FLUSHALL")
    assert all(party.hear() == ["invalidate", None] for party in parties)


def test_cached_keys_that_expire(parties):
    actor, parties = parties
    track(actor, parties)

    def read(party, key):
        party.send(encode(["GET", key]))
        while isinstance(heard := party.hear(), list):
            pass  # of the key before
        return heard

    for ms in (50, 500, 5000):  # it may be gone before a busy machine has asked everybody
        actor.ask("SET", f"k{ms}", "v", "PX", ms)
        if all([read(party, f"k{ms}") == "v" for party in parties]):
            break
    assert all(["invalidate", [f"k{ms}"]] in iter(party.hear, None) for party in parties)


def test_cached_keys_that_are_evicted(parties):
    actor, parties = parties
    track(actor, parties, "BCAST", "PREFIX", "k")
    actor.ask("SET", "k", "v")
    assert all(party.hear() == ["invalidate", ["k"]] for party in parties)
    actor.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", 1)
    assert all(party.hear() == ["invalidate", ["k"]] for party in parties)


def test_cached_keys_too_many_to_remember(parties):
    actor, parties = parties
    track(actor, parties[:1])
    for number in range(30):
        parties[0].ask("GET", f"k{number}")
    actor.ask("CONFIG", "SET", "tracking-table-max-keys", 10)
    actor.ask("PING")
    forgotten = set()
    while len(forgotten) < 20:
        kind, keys = parties[0].hear()
        assert kind == "invalidate"
        forgotten.update(keys)


def test_what_monitors_show(parties):
    actor, parties = parties
    for party in parties:
        party.ask("MONITOR")
    actor.ask("ECHO", "seen")
    assert all('"ECHO" "seen"' in party.hear() for party in parties)


def test_connections_that_are_killed(parties):
    actor, parties = parties
    for party in parties:
        number = party.ask("CLIENT", "ID")
        party.send(encode(["BLPOP", "none", "0"]))
        assert actor.ask("CLIENT", "KILL", "ID", number) == 1
        with pytest.raises(Exception, match="^$"):
            party.hear()
