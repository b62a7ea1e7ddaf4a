"""How many changes each command counts (`rdb_changes_since_last_save`, which the save points look at), beside Valkey.

Each conversation is sent to both servers, and the count is asked for behind every command.
"""

import shlex

import pytest
import redis
from conftest import Server, wait_for
from test_rdb_files import Real

STRINGS = """
SET k 1 | SET k 2 NX | SET k 2 XX | SET k 3 GET | SET k 3 KEEPTTL | SET k 3 EX 100 | SET k 3 PXAT 1
SETNX n 1 | SETNX n 2 | SETEX n 100 1 | PSETEX n 100000 1 | GETSET n 5 | GETSET new 5 | GETDEL n | GETDEL n
GET k | GETEX new | GETEX new EX 100 | GETEX new PERSIST | GETEX new PERSIST | GETEX new PXAT 1 | GETEX new EX 100
MSET a 1 b 2 c 3 | MSET a 1 a 2 | MSETNX a 1 z 1 | MSETNX x 1 y 1 | MGET a b
APPEND a xyz | APPEND fresh xyz | APPEND a ""
SETRANGE a 0 "" | SETRANGE a 0 xx | SETRANGE a 10 xx | SETRANGE none 0 "" | SETRANGE made 3 xx
INCR i | INCRBY i 0 | DECR i | DECRBY i 3 | INCRBYFLOAT i 1.5 | INCRBYFLOAT i 0 | INCR a
SET k 1 IFEQ 2 | SET k 1 | SET k 2 IFEQ 1 | DELIFEQ k 1 | DELIFEQ k 2
MSETEX 2 p 1 q 2 | MSETEX 2 p 1 q 2 EX 100 | MSETEX 2 p 1 q 2 NX | MSETEX 2 p 1 q 2 XX PXAT 1 | MSETEX 1 p 1 KEEPTTL
LPUSH l a | SET l 1 | LPUSH l a | MSET l 1 m 2 | MSETEX 2 l 1 new 2 PXAT 1 | MSETEX 2 l 1 new 2 PXAT 1 | SETRANGE k 5000 x | SETRANGE k 0 x
"""

BITS = """
SETBIT b 0 0 | SETBIT b 0 0 | SETBIT b 0 1 | SETBIT b 0 1 | SETBIT b 8 0 | SETBIT b 100 1
BITFIELD f SET i5 0 11 | BITFIELD f SET i5 0 11 | BITFIELD f SET i5 0 1 INCRBY i5 0 1 | BITFIELD f INCRBY i5 0 0
BITFIELD f OVERFLOW FAIL INCRBY i5 0 100 | BITFIELD f GET i5 0 | BITFIELD f SET i5 0 2 GET i5 0 SET i5 5 1 SET i5 10 3
BITFIELD none GET i5 0 | BITFIELD g SET i5 0 0 | BITFIELD g OVERFLOW FAIL SET i5 0 1000 SET i5 0 3
BITFIELD h OVERFLOW FAIL SET i5 0 1000 | BITFIELD f SET i5 0 7 INCRBY i5 0 0 | BITFIELD new SET i5 0 0 INCRBY i5 0 0 | BITFIELD f SET i5 0 2 SET i5 0 2
BITOP AND d b f | BITOP AND d none1 none2 | BITOP AND d none1 none2 | BITOP NOT e b | BITOP OR e b f d
"""

HYPERLOGLOGS = """
PFADD h a b c | PFADD h a b | PFADD e | PFADD e | PFADD h d e f g | PFADD h a z
PFMERGE m h e | PFMERGE m h e | PFMERGE m | PFMERGE q | PFCOUNT h | PFCOUNT h | PFCOUNT h m
PFADD h x1 x2 x3 x4 x5 x6 x7 x8 | PFCOUNT h | PFCOUNT h
"""

