//! Conversations about channels.

use crate::config::Config;
use crate::sim::conversation::check_configured_outside_multi;
use crate::sim::{check, check_configured, check_outside_multi, check3};

#[test]
fn messages_reach_subscribers() {
    check(
        "PUBLISH ch hi => 0 | b> SUBSCRIBE ch => [\"subscribe\" \"ch\" 1] | PUBLISH ch hi => 1 | b> => [\"message\" \"ch\" \"hi\"] | PUBLISH other hi => 0 | PUBLISH ch \"\" => 1 | b> => [\"message\" \"ch\" \"\"]",
    );
    check(
        "b> SUBSCRIBE ch => * | c> SUBSCRIBE ch => * | d> PSUBSCRIBE c? => [\"psubscribe\" \"c?\" 1] | PUBLISH ch hi => 3 | b> => [\"message\" \"ch\" \"hi\"] | c> => [\"message\" \"ch\" \"hi\"] | d> => [\"pmessage\" \"c?\" \"ch\" \"hi\"]",
    );
    check(
        "b> SSUBSCRIBE ch => [\"ssubscribe\" \"ch\" 1] | PUBLISH ch hi => 0 | SPUBLISH ch hi => 1 | b> => [\"smessage\" \"ch\" \"hi\"] | c> SUBSCRIBE ch => * | c> PSUBSCRIBE * => * | SPUBLISH ch ho => 1 | b> => [\"smessage\" \"ch\" \"ho\"]",
    );
    check(
        "PUBLISH a => -ERR wrong number of arguments for 'publish' command | SPUBLISH a b c => -ERR wrong number of arguments for 'spublish' command | SUBSCRIBE => -ERR wrong number of arguments for 'subscribe' command",
    );
}

/// One client, several ways: the channel first, then the patterns.
#[test]
fn a_client_may_receive_a_message_twice() {
    check(
        "b> SUBSCRIBE ab => * | b> PSUBSCRIBE a* => [\"psubscribe\" \"a*\" 2] | b> PSUBSCRIBE *b => [\"psubscribe\" \"*b\" 3] | PUBLISH ab m => 3 | b> => [\"message\" \"ab\" \"m\"] | b> => [\"pmessage\" \"*b\" \"ab\" \"m\"] | b> => [\"pmessage\" \"a*\" \"ab\" \"m\"]",
    );
}

#[test]
fn confirmations_count() {
    check_outside_multi(
        "SUBSCRIBE a b a => [\"subscribe\" \"a\" 1] | a> => [\"subscribe\" \"b\" 2] | a> => [\"subscribe\" \"a\" 2] | PSUBSCRIBE p* => [\"psubscribe\" \"p*\" 3] | SSUBSCRIBE s => [\"ssubscribe\" \"s\" 1] | UNSUBSCRIBE => [\"unsubscribe\" \"a\" 2] | a> => [\"unsubscribe\" \"b\" 1] | UNSUBSCRIBE => [\"unsubscribe\" nil 1] | UNSUBSCRIBE x y => [\"unsubscribe\" \"x\" 1] | a> => [\"unsubscribe\" \"y\" 1] | PUNSUBSCRIBE => [\"punsubscribe\" \"p*\" 0] | PUNSUBSCRIBE => [\"punsubscribe\" nil 0] | SUNSUBSCRIBE x => [\"sunsubscribe\" \"x\" 1] | SUNSUBSCRIBE => [\"sunsubscribe\" \"s\" 0] | SUNSUBSCRIBE => [\"sunsubscribe\" nil 0] | PING => PONG | GET x => nil",
    );
    check3(
        "SUBSCRIBE a => >[\"subscribe\" \"a\" 1] | PSUBSCRIBE p* => >[\"psubscribe\" \"p*\" 2] | SSUBSCRIBE s => >[\"ssubscribe\" \"s\" 1] | UNSUBSCRIBE => >[\"unsubscribe\" \"a\" 1] | UNSUBSCRIBE => >[\"unsubscribe\" nil 1] | PUNSUBSCRIBE y => >[\"punsubscribe\" \"y\" 1]",
    );
    check(
        "UNSUBSCRIBE => [\"unsubscribe\" nil 0] | SUNSUBSCRIBE x => [\"sunsubscribe\" \"x\" 0] | GET x => nil",
    );
}

