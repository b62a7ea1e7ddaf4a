"""What a client hears from each server that has subscribed to all keyspace events."""

from wire import Client, encode

# All classes, with misses and new keys, by key and by event.
CLASSES = "KEAmn"


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
        received = []
        for client in self.clients:
            client.send(encode(["PING", token]))
        for client in self.clients:
            while not client.buffer.endswith(f"{token}\r\n".encode()):
                client.receive()
        if self.clients[0].buffer == self.clients[1].buffer:
            for client in self.clients:
                client.buffer, client.at = b"", 0
            return [], []
        return [self.read(client, token) for client in self.clients]

    def read(self, client, token):
        events = []
        while (message := client.reply()[1])[0][1] != b"pong":
            events.append(" ".join(part.decode("latin-1") for _, part in message[2:]))
        return events

    def close(self):
        for client in self.clients:
            client.close()


def different_events(listeners, commands):
    """The first event that only one of them tells of: (command, ours, theirs)."""
    ours, theirs = listeners.heard()
    if ours == theirs:
        return None
    return commands[-1], ours, theirs