KEYS = """
MSET a 1 b 2 c 3 d 4 | DEL a | DEL a | DEL b b c none | UNLINK d none | EXISTS a | TOUCH a
SET a 1 | EXPIRE a 100 | EXPIRE a 100 NX | EXPIRE a 50 XX | PEXPIRE a 100000 | EXPIREAT a 99999999999 | EXPIRE none 1
PEXPIREAT a 99999999999999 GT | PERSIST a | PERSIST a | PERSIST none | EXPIRE a -1 | EXPIRE a -1 | SET a 1 | PEXPIREAT a 1
SET a 1 | COPY a b | COPY a b | COPY a b REPLACE | COPY a c DB 3 | COPY none c | COPY a new REPLACE
RENAME a z | RENAME z z | RENAME z b | RENAME none x | SET z 1 | RENAMENX z b | RENAMENX b y | RENAMENX y y
MOVE y 4 | MOVE y 4 | SET y 2 | MOVE y 4 | MOVE none 4
RPUSH l 1 2 3 | RENAME l k | COPY k l | SET w 1 EX 100 | RENAME w l
SET s x | TYPE s | OBJECT ENCODING s | RANDOMKEY | SCAN 0 | DBSIZE
SORT k STORE sorted | SORT k LIMIT 0 2 STORE sorted | SORT none STORE sorted | SORT none STORE sorted | SORT k
SORT k LIMIT 0 0 STORE s2 | SORT k STORE s2 | SORT k LIMIT 0 0 STORE s2
RESTORE r 0 "\\x00\\xc0\\x07\\n\\x00t\\xcdH\\xa2\\x83\\xab\\xce\\x92" | RESTORE r 0 "\\x00\\xc0\\x07\\n\\x00t\\xcdH\\xa2\\x83\\xab\\xce\\x92" | RESTORE r 0 "\\x00\\xc0\\x07\\n\\x00t\\xcdH\\xa2\\x83\\xab\\xce\\x92" REPLACE | RESTORE r 100 "\\x12\\x01\\x02\\r\\r\\x00\\x00\\x00\\x03\\x00\\x01\\x01\\x02\\x01\\x03\\x01\\xff\\n\\x00\\xca\\xba5\\x84\\xf9\\x8a\\xd7\\xae" REPLACE | RESTORE r 1 "\\x00\\xc0\\x07\\n\\x00t\\xcdH\\xa2\\x83\\xab\\xce\\x92" ABSTTL REPLACE
RESTORE r 1 "\\x00\\xc0\\x07\\n\\x00t\\xcdH\\xa2\\x83\\xab\\xce\\x92" ABSTTL | RESTORE r 1 "\\x00\\xc0\\x07\\n\\x00t\\xcdH\\xa2\\x83\\xab\\xce\\x92" ABSTTL REPLACE
SWAPDB 0 3 | SWAPDB 0 3 | SWAPDB 5 5 | FLUSHDB | FLUSHDB | MSET a 1 b 2 | FLUSHDB ASYNC | MSET a 1 b 2 | FLUSHALL | FLUSHALL ASYNC
SELECT 3 | MSET a 1 b 2 | SELECT 0 | SET c 1 | FLUSHALL
"""

LISTS = """
RPUSH k a b c | LPUSH k d e | RPUSHX k f g | LPUSHX k h | RPUSHX none a b | LPUSHX none a | LLEN k
LPOP k | LPOP k 2 | LPOP k 0 | RPOP k | RPOP k 2 | LPOP none | LPOP none 2 | LPOP k 100 | LPOP k 2
RPUSH k a b c d e f a b a | LREM k 2 a | LREM k -1 b | LREM k 0 x | LREM k 0 a | LSET k 0 x | LSET k 0 x | LSET k 100 x | LSET none 0 x
LINSERT k BEFORE d new | LINSERT k AFTER nothere new | LINSERT none AFTER a b
LTRIM k 1 -1 | LTRIM k 0 -1 | LTRIM none 0 -1 | LTRIM k 1 2 | LTRIM k 5 9 | RPUSH k a b c d | LTRIM k 1 0
RPUSH k a b c d | LMOVE k o LEFT RIGHT | LMOVE k k LEFT RIGHT | LMOVE k k LEFT LEFT | LMOVE none o LEFT RIGHT | RPOPLPUSH k o | RPOPLPUSH none o
RPUSH one a | LMOVE one one LEFT RIGHT | LMOVE one o RIGHT LEFT | RPUSH one a | RPOPLPUSH one fresh
LMPOP 2 none k LEFT | LMPOP 1 o RIGHT COUNT 2 | LMPOP 1 o RIGHT COUNT 100 | LMPOP 1 none LEFT
RPUSH k a b c d e f g | BLPOP k none 1 | BRPOP none k 1 | BLMPOP 1 2 none k LEFT COUNT 2 | BLMOVE k o LEFT RIGHT 1 | BRPOPLPUSH k o 1
BLPOP k 1 | LRANGE o 0 -1 | LREM o 0 f | LREM o 0 e | LREM o 0 d | LRANGE o 0 -1 | LPOS o x
"""

