//! Conversations of clients that cache: who is told of which change, when, and in which form.

use crate::config::{Config, Guard};
use crate::sim::{check_configured, check_outside_multi, check3};

/// The message about these keys.
fn gone(keys: &str) -> String {
    format!(">[\"invalidate\" [{keys}]]")
}

#[test]
fn a_reader_is_told_once() {
    let a = gone("\"k\"");
    check3(&format!(
        "CLIENT TRACKING ON => OK | SET k 0 => OK | GET k => \"0\" | b> SET k 1 => OK | a> => {a} | b> SET k 2 => OK \
         | MGET k x => [\"2\" nil] | b> DEL k => 1 | a> => {a} | b> SET other 1 => OK | b> DEL x => 0 | PING => PONG"
    ));
    // A key is remembered by its name, whatever the database, and though the command failed.
    check3(&format!(
        "SET k v => OK | CLIENT TRACKING ON => OK | LLEN k => * | b> SELECT 3 => OK | b> SET k v => OK | a> => {a} \
         | STRLEN k => 1 | b> RENAME k k2 => OK | a> => {a} | PING => PONG"
    ));
}

#[test]
fn what_is_written_is_not_remembered() {
    check3(
        "CLIENT TRACKING ON => OK | SET k 1 => OK | INCR k => 2 | b> SET k 1 => OK | GETDEL k => \"1\" | PING => PONG",
    );
}

#[test]
fn what_a_script_reads_is_read_by_its_client() {
    let k = gone("\"k\"");
    check3(&format!(
        "CLIENT TRACKING ON => OK | EVAL \"return redis.call('GET', KEYS[1])\" 1 k => nil | b> SET k 1 => OK | a> => {k} \
         | EVAL \"redis.call('GET', KEYS[1]); return redis.call('SET', KEYS[1], 2)\" 1 k => OK | a> => {k} \
         | b> SET k 3 => OK | EVAL \"return redis.call('SET', KEYS[1], 4)\" 1 k => OK | b> SET k 3 => OK | PING => PONG"
    ));
    check3(&format!(
        "CLIENT TRACKING ON OPTIN => OK | EVAL \"return redis.call('GET', KEYS[1])\" 1 k => nil | b> SET k 1 => OK \
         | CLIENT CACHING YES => OK | EVAL \"return redis.call('GET', KEYS[1])\" 1 k => \"1\" | b> SET k 2 => OK | a> => {k} \
         | EVAL \"return redis.call('GET', KEYS[1])\" 1 k => \"2\" | b> SET k 1 => OK | PING => PONG"
    ));
}

/// A script's publications and its commands' events overtook what they came behind: all of that was told at its end.
#[test]
fn what_a_script_changes_is_told_at_once() {
    let k = gone("\"k\"");
    check3(&format!(
        "CONFIG SET notify-keyspace-events EA => OK | CLIENT TRACKING ON => OK | GET k => nil | SUBSCRIBE c __keyevent@0__:set => * \
         | a> => * | b> EVAL \"redis.call('SET', 'k', 1) redis.call('PUBLISH', 'c', 'x')\" 0 => nil \
         | a> => {k} | a> => >[\"message\" \"__keyevent@0__:set\" \"k\"] | a> => >[\"message\" \"c\" \"x\"]"
    ));
}

/// Of a key that expires, readers are told behind its event.
#[test]
fn the_event_of_an_expiry_comes_first() {
    let (k, l) = (gone("\"k\""), gone("\"l\""));
    let expired = |key: &str| format!(">[\"message\" \"__keyevent@0__:expired\" \"{key}\"]");
    check3(&format!(
        "CONFIG SET notify-keyspace-events EA => OK | CLIENT TRACKING ON => OK | SUBSCRIBE __keyevent@0__:expired => * \
         | SET k v PX 10 => OK | SET l v PX 10 => OK | MGET k l => [\"v\" \"v\"] | +20ms | b> GET k => nil | a> => {} | a> => {k} \
         | tick | a> => {} | a> => {l}",
        expired("k"),
        expired("l")
    ));
}