#[test]
fn what_a_subscriber_may_say_in_resp2() {
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        )
    };
    for subscribe in ["SUBSCRIBE c", "PSUBSCRIBE c", "SSUBSCRIBE c"] {
        check_outside_multi(&format!(
            "{subscribe} => * | PING => [\"pong\" \"\"] | PING x => [\"pong\" \"x\"] | PING a b => -ERR wrong number of arguments for 'ping' command | GET x => {} | HELLO 3 => {} | MULTI => {} | EXEC => -EXECABORT Transaction discarded because of: {} | PUBSUB NUMPAT => {} | CLIENT ID => {} | NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: | RESET => RESET | PING => PONG | GET x => nil",
            refused("get"),
            refused("hello"),
            refused("multi"),
            refused("exec").trim_start_matches("-ERR "),
            refused("pubsub|numpat"),
            refused("client|id"),
        ));
    }
    check_outside_multi("SUBSCRIBE c => * | QUIT => OK");
    check3("SUBSCRIBE c => * | PING => PONG | PING x => \"x\" | SET x 1 => OK | GET x => \"1\"");
}

#[test]
fn questions() {
    check(
        "PUBSUB CHANNELS => [] | PUBSUB NUMSUB => [] | PUBSUB NUMSUB a b => [\"a\" 0 \"b\" 0] | PUBSUB NUMPAT => 0 | PUBSUB SHARDCHANNELS => [] | PUBSUB SHARDNUMSUB a => [\"a\" 0]",
    );
    check(
        "b> SUBSCRIBE a b => * | b> => * | c> SUBSCRIBE b => * | d> SSUBSCRIBE a s => * | d> => * | c> PSUBSCRIBE p* => * | d> PSUBSCRIBE p* q* => * | d> => * | PUBSUB CHANNELS => ?[\"a\" \"b\"] | PUBSUB CHANNELS [bc] => [\"b\"] | PUBSUB NUMSUB a b s => [\"a\" 1 \"b\" 2 \"s\" 0] | PUBSUB NUMPAT => 2 | PUBSUB SHARDCHANNELS => ?[\"a\" \"s\"] | PUBSUB SHARDCHANNELS s* => [\"s\"] | PUBSUB SHARDNUMSUB a b s => [\"a\" 1 \"b\" 0 \"s\" 1]",
    );
    check3("b> SUBSCRIBE a => * | PUBSUB NUMSUB a => [\"a\" 1] | PUBSUB CHANNELS => [\"a\"]");
    check(
        "PUBSUB CHANNELS a b => -ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP. | PUBSUB SHARDCHANNELS a b => -ERR unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB HELP. | PUBSUB NUMPAT x => -ERR wrong number of arguments for 'pubsub|numpat' command | PUBSUB FOO => -ERR unknown subcommand 'FOO'. Try PUBSUB HELP. | PUBSUB HELP => *",
    );
    check("COMMAND GETKEYS SPUBLISH a b => -ERR The command has no key arguments");
}

#[test]
fn the_list_of_clients_tells() {
    check_outside_multi(
        "b> CLIENT SETNAME me => OK | b> SUBSCRIBE a b => * | b> => * | b> PSUBSCRIBE p => * | b> SSUBSCRIBE s => * | CLIENT KILL TYPE pubsub => 1 | PUBSUB NUMSUB a b => [\"a\" 0 \"b\" 0] | PUBSUB NUMPAT => 0 | PUBLISH a m => 0",
    );
    check_outside_multi(
        "b> SUBSCRIBE a => * | CLIENT KILL TYPE pubsub NOT-FLAGS P => 0 | CLIENT KILL FLAGS P => 1 | PUBSUB CHANNELS => []",
    );
}

