"""One connection to each server, which get the same commands, and what is asked of both in other words."""

from compare import explained, pairs, same, text_of
from wire import Client, ask_both

# The first byte of a dump of a hash with expiring fields, as Redis writes it.
HASH_METADATA = 24


class Pair:
    """One connection to each server, which get the same commands."""

    def __init__(self, ports):
        self.ours, self.theirs = self.clients = [Client(port) for port in ports]
        # What was drawn makes it so; what the servers queued is in `queued`.
        self.in_multi = False
        self.queued = []
        # The commands that ran since the last burst began, and whether both servers got the same.
        self.ran, self.same_words = [], True

    def alone(self, args):
        """The answers to a command that is not sent as it is."""
        name = args[0].upper()
        if name == "SPOP":
            return self.spop(args)
        if name == "XADD":
            return self.xadd(args)
        if name == "COPYDUMP":
            return self.copy_dump(args)
        return self.walk(self.ours, args), self.walk(self.theirs, args)

    def walk(self, client, args):
        """SCAN WHOLE, HSCAN WHOLE key: all that a walk finds, as a set; an error ends it."""
        key = [] if args[0].upper() == "SCAN" else args[2:3]
        cursor, found, options = "0", set(), args[2 + len(key):]
        paired = args[0].upper() in ("HSCAN", "ZSCAN") and "NOVALUES" not in options
        while True:
            reply = client.call(args[0], *key, cursor, *options)
            if reply[0] != "*":
                return reply
            cursor = reply[1][0][1].decode()
            items = reply[1][1][1]
            found.update(pairs(items) if paired else items)
            if cursor == "0":
                return ("walk", sorted(found))

    def spop(self, args):
        """What chance took from one set is removed from the other."""
        key, self.same_words = args[1], False
        before = self.theirs.call("SCARD", key)
        ours = self.ours.call(*args)
        popped = [item[1] for item in (ours[1] if isinstance(ours[1], list) else [ours]) if item[0] == "$"]
        if ours[0] == "-" or not popped:
            return ours, self.theirs.call(*args)
        removed = self.theirs.call("SREM", key, *(item.decode("latin-1") for item in popped))
        if removed != (":", len(popped)):
            return ours, ("-", b"not all of these are members: %d of %d" % (removed[1], len(popped)))
        wanted = min(before[1], int(args[2])) if len(args) > 2 else 1
        return (":", len(popped)), (":", wanted)

    def xadd(self, args):
        """The id that one server chose by its clock is the other's, too."""
        ours = self.ours.call(*args)
        given = ours[1].decode() if ours[0] == "$" else "*"
        return ours, self.theirs.call(*[given if arg == "*" else arg for arg in args])

    def copy_dump(self, args):
        """Each server restores what the other one dumped."""
        source, to, *options = args[1:]
        dumps = ask_both(self.clients, [["DUMP", source]])[0]
        if any(mark != "$" for mark, _ in dumps):
            return dumps
        put = lambda client, dump: client.call("RESTORE", to, "0", dump[1].decode("latin-1"), *options)
        answers = put(self.ours, dumps[1]), put(self.theirs, dumps[0])
        if answers[0] != answers[1] and dumps[0][1][0] == HASH_METADATA:
            # Valkey refuses Redis' form of a hash whose fields expire.
            self.same_words = False
            answers = tuple((":", client.call("DEL", to)[1]) for client in (self.ours, self.theirs))
            return answers[0], answers[0]
        return answers

    def compare(self, args, ours, theirs):
        if args[0].lower() == "exec" and ours[0] == theirs[0] == "*":
            queued, self.queued = self.queued, []
            if len(ours[1]) != len(theirs[1]) or len(ours[1]) != len(queued):
                return False
            for three in zip(queued, ours[1], theirs[1]):
                if not self.compare(*three):
                    self.inside = three
                    return False
            return True
        if ours == theirs == ("+", b"QUEUED"):
            self.queued.append(args)
        elif args[0].lower() in ("exec", "discard", "reset") and ours[0] != "-" or text_of(ours).startswith("EXECABORT"):
            self.queued = []
        if ours[1] != b"QUEUED":
            self.ran.append(args)
        return same(args, ours, theirs) or explained(args, ours, theirs)

    def run(self, commands, single):
        """Sends commands at once. Returns the first that was answered differently."""
        self.ran, self.same_words = [], True
        answers = [self.alone(commands[0])] if single else ask_both(self.clients, commands)
        for args, (ours, theirs) in zip(commands, answers):
            self.inside = None
            if not self.compare(args, ours, theirs):
                return self.inside or (args, ours, theirs)
        return None

    def close(self):
        for client in self.clients:
            client.close()