SETS = """
SADD k a b c | SADD k a b d | SADD k a | SADD ints 1 2 3 3 | SADD ints x 1 | SCARD k
SREM k a x b | SREM k x | SREM none a | SREM k c d | SREM k c
SADD k a b c d e f g h | SPOP k | SPOP k 2 | SPOP k 0 | SPOP none | SPOP none 2 | SPOP k 100 | SPOP k 5
SADD k a b c d e | SPOP k 4 | SPOP k | SPOP k | SADD k a b c | SADD l b c d
SMOVE k l a | SMOVE k l b | SMOVE k l none | SMOVE none l a | SMOVE k k c | SMOVE k k none | SMOVE k fresh c | SMOVE k k c
SADD k a b c | SINTERSTORE d k l | SINTERSTORE d k none | SINTERSTORE d k none | SUNIONSTORE d k l | SUNIONSTORE d none
SUNIONSTORE d none | SDIFFSTORE d k l | SDIFFSTORE d l k | SDIFFSTORE d k k | SINTER k l | SRANDMEMBER k 2 | SMEMBERS k
SADD big 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 a | SPOP big 3 | SPOP big 17 | SPOP big 1
"""

HASHES = """
HSET k a 1 b 2 c 3 | HSET k a 1 | HSET k a 2 d 4 | HMSET k a 1 e 5 | HSETNX k a 1 | HSETNX k f 1 | HSET k a 1 a 2
HINCRBY k a 1 | HINCRBY k a 0 | HINCRBYFLOAT k a 1.5 | HINCRBYFLOAT k new 0 | HINCRBY fresh f 0 | HINCRBY k none x
HDEL k a x b | HDEL k x | HDEL none a | HDEL k c d e f new | HDEL k a | HGET k a | HGETALL k
HSET k a 1 b 2 c 3 d 4 | HEXPIRE k 100 FIELDS 2 a b | HEXPIRE k 100 NX FIELDS 3 a b c | HEXPIRE k 100 FIELDS 1 none
HEXPIRE none 100 FIELDS 1 a | HPEXPIRE k 100000 FIELDS 2 a none | HPEXPIREAT k 99999999999999 GT FIELDS 1 a | HEXPIREAT k 99999999999 FIELDS 2 a b
HPERSIST k FIELDS 3 a b none | HPERSIST k FIELDS 1 a | HPERSIST none FIELDS 1 a | HTTL k FIELDS 1 a
HEXPIRE k 0 FIELDS 1 a | HEXPIRE k 0 FIELDS 2 b c | HEXPIRE k 0 FIELDS 2 c d | HSET k a 1 b 2 c 3 d 4
HGETEX k FIELDS 2 a b | HGETEX k EX 100 FIELDS 3 a b none | HGETEX k PERSIST FIELDS 3 a b c | HGETEX k PERSIST FIELDS 1 a
HGETEX k PXAT 1 FIELDS 2 a b | HGETEX none EX 10 FIELDS 1 a | HGETEX k EX 10 FIELDS 1 none
HSET k a 1 b 2 c 3 d 4 | HGETDEL k FIELDS 3 a b none | HGETDEL k FIELDS 1 none | HGETDEL none FIELDS 1 a | HGETDEL k FIELDS 2 c d
HSETEX k FIELDS 2 a 1 b 2 | HSETEX k EX 100 FIELDS 3 a 1 b 2 c 3 | HSETEX k KEEPTTL FIELDS 1 a 2 | HSETEX k FNX FIELDS 1 a 2
HSETEX k FXX EX 10 FIELDS 2 a 2 b 2 | HSETEX k PXAT 1 FIELDS 2 a 1 b 1 | HSETEX k PXAT 1 FIELDS 2 a 1 c 1 | HSETEX k PXAT 1 FIELDS 1 a 1
HSETEX k XX FIELDS 1 a 1 | HSETEX k NX FIELDS 1 a 1 | HSETEX k NX FIELDS 1 a 1 | HSETEX k FXX FIELDS 1 none 1
HSET k a 1 b 2 c 3 | HSETEX k PXAT 1 FIELDS 3 a 1 b 1 none 1 | HRANDFIELD k
"""