#[test]
fn ones_own_changes_come_behind_the_reply() {
    let (k, both) = (gone("\"k\""), gone("\"k\" \"l\""));
    check3(&format!("CLIENT TRACKING ON => OK | GET k => nil | SET k 1 => OK | a> => {k} | SET k 2 => OK"));
    check3(
        "CLIENT TRACKING ON NOLOOP => OK | GET k => nil | SET k 1 => OK | b> SET k 2 => OK | PING => PONG",
    );
    check3(&format!(
        "CLIENT TRACKING ON => OK | MULTI => OK | GET k => QUEUED | SET k 1 => QUEUED | GET k => QUEUED \
         | EXEC => [nil OK \"1\"] | a> => {k} | b> SET k 2 => OK | a> => {k} | PING => PONG"
    ));
    check3(&format!(
        "CLIENT TRACKING ON BCAST => OK | MULTI => OK | SET l 1 => QUEUED | SET k 1 => QUEUED | SET l 2 => QUEUED \
         | EXEC => [OK OK OK] | a> => {both} | b> MSET l 2 k 1 => OK | a> => {both}"
    ));
    check3(&format!(
        "CLIENT TRACKING ON BCAST => OK | BLPOP k 0 => ... | b> RPUSH k e => 1 | a> => {k} | a> => [\"k\" \"e\"] | a> => {k}"
    ));
}

#[test]
fn prefixes() {
    let (a, b) = (gone("\"a:1\" \"a:2\""), gone("\"b:1\""));
    check3(&format!(
        "CLIENT TRACKING ON BCAST PREFIX a: PREFIX b: => OK | b> MSET b:1 1 a:2 1 c:1 1 a:1 1 => OK | a> => {a} | a> => {b} \
         | GET c:1 => \"1\" | b> SET c:1 2 => OK | CLIENT TRACKING ON BCAST PREFIX c: => OK | b> SET c:1 1 => OK | a> => {} \
         | CLIENT TRACKINGINFO => * | CLIENT TRACKING OFF => OK | b> SET c:1 2 => OK | PING => PONG",
        gone("\"c:1\"")
    ));
    // Without a loop only others' changes are told: the last one counts.
    check3(&format!(
        "CLIENT TRACKING ON BCAST NOLOOP => OK | SET a 1 => OK | b> SET a 2 => OK | a> => {} | PING => PONG",
        gone("\"a\"")
    ));
    check3(
        "CLIENT TRACKING ON BCAST PREFIX ab PREFIX c PREFIX a => \
         -ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap. \
         | CLIENT TRACKING ON BCAST PREFIX ab => OK | CLIENT TRACKING ON BCAST PREFIX x PREFIX abc => \
         -ERR Prefix 'abc' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap. \
         | CLIENT TRACKINGINFO => {\"flags\": ~[\"on\" \"bcast\"], \"redirect\": 0, \"prefixes\": [\"ab\"]}",
    );
}

#[test]
fn caching_holds_for_one_command() {
    let k = gone("\"k\"");
    check3(&format!(
        "CLIENT TRACKING ON OPTIN => OK | GET k => nil | b> SET k 1 => OK | CLIENT CACHING YES => OK | CLIENT GETNAME => nil \
         | GET k => \"1\" | b> SET k 2 => OK | a> => {k} | GET k => \"2\" | b> SET k 3 => OK \
         | CLIENT CACHING YES => OK | PING => PONG | GET k => \"3\" | b> SET k 4 => OK \
         | CLIENT CACHING YES => OK | NOSUCH => * | GET k => \"4\" | b> SET k 5 => OK | PING => PONG"
    ));
    check3(&format!(
        "CLIENT TRACKING ON OPTIN => OK | CLIENT CACHING YES => OK | MULTI => OK | PING => QUEUED | GET k => QUEUED | GET l => QUEUED \
         | EXEC => [PONG nil nil] | GET m => nil | b> MSET m 1 k 1 => OK | a> => {k} | b> SET l 1 => OK | a> => {} | PING => PONG",
        gone("\"l\"")
    ));
    check3(&format!(
        "CLIENT TRACKING ON OPTOUT => OK | CLIENT CACHING NO => OK | GET k => nil | b> SET k 1 => OK | GET k => \"1\" \
         | b> SET k 2 => OK | a> => {k} | CLIENT CACHING NO => OK \
         | CLIENT TRACKINGINFO => {{\"flags\": ~[\"on\" \"optout\" \"caching-no\"], \"redirect\": 0, \"prefixes\": []}}"
    ));
    check_outside_multi(
        "CLIENT CACHING YES => -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled \
         | CLIENT TRACKING ON OPTIN => OK | CLIENT CACHING NO => -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode. \
         | CLIENT CACHING maybe => -ERR syntax error | CLIENT TRACKING OFF => OK | CLIENT TRACKING ON => OK \
         | CLIENT CACHING YES => -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
    );
}

