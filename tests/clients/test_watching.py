"""What MONITOR, SLOWLOG, INFO and CLIENT LIST show of commands, and in which order."""

import re
import time

import pytest


class Raw:
    """A connection to write lines to, and to read all that comes."""

    def __init__(self, server):
        self.socket = server.raw()
        self.received = b""

    def say(self, *lines):
        for line in lines:
            self.socket.sendall(line.encode() + b"\r\n")

    def read_until(self, end):
        while end not in self.received:
            got = self.socket.recv(1 << 16)
            assert got, self.received
            self.received += got
        head, self.received = self.received.split(end, 1)
        return head.decode()


@pytest.fixture
def talk(server):
    """Says lines one by one, each answered before the next. Returns what a client under MONITOR saw of them."""
    connections = []

    def talk(*lines):
        watcher = Raw(server)
        speaker = server.client(decode_responses=True, protocol=2, single_connection_client=True)
        connections.extend([watcher.socket, speaker])
        speaker.ping()
        watcher.say("MONITOR")
        watcher.read_until(b"+OK\r\n")
        for line in lines:
            try:
                speaker.connection.send_command(*line if isinstance(line, tuple) else line.split())
                speaker.connection.read_response()
            except Exception as error:  # what is refused is part of the talk
                assert "error" in type(error).__name__.lower(), error
        speaker.connection.send_command("ECHO", "end")
        speaker.connection.read_response()
        seen = watcher.read_until(b'"ECHO" "end"\r\n').split("\r\n")[:-1]
        return [re.sub(r"^\+\d+\.\d+ \[(\d+) (?:127\.0\.0\.1:\d+|(lua))\]", r"\1\2", line) for line in seen]

    yield talk
    for connection in connections:
        connection.close()


def test_a_line_tells_the_database_that_the_command_left_its_client_in(talk):
    assert talk("SELECT 3", "GET x", "RESET", "GET x") == ['3 "SELECT" "3"', '3 "GET" "x"', '0 "RESET"', '0 "GET" "x"']


def test_a_transaction_is_shown_as_it_runs_and_exec_behind_it(talk):
    assert talk("MULTI", "SELECT 2", "GET c", "exec", "GET d") == [
        '0 "MULTI"',
        '2 "SELECT" "2"',
        '2 "GET" "c"',
        '2 "exec"',
        '2 "GET" "d"',
    ]
    assert talk("MULTI", "NOSUCH", "EXEC") == ['0 "MULTI"', '0 "EXEC"']
    assert talk("WATCH w", "SET w 1", "MULTI", "SET w 2", "EXEC") == [
        '0 "WATCH" "w"',
        '0 "SET" "w" "1"',
        '0 "MULTI"',
        '0 "EXEC"',
    ]


def test_a_script_is_shown_before_what_it_calls(talk):
    script = "redis.call('SELECT', 4) return redis.call('GET', KEYS[1])"
    assert talk(("EVAL", script, 1, "x"), "GET x") == [
        f'0 "EVAL" "{script}" "1" "x"',
        '4lua "SELECT" "4"',
        '4lua "GET" "x"',
        '0 "GET" "x"',
    ]


def test_what_does_not_run_is_not_shown(talk):
    assert talk("NOSUCH", "GET", "CONFIG SET masterauth x", ("CONFIG", "SET", "masterauth", "")) == []


def test_a_client_under_monitor_leaves_the_keyspace_alone(server, r):
    watcher = Raw(server)
    watcher.say("MONITOR", "GET k", "SET k 1", "PUBLISH c x", "PING")
    refused = "-ERR Replica can't interact with the keyspace\r\n"
    assert watcher.read_until(b"+PONG\r\n").startswith("+OK\r\n" + 3 * refused)
    watcher.say("RESET", "GET k", "ECHO end")
    assert "$-1\r\n" in watcher.read_until(b"$3\r\nend\r\n")
    watcher.socket.close()


def test_who_wants_no_replies_is_shown_nothing(server, r):
    watcher = Raw(server)
    watcher.say("MONITOR", "CLIENT REPLY OFF")
    watcher.read_until(b"+OK\r\n")
    time.sleep(0.05)
    r.ping()
    watcher.say("CLIENT REPLY ON")
    assert watcher.read_until(b"+OK\r\n") == ""
    r.echo("seen")
    assert "PING" not in watcher.read_until(b'"seen"\r\n')
    watcher.socket.close()


@pytest.fixture
def slow(server):
    """What the slow log has of a client that says these lines, the oldest first."""

    def slow(*lines):
        keeper, r = server.client(decode_responses=True), server.client(decode_responses=True, client_name="me")
        r.ping()
        keeper.config_set("slowlog-log-slower-than", 0)
        keeper.slowlog_reset()
        try:
            for line in lines:
                words = line if isinstance(line, tuple) else line.split(" ")
                try:
                    r.execute_command(*words)
                except Exception as error:  # what is refused is part of the talk
                    assert "error" in type(error).__name__.lower(), error
        finally:
            keeper.config_set("slowlog-log-slower-than", -1)
        with server.raw() as s:
            s.sendall(b"SLOWLOG GET -1\r\nECHO end\r\n")
            text = b""
            while not text.endswith(b"$3\r\nend\r\n"):
                text += s.recv(1 << 16)
        values = iter(text.decode().split("\r\n"))
        entries = read(values)
        entries = [(" ".join(words), name) for _, _, _, words, _, name in reversed(entries)]
        return [words for words, name in entries if name == "me"]

    yield slow


def read(values):
    kind, rest = (head := next(values))[0], head[1:]
    if kind == "*":
        return [read(values) for _ in range(int(rest))]
    return next(values) if kind == "$" else int(rest)