ZSETS = """
ZADD k 1 a 2 b 3 c | ZADD k 1 a 5 b 6 d | ZADD k 1 a | ZADD k NX 9 a 9 e | ZADD k XX 7 a 7 z | ZADD k XX CH 8 a | ZADD k GT 1 a 100 b
ZADD k INCR 1 a | ZADD k INCR 0 a | ZADD k NX INCR 1 a | ZADD k 1 twice 2 twice | ZADD none XX 1 a | ZADD k nan x
ZINCRBY k 1 a | ZINCRBY k 0 a | ZINCRBY k 1 new | ZINCRBY fresh 0 a | ZCARD k
ZREM k a x b | ZREM k x | ZREM none x | ZREM k c d e new twice | ZREM k a
ZADD k 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i | ZPOPMIN k | ZPOPMAX k 2 | ZPOPMIN k 0 | ZPOPMIN none | ZPOPMIN none 3 | ZMPOP 2 none k MIN COUNT 2
ZMPOP 1 none MIN | BZPOPMIN k none 1 | BZPOPMAX none k 1 | BZMPOP 1 1 k MAX COUNT 10 | ZPOPMIN k
ZADD k 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i | ZREMRANGEBYRANK k 0 1 | ZREMRANGEBYRANK k 100 200 | ZREMRANGEBYSCORE k 4 5 | ZREMRANGEBYSCORE none 4 5
ZREMRANGEBYLEX k [a [f | ZREMRANGEBYLEX k - + | ZREMRANGEBYSCORE k 1 2
ZADD k 1 a 2 b 3 c | ZADD l 2 b 3 c 4 d | ZINTERSTORE d 2 k l | ZUNIONSTORE d 2 k l | ZDIFFSTORE d 2 k l | ZINTERSTORE d 2 k none | ZINTERSTORE d 2 k none
ZRANGESTORE d k 0 -1 | ZRANGESTORE d k 0 1 | ZRANGESTORE d k 10 11 | ZRANGESTORE d k 10 11 | ZRANGESTORE d none 0 -1 | ZUNIONSTORE d 1 none
ZADD k 1 a 2 b 3 c | ZPOPMAX k 100 | ZRANGE l 0 -1 | ZRANDMEMBER l | ZUNIONSTORE l 1 l
"""

GEO = """
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania | GEOADD g 13.361389 38.115556 Palermo | GEOADD g 14 38 Palermo 1 1 x
GEOADD g NX 1 1 Palermo | GEOADD g XX CH 1 2 Palermo | GEOADD g XX 1 1 none
GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km ASC | GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 20000 km STOREDIST | GEOSEARCHSTORE d g FROMLONLAT 80 37 BYRADIUS 1 km
GEOSEARCHSTORE d g FROMLONLAT 80 37 BYRADIUS 1 km | GEOSEARCHSTORE d none FROMLONLAT 80 37 BYRADIUS 1 km
GEORADIUS g 15 37 20000 km STORE d | GEORADIUS g 15 37 20000 km | GEORADIUSBYMEMBER g Catania 20000 km STOREDIST d | GEORADIUS none 15 37 200 km STORE d
GEORADIUS none 15 37 200 km STORE d | GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km
"""

