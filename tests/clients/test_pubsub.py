"""Channels as redis-py uses them: on three cores, thousands of messages, slow listeners, RESP3."""

import socket
import threading

import pytest
from conftest import Server, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("server"), cores=3)
    yield s
    assert s.alive(), f"the server died: {s.log.read_text(errors='replace')[-2000:]}"
    assert s.stop() == 0, "SIGTERM ends the server cleanly"


@pytest.fixture(autouse=True)
def silence(server):
    """A test begins when the listeners of the one before it are gone: that a connection was closed is not seen at once."""
    r = server.client()
    wait_for(lambda: r.info()["pubsub_clients"] == 0)
    r.close()


def listener(client, *channels, patterns=()):
    """A subscription whose confirmations were read."""
    pubsub = client.pubsub()
    pubsub.client = client  # a client that is collected closes its connections
    if channels:
        pubsub.subscribe(*channels)
    if patterns:
        pubsub.psubscribe(*patterns)
    for _ in range(len(channels) + len(patterns)):
        assert pubsub.get_message(timeout=10)["type"] in ("subscribe", "psubscribe")
    return pubsub


def messages(pubsub, count):
    found = []
    while len(found) < count:
        message = pubsub.get_message(timeout=10)
        assert message is not None, f"{len(found)} of {count} messages came"
        if message["type"] in ("message", "pmessage"):
            found.append((message["channel"], message["data"]))
    return found


@pytest.mark.parametrize("protocol", [2, 3])
def test_all_listeners_hear_one_order(server, protocol):
    connect = lambda: server.client(decode_responses=True, protocol=protocol)
    each, publishers = 3_000, 3
    heard = [listener(connect(), "x", "y", "z") for _ in range(4)]
    heard += [listener(connect(), patterns=["*"]) for _ in range(3)]

    def publish(channel):
        client = connect()
        for start in range(0, each, 100):
            with client.pipeline(transaction=False) as p:
                for n in range(start, start + 100):
                    p.publish(channel, f"{channel}{n}")
                assert p.execute() == [len(heard)] * 100

    threads = [threading.Thread(target=publish, args=(channel,)) for channel in "xyz"]
    for thread in threads:
        thread.start()
    streams = [messages(pubsub, each * publishers) for pubsub in heard]
    for thread in threads:
        thread.join()
    assert all(stream == streams[0] for stream in streams), "one order for all"
    for channel in "xyz":
        assert [data for of, data in streams[0] if of == channel] == [f"{channel}{n}" for n in range(each)]
    for pubsub in heard:
        assert pubsub.get_message(timeout=0.01) is None
        pubsub.close()


def test_an_answered_message_comes_before_what_is_asked_later(server):
    """The listener speaks RESP3 and asks right after PUBLISH was answered: the message stands before the reply."""
    publisher = server.client()
    sockets = [server.raw() for _ in range(6)]
    for s in sockets:
        s.sendall(b"HELLO 3\r\nSUBSCRIBE ch\r\n")
        read_until(s, b"subscribe\r\n$2\r\nch\r\n:1\r\n")
    for n in range(300):
        assert publisher.publish("ch", n) == len(sockets)
        s = sockets[n % len(sockets)]
        s.sendall(b"MGET a b c\r\n")
        text = read_until(s, b"*3\r\n_\r\n_\r\n_\r\n")
        assert b"message\r\n$2\r\nch\r\n$%d\r\n%d\r\n" % (len(str(n)), n) in text
    for s in sockets:
        s.close()


def read_until(s, end):
    text = b""
    while not text.endswith(end):
        got = s.recv(65536)
        assert got, text[-200:]
        text += got
    return text