#[test]
fn options_that_do_not_fit() {
    let twice = "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
    let switched = "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
    check_outside_multi(&format!(
        "CLIENT TRACKING maybe => -ERR syntax error | CLIENT TRACKING ON what => -ERR syntax error | CLIENT TRACKING ON REDIRECT => -ERR syntax error \
         | CLIENT TRACKING ON REDIRECT x => -ERR value is not an integer or out of range \
         | CLIENT TRACKING ON REDIRECT 999 => -ERR The client ID you want redirect to does not exist \
         | CLIENT TRACKING ON REDIRECT $b REDIRECT $b => -ERR A client can only redirect to a single other client \
         | CLIENT TRACKING ON PREFIX a => -ERR PREFIX option requires BCAST mode to be enabled \
         | CLIENT TRACKING ON BCAST OPTIN => -ERR OPTIN and OPTOUT are not compatible with BCAST \
         | CLIENT TRACKING ON OPTIN OPTOUT => -ERR You can't specify both OPTIN mode and OPTOUT mode \
         | CLIENT GETREDIR => -1 | CLIENT TRACKING ON OPTIN => OK | CLIENT GETREDIR => 0 \
         | CLIENT TRACKING ON OPTOUT => {switched} | CLIENT TRACKING ON BCAST => {twice} | CLIENT TRACKING ON => OK \
         | CLIENT TRACKING OFF => OK | CLIENT TRACKING OFF => OK | CLIENT TRACKING ON BCAST => OK | CLIENT TRACKING ON => {twice} \
         | CLIENT TRACKINGINFO => [\"flags\" [\"on\" \"bcast\"] \"redirect\" 0 \"prefixes\" [\"\"]] | RESET => RESET \
         | CLIENT TRACKINGINFO => [\"flags\" [\"off\"] \"redirect\" -1 \"prefixes\" []] | b> PING => PONG"
    ));
}

#[test]
fn resp2_hears_by_redirection() {
    let k = "[\"message\" \"__redis__:invalidate\" [\"k\"]]";
    check_outside_multi(&format!(
        "b> SUBSCRIBE __redis__:invalidate => [\"subscribe\" \"__redis__:invalidate\" 1] | CLIENT TRACKING ON REDIRECT $b => OK \
         | GET k => nil | SET k 1 => OK | b> => {k} | GET k => \"1\" | c> FLUSHALL => OK | b> => [\"message\" \"__redis__:invalidate\" nil] \
         | GET k => nil | c> SET k 1 => OK | b> => {k} | b> UNSUBSCRIBE => * | GET k => \"1\" | c> SET k 2 => OK | b> PING => PONG"
    ));
    // Without one there is no way to tell a client that speaks RESP2.
    check_outside_multi("CLIENT TRACKING ON => OK | GET k => nil | b> SET k 1 => OK | PING => PONG");
}