def test_what_a_script_calls_is_logged_before_it_in_its_clients_name(slow):
    script = "return redis.call('set', KEYS[1], 1)"
    assert slow(("EVAL", script, 1, "k")) == ["set k 1", f"EVAL {script} 1 k"]


def test_secrets_are_not_logged(slow):
    assert slow(
        "CONFIG SET masterauth xyz",
        "CONFIG SET maxmemory-samples 5 MASTERUSER abc requirepass  appendfsync everysec",
        "CONFIG SET tls-key-file-pass abc",
        "CONFIG SET masterauth  masteruser  tls-key-file-pass ",
        "CONFIG GET masterauth",
    ) == [
        "CONFIG SET masterauth (redacted)",
        "CONFIG SET maxmemory-samples 5 MASTERUSER (redacted) requirepass (redacted) appendfsync everysec",
        "CONFIG SET tls-key-file-pass (redacted)",
        "CONFIG SET masterauth (redacted) masteruser (redacted) tls-key-file-pass (redacted)",
        "CONFIG GET masterauth",
    ]


def test_every_command_that_ran_is_counted(server, r):
    before, speaker = r.info("stats"), Raw(server)
    speaker.say("BLPOP nothing 0.01", "MULTI", "NOSUCH", "EXEC", "AUTH some one", "NOSUCH", "ECHO end")
    speaker.read_until(b"$3\r\nend\r\n")
    after = r.info("stats")
    grown = lambda name: after[name] - before[name]
    assert grown("total_commands_processed") == len(["BLPOP", "MULTI", "EXEC", "AUTH", "ECHO", "INFO"])
    assert grown("acl_access_denied_auth") == 1
    speaker.socket.close()


def test_the_list_of_clients_names_the_command_that_was_queued_last(server, r):
    speaker = Raw(server)
    named = lambda: next(client["cmd"] for client in r.client_list() if client["name"] == "queuer")
    speaker.say("CLIENT SETNAME queuer", "MULTI", "SET a 1")
    speaker.read_until(b"+QUEUED\r\n")
    assert named() == "set"
    speaker.say("EXEC")
    speaker.read_until(b"*1\r\n+OK\r\n")
    assert named() == "exec"
    speaker.say("GET")
    speaker.read_until(b"wrong number of arguments")
    assert named() == "get"
    speaker.socket.close()


def test_who_kills_itself_in_a_transaction_hears_no_more(server, r):
    speaker = Raw(server)
    speaker.say("CLIENT ID")
    own = speaker.read_until(b"\r\n").lstrip(":")
    speaker.say("MULTI", "SET a 1", f"CLIENT KILL ID {own} SKIPME no", "SET a 2", "EXEC")
    text = b""
    while got := speaker.socket.recv(1 << 16):
        text += got
    assert text == b"+OK\r\n" + 3 * b"+QUEUED\r\n" + b"*3\r\n+OK\r\n:1\r\n"
    assert r.get("a") == "2"
    speaker.socket.close()


def test_a_protocol_error_is_as_silent_as_any_reply(server, r):
    speaker = Raw(server)
    speaker.say("CLIENT REPLY OFF", "*1", "broken")
    speaker.socket.settimeout(0.2)
    try:
        assert speaker.socket.recv(100) == b""
    except TimeoutError:
        pass
    speaker.socket.close()


def test_who_kills_itself_without_replies_ends_alone(server, r):
    """It subscribed after its last words: where the confirmation was to stand, nothing is."""
    client = Raw(server)
    client.say("CLIENT ID")
    number = client.read_until(b"\r\n")[1:]
    client.say(
        "CLIENT REPLY OFF", "MULTI", f"CLIENT KILL ID {number} SKIPME no", "SUBSCRIBE c", "PING", "EXEC", "PING"
    )
    while got := client.socket.recv(1 << 16):
        assert b"PONG" not in got
    assert r.ping()


def test_transactions_and_scripts_are_shown_in_one_piece(server):
    """Whatever other clients, on all cores, do meanwhile; and times never go back."""
    watcher = Raw(server)
    watcher.say("MONITOR")
    watcher.read_until(b"+OK\r\n")
    # All on one shard, and known to be: so the other core goes on meanwhile.
    script = 50 * "redis.call('INCR', KEYS[1]) "
    noise = "".join(f"SET n{number} 1\r\n" for number in range(100))
    atomic = "MULTI\r\n" + 50 * "INCR k\r\n" + f'EXEC\r\nEVAL "{script}" 1 k\r\n'
    others = [server.raw() for _ in range(6)]
    for at, other in enumerate(others):
        other.sendall((40 * (noise if at < 3 else atomic) + "ECHO end\r\n").encode())
    for other in others:
        text = b""
        while not text.endswith(b"$3\r\nend\r\n"):
            text = text[-16:] + other.recv(1 << 16)
        other.close()
    end = '"ECHO" "end"\r\n'
    text = "".join(watcher.read_until(end.encode()) + end for _ in others)
    lines = [re.match(r"\+(\S+) \[0 (\S+)\] (.*)", line).groups() for line in text.split("\r\n")[:-1]]
    times = [time for time, _, _ in lines]
    assert times == sorted(times)
    shown = [(source, line) for _, source, line in lines]
    wholes = 0
    for at, (source, line) in enumerate(shown):
        if line == '"EXEC"':
            assert {who for who, _ in shown[at - 50 : at]} == {source}
        elif line.startswith('"EVAL"'):
            assert {who for who, _ in shown[at + 1 : at + 51]} == {"lua"}
        else:
            continue
        wholes += 1
    assert (wholes, len(shown)) == (2 * 3 * 40, 6 + 3 * 40 * 100 + 3 * 40 * (1 + 50 + 1 + 1 + 50))
    watcher.socket.close()