def test_counts_follow_who_is_there(server):
    r = server.client(decode_responses=True)
    assert r.pubsub_channels() == [] and r.pubsub_numpat() == 0
    heard = [listener(server.client(), "a", "b", patterns=["p*"]) for _ in range(5)]
    assert sorted(r.pubsub_channels()) == ["a", "b"] and r.pubsub_channels("b*") == ["b"]
    assert r.pubsub_numsub("a", "b", "c") == [("a", 5), ("b", 5), ("c", 0)] and r.pubsub_numpat() == 1
    info = r.info()
    assert info["pubsub_channels"] == 2 and info["pubsub_patterns"] == 1 and info["pubsub_clients"] == 5
    listed = [c for c in r.client_list(_type="pubsub")]
    assert [(c["flags"], c["sub"], c["psub"], c["ssub"]) for c in listed] == [("P", "2", "1", "0")] * 5
    heard[0].unsubscribe("a")
    while heard[0].get_message(timeout=5)["type"] != "unsubscribe":
        pass
    assert r.publish("a", "m") == 4
    assert r.client_kill_filter(_id=listed[1]["id"]) == 1
    assert r.pubsub_numsub("b") == [("b", 4)], "a killed client counts no more"
    for pubsub in heard:
        pubsub.close()
    wait_for(lambda: r.info()["pubsub_clients"] == 0)
    assert r.pubsub_channels() == [] and r.pubsub_numpat() == 0


def test_a_slow_listener_is_closed_and_hurts_nobody(server):
    r = server.client(decode_responses=True)
    r.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
    slow = server.raw()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(b"SUBSCRIBE ch\r\n")
    read_until(slow, b":1\r\n")
    quick = listener(server.client(decode_responses=True), "ch")
    before = r.info()["client_output_buffer_limit_disconnections"]
    text, sent = "x" * 10_000, 0
    while r.publish("ch", text) == 2:
        sent += 1
        assert messages(quick, 1) == [("ch", text)]
        assert sent < 5_000, "the slow one was never closed"
    assert messages(quick, 1) == [("ch", text)]
    assert sent > 90, "its output was bounded, not forbidden"
    assert r.info()["client_output_buffer_limit_disconnections"] == before + 1
    assert r.pubsub_numsub("ch") == [("ch", 1)]
    quick.close()
    slow.close()
    r.config_set("client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_large_messages(server):
    r = server.client()
    heard = [listener(server.client(), "ch") for _ in range(3)]
    text = b"x" * 5_000_000
    assert r.publish("ch", text) == 3
    assert all(messages(pubsub, 1) == [(b"ch", text)] for pubsub in heard)
    for pubsub in heard:
        pubsub.close()


def test_shard_channels(server):
    r = server.client(decode_responses=True)
    s = server.raw()
    s.sendall(b"SSUBSCRIBE one two\r\n")
    read_until(s, b"two\r\n:2\r\n")
    assert r.pubsub_shardchannels() and sorted(r.pubsub_shardchannels()) == ["one", "two"]
    assert r.pubsub_shardnumsub("one", "none") == [("one", 1), ("none", 0)]
    assert [r.execute_command("SPUBLISH", name, "m") for name in ("one", "two", "none")] == [1, 1, 0]
    text = read_until(s, b"smessage\r\n$3\r\ntwo\r\n$1\r\nm\r\n")
    assert text.startswith(b"*3\r\n$8\r\nsmessage\r\n$3\r\none\r\n$1\r\nm\r\n")
    s.close()


def test_keyspace_events_reach_listeners_on_all_cores(server):
    r = server.client(decode_responses=True)
    r.config_set("notify-keyspace-events", "EA")
    heard = [listener(server.client(decode_responses=True), patterns=["__keyevent@0__:*"]) for _ in range(4)]
    writers = [server.client() for _ in range(3)]

    def write(number):
        with writers[number].pipeline(transaction=False) as p:
            for n in range(500):
                p.set(f"{number}:{n}", n)
                p.lpush(f"list:{number}:{n}", n)
            p.execute()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    streams = [messages(pubsub, 3 * 1000) for pubsub in heard]
    for thread in threads:
        thread.join()
    assert all(stream == streams[0] for stream in streams)
    for number in range(3):
        wanted = [("__keyevent@0__:" + event, prefix + f"{number}:{n}") for n in range(500) for event, prefix in (("set", ""), ("lpush", "list:"))]
        assert [one for one in streams[0] if f"{number}:" in one[1].removeprefix("list:")[:2]] == wanted
    r.psetex("brief", 30, "v")
    assert messages(heard[0], 3)[1:] == [("__keyevent@0__:expire", "brief"), ("__keyevent@0__:expired", "brief")]
    r.config_set("notify-keyspace-events", "")
    for pubsub in heard:
        pubsub.close()