STREAMS = """
XADD s 1-1 a 1 | XADD s 2-1 a 1 b 2 | XADD s 1-1 a 1 | XADD none NOMKSTREAM 1-1 a 1 | XADD s MAXLEN 2 3-1 a 1 | XADD s MAXLEN 1 4-1 a 1 | XADD s MINID 5 5-1 a 1
XADD s 6-1 a 1 | XADD s 7-1 a 1 | XADD s 8-1 a 1 | XADD s 9-1 a 1 | XDEL s 6-1 7-1 99-1 | XDEL s 6-1 | XDEL none 1-1 | XTRIM s MAXLEN 1 | XTRIM s MAXLEN 1 | XTRIM none MAXLEN 1
XTRIM s MINID 99 | XSETID s 100-1 | XSETID s 100-1 | XSETID s 101-1 ENTRIESADDED 200 MAXDELETEDID 90-1 | XSETID none 1-1
XGROUP CREATE s g 0 | XGROUP CREATE s g 0 | XGROUP CREATE made g $ MKSTREAM | XGROUP SETID s g 0 | XGROUP CREATECONSUMER s g c | XGROUP CREATECONSUMER s g c
XADD s 201-1 a 1 | XADD s 202-1 a 1 | XADD s 203-1 a 1 | XADD s 204-1 a 1 | XADD s 205-1 a 1
XREADGROUP GROUP g c COUNT 2 STREAMS s > | XREADGROUP GROUP g c STREAMS s 0 | XREADGROUP GROUP g new COUNT 1 STREAMS s > | XREADGROUP GROUP g new COUNT 1 NOACK STREAMS s >
XREADGROUP GROUP g noneyet STREAMS s 0 | XREADGROUP GROUP g c STREAMS s made > > | XREADGROUP GROUP g c STREAMS s > | XREADGROUP GROUP g third STREAMS s made > >
XPENDING s g | XACK s g 201-1 202-1 999-1 | XACK s g 201-1 | XACK none g 1-1 | XACK s none 1-1
XCLAIM s g other 0 203-1 | XCLAIM s g other 0 203-1 204-1 | XCLAIM s g other 0 999-1 | XCLAIM s g fourth 100000 203-1 | XCLAIM s g other 0 205-1 FORCE JUSTID | XCLAIM s g other 0 203-1 LASTID 300-1
XCLAIM s g other 0 203-1 205-1 JUSTID | XAUTOCLAIM s g auto 0 0 | XAUTOCLAIM s g auto 100000 0 | XAUTOCLAIM s g auto 0 0 COUNT 1 JUSTID | XAUTOCLAIM s g fifth 100000 0
XDEL s 203-1 | XAUTOCLAIM s g auto 0 0 | XREADGROUP GROUP g auto STREAMS s 0 | XDEL s 205-1 | XCLAIM s g other 0 205-1
XGROUP DELCONSUMER s g auto | XGROUP DELCONSUMER s g auto | XGROUP DESTROY s g | XGROUP DESTROY s g | XRANGE s - + | XREAD STREAMS s 0
DEL s | XADD s 1-1 a 1 | XADD s 2-1 a 1 | XADD s 3-1 a 1 | XADD s 4-1 a 1 | XGROUP CREATE s g 0 | XREADGROUP GROUP g c STREAMS s 0 | XREADGROUP GROUP g c STREAMS s 0 | XREADGROUP GROUP g c STREAMS s >
XCLAIM s g c 100000 1-1 LASTID 9-1 | XCLAIM s g c 100000 1-1 LASTID 9-1 | XCLAIM s g new 0 77-1 LASTID 10-1 | XDEL s 1-1 2-1 3-1 | XREADGROUP GROUP g c STREAMS s 0 | XAUTOCLAIM s g new 0 0 COUNT 2 | XCLAIM s g new 0 3-1 4-1 5-1 | XCLAIM s g new 0 4-1 FORCE
XADD s 20-1 a 1 | XREADGROUP GROUP g c BLOCK 1 STREAMS s > | XREADGROUP GROUP g c BLOCK 1 STREAMS s > | XREADGROUP GROUP g newest BLOCK 1 STREAMS s > | XACK s g 20-1 4-1
XADD t MAXLEN ~ 1 * a 1 | XADD t MAXLEN = 1 * a 1 | XTRIM t MAXLEN ~ 0 | XTRIM t MAXLEN 0 | XADD t MAXLEN 0 * a 1 | DEL s t
"""

TOGETHER = """
MULTI | SET a 1 | RPUSH l a b c | GET a | EXEC | MULTI | GET a | EXEC | MULTI | SET a 1 | DISCARD
MULTI | SADD s a b c | DEL a none | EXPIRE l 100 | SPOP s 2 | EXEC | MULTI | FLUSHALL | SET a 1 | EXEC
EVAL "return redis.call('SET', KEYS[1], 1)" 1 a | EVAL "redis.call('RPUSH', KEYS[1], 1, 2, 3) redis.call('SADD', KEYS[1] .. 's', 1, 2) return 1" 1 l
EVAL "return 1" 0 | EVAL "return redis.call('GET', KEYS[1])" 1 a | EVAL "redis.call('SET', 'x', 1) return redis.call('RPUSH', 'x', 1)" 0
SCRIPT LOAD "return 1" | SCRIPT LOAD "return 2" | SCRIPT FLUSH | PUBLISH a b
FUNCTION LOAD "#!lua name=lib\\nserver.register_function('f', function(keys) return server.call('RPUSH', keys[1], 1, 2) end)"
FUNCTION LOAD REPLACE "#!lua name=lib\\nserver.register_function('f', function(keys) return server.call('RPUSH', keys[1], 1, 2) end)"
FCALL f 1 l | FUNCTION DELETE lib | FUNCTION DELETE lib | FUNCTION FLUSH | FUNCTION FLUSH | CONFIG RESETSTAT
SET a 1 PX 1 | DEBUG SLEEP 0.01 | GET a | SET a 1 PX 1 | DEBUG SLEEP 0.01 | SET a 1 | PEXPIRE a 1 | DEBUG SLEEP 0.01 | DEL a | SET a 1 PX 1 | DEBUG SLEEP 0.01
HSET h a 1 b 2 | HPEXPIRE h 1 FIELDS 1 a | DEBUG SLEEP 0.01 | HGET h a | HSET h a 2 | HPEXPIRE h 1 FIELDS 2 a b | DEBUG SLEEP 0.01 | HSET h a 1 | DEL h
"""

