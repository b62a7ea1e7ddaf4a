"""Conversations with their own timing: all replies until the connection closes or a last question is answered."""

import time

from wire import Client, Closed, encode

DIALOGUES = [
    ["PING", "QUIT", "PING"],
    ["MULTI", "SET a 1", "QUIT", "GET a"],
    ["CLIENT REPLY OFF", "PING", "SET script 1", "CLIENT REPLY ON", "GET script"],
    ["CLIENT REPLY SKIP", "PING", "PING x"],
    ["CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING x", "PING y"],
    ["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "RESET", "PING y"],
    ["HELLO 3", "MULTI", "GET nothing", "EXEC", "RESET", "GET nothing"],
    ["MULTI", "RESET", "EXEC", "DISCARD"],
    ["SELECT 3", "CLIENT SETNAME me", "RESET", "CLIENT GETNAME"],
    ["WATCH w", "SET w 1", "MULTI", "PING", "EXEC", "MULTI", "PING", "EXEC"],
    ["MULTI", "GET", "EXEC", "MULTI", "FOO", "EXEC", "MULTI", "WATCH", "EXEC"],
    ["MULTI", "SELECT 2", "SET in2 x", "EXEC", "GET in2", "SELECT 0", "GET in2"],
    ["CLIENT KILL ID me SKIPME no", "PING"],
    ["MULTI", "SET a 1", "CLIENT KILL ID me SKIPME no", "SET a 2", "EXEC"],
    ["SET k v PX 200", "SLEEP 0.3", "GET k", "EXISTS k", "TTL k", "KEYS k", "TYPE k"],
    ["SET k v PX 200", "WATCH k", "SLEEP 0.3", "MULTI", "PING", "EXEC"],
    ["SET k v", "EXPIRE k -1", "EXISTS k", "SET k v", "PEXPIREAT k 1", "EXISTS k"],
    ["CLIENT PAUSE 100 WRITE", "GET k", "SET k v", "GET k"],
    ["CLIENT PAUSE 100 ALL", "PING"],
    ["CLIENT PAUSE 5000 WRITE", "CLIENT UNPAUSE", "SET k v"],
    ["CLIENT PAUSE x", "CLIENT PAUSE -1"],
]
# The same, where the reference is Redis: Valkey refuses these as commands not allowed in a transaction.
REDIS_DIALOGUES = [
    ["MULTI", "MULTI", "SET a 1", "EXEC"],
    ["MULTI", "WATCH a", "SET a 1", "EXEC"],
]
# Answered, whatever went before it, unless the connection is closed.
END = ["CLIENT REPLY ON", "ECHO end"]


def different_dialogues(ports, is_valkey):
    """Those in which the servers do not say the same: (dialogue, ours, theirs)."""
    for dialogue in DIALOGUES + ([] if is_valkey else REDIS_DIALOGUES):
        for at_once in (False, True):
            ours, theirs = converse(ports, dialogue, at_once)
            if ours != theirs:
                yield f"{dialogue}, at once: {at_once}", ours, theirs


def converse(ports, dialogue, at_once):
    clients = [Client(port) for port in ports]
    ids = [str(client.call("CLIENT", "ID")[1]) for client in clients]
    for line in [*dialogue, *END]:
        word, *rest = line.split()
        if word == "SLEEP":
            time.sleep(float(rest[0]))
            continue
        for client, own in zip(clients, ids):
            try:
                client.send(encode([own if arg == "me" else arg for arg in line.split()]))
            except Closed:
                pass
        if not at_once:
            time.sleep(0.003)
    return [all_replies(client) for client in clients]


def all_replies(client):
    replies = []
    try:
        while not replies or replies[-1] != ("$", b"end"):
            replies.append(client.reply())
    except TimeoutError:
        replies.append("quiet")
    except Closed:
        replies.append("closed")
    finally:
        client.close()
    # HELLO tells the name of the server.
    return [reply if reply[0] != "%" else "greeting" for reply in replies]