#[test]
fn a_redirection_breaks() {
    check3(
        "CLIENT TRACKING ON REDIRECT $b => OK | GET k => nil | c> SET k 1 => OK | b> => >[\"invalidate\" [\"k\"]] | GET k => \"1\" \
         | b> QUIT => OK | c> SET k 2 => OK | a> => >[\"tracking-redir-broken\" 2] | GET k => \"2\" | CLIENT GETREDIR => 2 \
         | CLIENT TRACKINGINFO => {\"flags\": ~[\"on\" \"broken_redirect\"], \"redirect\": 2, \"prefixes\": []} \
         | CLIENT TRACKING ON => OK | c> SET k 3 => OK | a> => >[\"invalidate\" [\"k\"]]"
            .replace("-broken\" 2]", "-broken\" *]")
            .replace("GETREDIR => 2", "GETREDIR => *")
            .replace("\"redirect\": 2", "\"redirect\": *")
            .as_str(),
    );
}

#[test]
fn everything_is_gone_after_a_flush() {
    let null = ">[\"invalidate\" nil]";
    let mut config = Config::default();
    config.enable_debug_command = Guard::Yes;
    for flush in ["FLUSHALL", "FLUSHDB", "DEBUG RELOAD"] {
        let text = format!(
            "HELLO 3 => * | b> HELLO 3 => * | CLIENT TRACKING ON => OK | GET k => nil | b> CLIENT TRACKING ON BCAST => OK | c> {flush} => OK | a> => {null} | b> => {null} \
             | {flush} => OK | a> => {null} | b> => {null} | b> CLIENT TRACKING OFF => OK | c> SET k 1 => OK | PING => PONG"
        );
        check_configured(&config, &text);
    }
}

/// The last client to track ceased to, and a flush was kept for the next one.
#[test]
fn who_begins_to_track_hears_of_nothing_older() {
    check3(
        "CLIENT TRACKING ON => OK | CLIENT TRACKING OFF => OK | FLUSHALL => OK | CLIENT TRACKING ON => OK | PING => PONG",
    );
}

#[test]
fn keys_that_expire() {
    let k = gone("\"k\"");
    check3(&format!(
        "SET k 1 PX 10 => OK | CLIENT TRACKING ON => OK | GET k => \"1\" | +20ms | tick | a> => {k} \
         | SET k 1 PX 10 => OK | GET k => \"1\" | +20ms | b> GET k => nil | a> => {k} | PING => PONG"
    ));
    check3(&format!(
        "CLIENT TRACKING ON NOLOOP BCAST => OK | SET k 1 PX 10 => OK | +20ms | GET k => nil | a> => {k} | PING => PONG"
    ));
    check3(&format!(
        "HSET k f 1 => 1 | CLIENT TRACKING ON => OK | HGET k f => \"1\" | b> HPEXPIRE k 10 FIELDS 1 f => [1] | a> => {k} | HLEN k => 1 \
         | +20ms | tick | a> => {k}"
    ));
}

#[test]
fn only_so_many_keys_are_remembered() {
    let one = ">[\"invalidate\" [*]]";
    check3(&format!(
        "CONFIG SET tracking-table-max-keys 1 => OK | CLIENT TRACKING ON NOLOOP => OK | GET k => nil | GET l => nil | a> => {one} \
         | MGET m n o => [nil nil nil] | a> => {one} | a> => {one} | a> => {one} | PING => PONG"
    ));
    check3(&format!(
        "CLIENT TRACKING ON => OK | MGET k l m => [nil nil nil] | b> CONFIG SET tracking-table-max-keys 2 => OK | a> => {one} \
         | b> CONFIG SET tracking-table-max-keys 1 => OK | a> => {one} | PING => PONG"
    ));
}

#[test]
fn letters_of_client_list() {
    check3(
        "CLIENT TRACKING ON => OK | CLIENT LIST FLAGS B ID $a => =\"txt:\" | CLIENT TRACKING OFF => OK | CLIENT LIST FLAGS t => =\"txt:\"",
    );
    check3("b> CLIENT TRACKING ON BCAST => OK | CLIENT KILL FLAGS tB => 1");
}

#[test]
fn silence_is_for_replies() {
    check3(
        "CLIENT TRACKING ON => OK | CLIENT REPLY OFF => ... | GET k => ... | SET k 1 => ... | a> => >[\"invalidate\" [\"k\"]] | CLIENT REPLY ON => OK",
    );
}