#[test]
fn transactions() {
    check_outside_multi(
        "b> SUBSCRIBE ch => * | MULTI => OK | SET k 1 => QUEUED | PUBLISH ch m => QUEUED | PUBLISH ch n => QUEUED | DEL k => QUEUED | EXEC => [OK 1 1 1] | b> => [\"message\" \"ch\" \"m\"] | b> => [\"message\" \"ch\" \"n\"]",
    );
    // Subscribing is no obstacle to what is queued behind it.
    check_outside_multi(
        "MULTI => OK | SUBSCRIBE q => QUEUED | GET x => QUEUED | PUBLISH q m => QUEUED | EXEC => [[\"subscribe\" \"q\" 1] nil 1] | a> => [\"message\" \"q\" \"m\"] | PING => [\"pong\" \"\"]",
    );
    check3(
        "SUBSCRIBE ch => * | MULTI => OK | SUBSCRIBE c2 => QUEUED | PUBLISH ch m => QUEUED | GET x => QUEUED | PUBLISH c2 n => QUEUED | UNSUBSCRIBE ch => QUEUED | EXEC => [>[\"subscribe\" \"c2\" 2] 1 nil 1 >[\"unsubscribe\" \"ch\" 1]] | a> => >[\"message\" \"ch\" \"m\"] | a> => >[\"message\" \"c2\" \"n\"]",
    );
    check_outside_multi("MULTI => OK | SUBSCRIBE q => QUEUED | DISCARD => OK | PUBLISH q m => 0");
}

/// Since Redis 7.2 a client's own messages come behind the reply of the command that sent them.
#[test]
fn ones_own_messages() {
    check3(
        "SUBSCRIBE ch => * | PUBLISH ch m => 1 | a> => >[\"message\" \"ch\" \"m\"] | MGET a b c => [nil nil nil] | PUBLISH ch n => 1 | a> => >[\"message\" \"ch\" \"n\"] | b> PUBLISH ch o => 1 | a> => >[\"message\" \"ch\" \"o\"]",
    );
}

#[test]
fn silence_does_not_cover_messages() {
    check_outside_multi(
        "CLIENT REPLY OFF => ... | SUBSCRIBE z => [\"subscribe\" \"z\" 1] | PING => ... | b> PUBLISH z m => 1 | a> => [\"message\" \"z\" \"m\"]",
    );
    check3(
        "SUBSCRIBE z => * | CLIENT REPLY OFF => ... | MGET a b c d => ... | PUBLISH z m => ... | a> => >[\"message\" \"z\" \"m\"] | MULTI => ... | SUBSCRIBE y => ... | EXEC => >[\"subscribe\" \"y\" 2] | CLIENT REPLY ON => OK",
    );
    check3(
        "CLIENT REPLY SKIP => ... | SUBSCRIBE z => >[\"subscribe\" \"z\" 1] | GET x => nil | CLIENT REPLY SKIP => ... | MGET a b c d => ... | MGET a b => [nil nil]",
    );
}

#[test]
fn leaving() {
    check_outside_multi(
        "b> SUBSCRIBE a => * | b> PSUBSCRIBE * => * | b> SSUBSCRIBE s => * | b> RESET => RESET | PUBLISH a m => 0 | SPUBLISH s m => 0 | PUBSUB NUMPAT => 0",
    );
    check_outside_multi("b> SUBSCRIBE a => * | b> QUIT => OK | PUBLISH a m => 0 | PUBSUB CHANNELS => []");
}

#[test]
fn subscribers_are_not_idle() {
    let mut config = Config::default();
    config.timeout_s = 1;
    check_configured(
        &config,
        "b> SUBSCRIBE a => * | c> PING => PONG | +2000ms | a> PING => PONG | tick | a> PUBLISH a m => 1 | b> => [\"message\" \"a\" \"m\"]",
    );
}

// ---- keyspace events ----

/// b listens to the events of all keys, with `flags`; a says the lines in turn; then b reads on: events by their channel and text.
fn check_events(flags: &str, lines: &[&str], events: &[(&str, &str)]) {
    let mut config = Config::default();
    config.notify_keyspace_events = crate::config::Events::parse(flags.as_bytes()).expect("flags");
    let said: String = lines.iter().map(|line| format!(" | {line} => *")).collect();
    let heard: String = (events.iter())
        .map(|(channel, text)| format!(" | b> => [\"pmessage\" \"__key*\" \"{channel}\" \"{text}\"]"))
        .collect();
    check_configured(&config, &format!("b> PSUBSCRIBE __key* => *{said}{heard}"));
}

/// The same, with the event channels only: event and key.
fn check_key_events(flags: &str, lines: &[&str], events: &[(&str, &str)]) {
    let named: Vec<String> = events.iter().map(|(event, _)| format!("__keyevent@0__:{event}")).collect();
    let events: Vec<(&str, &str)> =
        named.iter().zip(events).map(|(channel, (_, key))| (channel.as_str(), *key)).collect();
    check_events(flags, lines, &events);
}