FAMILIES = {
    "strings": STRINGS,
    "bits": BITS,
    "hyperloglogs": HYPERLOGLOGS,
    "keys": KEYS,
    "lists": LISTS,
    "sets": SETS,
    "hashes": HASHES,
    "sorted sets": ZSETS,
    "places": GEO,
    "streams": STREAMS,
    "transactions, scripts, expiry": TOGETHER,
}


@pytest.fixture(scope="module", params=[1, 3])
def clients(request, tmp_path_factory):
    """One of ours and one of Valkey."""
    folder = tmp_path_factory.mktemp("changes")
    ours = Server(folder, "--enable-debug-command", "yes", cores=request.param)
    theirs = Real("valkey", folder, "--enable-debug-command", "yes")
    yield ours.client(), theirs.client
    theirs.stop()
    assert ours.stop() == 0


def commands(rows):
    """The words of each command, which are written as redis-cli takes them."""
    decoded = lambda word: word.encode().decode("unicode_escape").encode("latin-1")
    texts = (text for row in rows.strip().splitlines() for text in row.split(" | "))
    return [list(map(decoded, shlex.split(text))) for text in texts]


def reply(connection):
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def growths(client, commands):
    """Of each command: whether it failed, and by how much the count grew; nobody knows in a transaction."""
    connection = client.connection_pool.get_connection()
    ask = ("INFO", "persistence")
    asked = [("FLUSHALL",), ask, *(words for command in commands for words in (command, ask))]
    connection.send_packed_command(connection.pack_commands(asked))

    def count():
        text = reply(connection)
        return None if text == b"QUEUED" else int(text.split(b"rdb_changes_since_last_save:")[1].split()[0])

    reply(connection)
    before, found = count(), []
    for _ in commands:
        failed = isinstance(reply(connection), redis.ResponseError)
        now = count()
        found.append((failed, None if now is None else now - before))
        before = before if now is None else now
    client.connection_pool.release(connection)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_changes_are_counted_as_in_valkey(clients, family):
    sent = commands(FAMILIES[family])
    ours, theirs = (growths(client, sent) for client in clients)
    different = [pair for pair in zip(sent, ours, theirs) if pair[1] != pair[2]]
    assert not different, "command, ours (failed, changes), theirs: " + "\n".join(map(str, different))
    assert sum(changes or 0 for _, changes in theirs) > len(sent) / 4, "the family is about changes"


def test_what_a_waiting_client_gets_counts(clients):
    """An element that is pushed, and goes to who waited for it, has changed twice."""
    grown = []
    for client in clients:
        client.flushall()
        changes = lambda: client.info("persistence")["rdb_changes_since_last_save"]
        waiting = client.connection_pool.get_connection()
        before, told = changes(), []
        for wait, act in [
            ("BLPOP q 0", "RPUSH q a b c"),
            ("BLMPOP 0 1 other LEFT COUNT 2", "RPUSH other a b c"),
            ("BLMOVE from to LEFT RIGHT 0", "LPUSH from a"),
            ("BZPOPMIN z 0", "ZADD z 1 a 2 b"),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XADD s 1-1 a 1"),
        ]:
            if "GROUP" in wait:
                client.xgroup_create("s", "g", mkstream=True)
            waiting.send_command(*wait.split())
            wait_for(lambda: client.info("clients")["blocked_clients"] == 1)
            client.execute_command(*act.split())
            assert not isinstance(reply(waiting), redis.ResponseError)
            told.append(changes() - before)
        client.connection_pool.release(waiting)
        grown.append(told)
    assert grown[0] == grown[1]