#[test]
fn events_have_two_channels() {
    check_events(
        "KEA",
        &["SET k v", "SELECT 3", "LPUSH l 1"],
        &[
            ("__keyspace@0__:k", "set"),
            ("__keyevent@0__:set", "k"),
            ("__keyspace@3__:l", "lpush"),
            ("__keyevent@3__:lpush", "l"),
        ],
    );
    check_events("KA", &["SET k v"], &[("__keyspace@0__:k", "set")]);
    check_events("EA", &["SET k v"], &[("__keyevent@0__:set", "k")]);
    check_events("A", &["SET k v"], &[]);
    check_events("KE", &["SET k v"], &[]);
    check_events("", &["SET k v"], &[]);
}

#[test]
fn events_of_chosen_families() {
    let lines = &["SET k v", "RPUSH l 1", "SADD s 1", "ZADD z 1 m", "HSET h f v", "DEL k l"];
    check_key_events("E$", lines, &[("set", "k")]);
    check_key_events("El", lines, &[("rpush", "l")]);
    check_key_events("Es", lines, &[("sadd", "s")]);
    check_key_events("Ez", lines, &[("zadd", "z")]);
    check_key_events("Eh", lines, &[("hset", "h")]);
    check_key_events("Eg", lines, &[("del", "k"), ("del", "l")]);
    check_key_events("Em", &["GET none", "SET k v", "GET k"], &[("keymiss", "none")]);
    check_key_events("En", &["SET k v", "SET k w", "HSET h f v"], &[("new", "k"), ("new", "h")]);
}

#[test]
fn events_of_several_kinds() {
    check_key_events(
        "EA",
        &[
            "SET a 1",
            "INCR a",
            "APPEND a x",
            "SETRANGE a 1 y",
            "EXPIRE a 100",
            "PERSIST a",
            "RENAME a b",
            "DEL b",
        ],
        &[
            ("set", "a"),
            ("incrby", "a"),
            ("append", "a"),
            ("setrange", "a"),
            ("expire", "a"),
            ("persist", "a"),
            ("rename_from", "a"),
            ("rename_to", "b"),
            ("del", "b"),
        ],
    );
    check_key_events(
        "EA",
        &[
            "RPUSH l 1 2",
            "LPOP l",
            "RPOP l",
            "SADD s a",
            "SREM s a",
            "ZADD z 1 a",
            "ZINCRBY z 1 a",
            "ZREM z a",
        ],
        &[
            ("rpush", "l"),
            ("lpop", "l"),
            ("rpop", "l"),
            ("del", "l"),
            ("sadd", "s"),
            ("srem", "s"),
            ("del", "s"),
            ("zadd", "z"),
            ("zincr", "z"),
            ("zrem", "z"),
            ("del", "z"),
        ],
    );
    check_key_events(
        "EA",
        &["MSET a 1 b 2 c 3", "MULTI", "SET a 2", "LPUSH l x", "EXEC"],
        &[("set", "a"), ("set", "b"), ("set", "c"), ("set", "a"), ("lpush", "l")],
    );
}

/// Bits made a key that nobody heard of; what RENAME and COPY put in a key's place is new there.
#[test]
fn new_keys() {
    let lines = [
        "SETBIT a 1 1",
        "SETBIT a 2 1",
        "BITFIELD b SET u8 0 1",
        "RENAME a b",
        "COPY b a",
        "COPY b a REPLACE",
        "SINTERSTORE b c d",
        "HSETEX h EX 0 FIELDS 1 f v",
    ];
    check_key_events("En", &lines, &["a", "b", "b", "a", "a", "h"].map(|key| ("new", key)));
}

#[test]
fn bits_that_were_left_as_they_were() {
    let lines = ["BITFIELD a OVERFLOW FAIL SET u8 0 256", "BITFIELD a SET u8 0 0", "BITFIELD a SET u8 8 0"];
    check_key_events("EA", &lines, &[("setbit", "a")]);
}

/// A command that looks a key up to change it does not miss it.
#[test]
fn missed_keys() {
    let missing = |lines: &[&str], keys: &[&str]| {
        let events: Vec<(&str, &str)> = keys.iter().map(|key| ("keymiss", *key)).collect();
        check_key_events("Em", lines, &events);
    };
    missing(&["PFADD p a", "PFDEBUG ENCODING q", "XDEL x 1-1", "XSETID x 1-1", "OBJECT REFCOUNT k"], &[]);
    missing(&["XGROUP CREATE x g $", "XGROUP CREATECONSUMER x g c", "HSETEX h FIELDS 1 f v"], &[]);
    missing(&["PFMERGE p q", "BITOP OR d a a", "XAUTOCLAIM x g c 0 - COUNT -1"], &["p", "q", "a", "a", "x"]);
    missing(&["RPUSH l 1", "LCS l a"], &["a"]);
    // In the order of the command, wherever the keys are.
    missing(&["SINTERSTORE b e d c b a f"], &["e", "d", "c", "b", "a", "f"]);
    missing(&["MGET f e a b c d a"], &["f", "e", "a", "b", "c", "d", "a"]);
}

/// What a client that waits has missed was not told before another command ran. As in Redis, XREAD looks twice.
#[test]
fn events_of_who_waits() {
    let mut config = Config::default();
    config.notify_keyspace_events = crate::config::Events::parse(b"Em").expect("flags");
    let missed = ["x", "y", "x", "y"]
        .map(|key| format!(" | b> => [\"pmessage\" \"*\" \"__keyevent@0__:keymiss\" \"{key}\"]"));
    let text = format!("b> PSUBSCRIBE * => * | c> XREAD BLOCK 0 STREAMS x y $ $ => ...{}", missed.concat());
    check_configured_outside_multi(&config, &text);
}

#[test]
fn keys_that_expire_are_heard_of() {
    let mut config = Config::default();
    config.notify_keyspace_events = crate::config::Events::parse(b"Ex").expect("flags");
    let text = "b> SUBSCRIBE __keyevent@0__:expired => * | SET a 1 PX 10 => OK | SET b 1 PX 10 => OK | +20ms | GET a => nil | b> => [\"message\" \"__keyevent@0__:expired\" \"a\"] | tick | b> => [\"message\" \"__keyevent@0__:expired\" \"b\"]";
    check_configured(&config, text);
}

/// What a core evicts when nobody asks anything of it is told at once, too.
#[test]
fn keys_that_are_evicted_are_heard_of() {
    check_outside_multi(
        "CONFIG SET notify-keyspace-events Ee => OK | CONFIG SET maxmemory-policy allkeys-random => OK | b> SUBSCRIBE __keyevent@0__:evicted => * | SET k v => OK | CONFIG SET maxmemory 1 => OK | b> => [\"message\" \"__keyevent@0__:evicted\" \"k\"]",
    );
}

/// What a script published overtook the events of what it had done before.
#[test]
fn events_of_a_script_come_before_what_it_publishes_next() {
    let script = "redis.call('SET', 'a', 1) redis.call('PUBLISH', 'c', 'x') redis.call('MSET', 'b', 1, 'd', 1) \
                  redis.call('SPUBLISH', 'c', 'y') redis.call('PUBLISH', 'c', 'z')";
    let event = |key: &str| format!("b> => [\"message\" \"__keyevent@0__:set\" \"{key}\"]");
    let library = format!("#!lua name=l\\nredis.register_function('f', function() {script} end)");
    let heard = format!(
        "{} | b> => [\"message\" \"c\" \"x\"] | {} | {} | b> => [\"smessage\" \"c\" \"y\"] | b> => [\"message\" \"c\" \"z\"]",
        event("a"),
        event("b"),
        event("d")
    );
    check_outside_multi(&format!(
        "CONFIG SET notify-keyspace-events EA => OK | b> SUBSCRIBE c __keyevent@0__:set => * | b> => * | b> SSUBSCRIBE c => * \
         | EVAL \"{script}\" 0 => nil | {heard} | FUNCTION LOAD \"{library}\" => \"l\" | FCALL f 0 => nil | {heard}"
    ));
}

/// One's own events come behind the reply of the command, as one's own messages do.
#[test]
fn ones_own_events() {
    check3(
        "CONFIG SET notify-keyspace-events EA => OK | SUBSCRIBE __keyevent@0__:set => * | MSET a 1 b 2 => OK | a> => >[\"message\" \"__keyevent@0__:set\" \"a\"] | a> => >[\"message\" \"__keyevent@0__:set\" \"b\"] | CONFIG SET notify-keyspace-events \"\" => OK | SET a 2 => OK",
    );
}
