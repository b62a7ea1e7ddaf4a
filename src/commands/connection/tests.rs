//! Conversations about connections.

use crate::sim::{check, check_outside_multi, check3};

#[test]
fn greetings() {
    check(
        "PING => PONG | PING hi => \"hi\" | PING a b => -ERR wrong number of arguments for 'ping' command | ECHO x => \"x\"",
    );
    check_outside_multi(
        "HELLO 4 => -NOPROTO unsupported protocol version | HELLO x => -ERR Protocol version is not an integer or out of range",
    );
    check_outside_multi(
        "HELLO 2 FOO => -ERR Syntax error in HELLO option 'FOO' | HELLO 2 SETNAME me => * | CLIENT GETNAME => \"me\"",
    );
    check_outside_multi(
        "GET x => nil | HELLO 3 => * | CLIENT TRACKINGINFO => {\"flags\": ~[\"off\"], \"redirect\": -1, \"prefixes\": []}",
    );
    check3(
        "HELLO 2 SETNAME \"a b\" => -ERR Client names cannot contain spaces, newlines or special characters. | CLIENT GETNAME => nil",
    );
}

#[test]
fn databases_are_apart() {
    check("SET k 0 => OK | SELECT 1 => OK | GET k => nil | SET k 1 => OK | SELECT 0 => OK | GET k => \"0\"");
    check(
        "SELECT 16 => -ERR DB index is out of range | SELECT -1 => -ERR DB index is out of range | SELECT x => -ERR value is not an integer or out of range",
    );
    check("SELECT 99999999999 => -ERR value is out of range, value must between -2147483648 and 2147483647");
}

#[test]
fn passwords_that_nobody_set() {
    check(
        "AUTH x => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    );
    check(
        "AUTH default x => OK | AUTH nobody x => -WRONGPASS invalid username-password pair or user is disabled. | AUTH a b c => -ERR syntax error",
    );
}

#[test]
fn reset_begins_anew() {
    check_outside_multi(
        "CLIENT SETNAME me => OK | SELECT 1 => OK | SET k 1 => OK | RESET => RESET | CLIENT GETNAME => nil | GET k => nil",
    );
    check_outside_multi(
        "WATCH k => OK | MULTI => OK | SET k 1 => QUEUED | RESET => RESET | EXEC => -ERR EXEC without MULTI | GET k => nil",
    );
    check_outside_multi(
        "WATCH k => OK | RESET => RESET | b> SET k 1 => OK | MULTI => OK | PING => QUEUED | EXEC => [PONG]",
    );
}

#[test]
fn names() {
    check(
        "CLIENT GETNAME => nil | CLIENT SETNAME me => OK | CLIENT GETNAME => \"me\" | CLIENT SETNAME \"\" => OK | CLIENT GETNAME => nil",
    );
    // As in Redis, where a text ends at its first byte 0.
    check(
        "CLIENT SETNAME \"a\\x00 b\" => OK | CLIENT GETNAME => \"a\\x00 b\" | HELLO 2 SETNAME \"\\x00 \" => *",
    );
    check(
        "CLIENT SETNAME \"a b\" => -ERR Client names cannot contain spaces, newlines or special characters.",
    );
    check(
        "CLIENT SETINFO lib-name x => OK | CLIENT SETINFO LIB-VER \"1 2\" => -ERR LIB-VER cannot contain spaces, newlines or special characters. | CLIENT SETINFO foo x => -ERR Unrecognized option 'foo'",
    );
}

#[test]
fn switches() {
    check(
        "CLIENT NO-EVICT ON => OK | CLIENT NO-EVICT x => -ERR syntax error | CLIENT NO-TOUCH ON => OK | CLIENT NO-TOUCH OFF => OK",
    );
    check(
        "CLIENT GETREDIR => -1 | CLIENT UNBLOCK 1 => 0 | CLIENT UNBLOCK 1 FOO => -ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
    );
    check(
        "CLIENT PAUSE 0 FOO => -ERR CLIENT PAUSE mode must be WRITE or ALL | CLIENT PAUSE -1 => -ERR timeout is negative | CLIENT PAUSE x => -ERR timeout is not an integer or out of range",
    );
    check_outside_multi(
        "CLIENT REPLY ON => OK | CLIENT REPLY x => -ERR syntax error | MULTI => OK | CLIENT REPLY OFF => -ERR Command not allowed inside a transaction",
    );
}

#[test]
fn a_pause_holds_writes_back() {
    check_outside_multi(
        "CLIENT PAUSE 1000 WRITE => OK | GET k => nil | b> SET k 1 => ... | GET k => nil | CLIENT UNPAUSE => OK | b> => OK | GET k => \"1\"",
    );
}

#[test]
fn killing_others() {
    check_outside_multi(
        "CLIENT KILL ID 999999 => 0 | CLIENT KILL nobody => -ERR No such client | CLIENT KILL TYPE x => -ERR Unknown client type 'x' | CLIENT KILL USER x => -ERR No such user 'x'",
    );
    check_outside_multi(
        "CLIENT KILL ID 0 => -ERR client-id should be greater than 0 | CLIENT KILL SKIPME x => -ERR syntax error | CLIENT LIST ID x => -ERR Invalid client ID",
    );
}

/// A bare CLIENT in front of another in one pipeline once lent the latter its own arity.
#[test]
fn a_container_is_not_its_subcommands() {
    check_outside_multi(
        "CLIENT => -ERR wrong number of arguments for 'client' command | CLIENT GETNAME => nil | CLIENT FOO => -ERR unknown subcommand 'FOO'. Try CLIENT HELP.",
    );
}

#[test]
fn buffers_are_told() {
    use crate::sim::conversation::request;
    use crate::sim::world::World;

    let mut world = World::new(1, 1);
    let client = world.connect();
    let mut ask = |words: &[&str]| {
        let args: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        world.write(client, &request(&args));
        world.run_until_quiet();
        String::from_utf8(std::mem::take(world.inbox(client))).expect("it is text")
    };
    ask(&["ECHO", &"x".repeat(5000)]);
    let line = ask(&["CLIENT", "INFO"]);
    let field = |name: &str| -> u64 {
        let text = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        text.unwrap_or_else(|| panic!("no {name} in {line}")).parse().expect("a number")
    };
    assert_eq!((field("argv-mem"), field("obl"), field("oll"), field("omem")), (10, 0, 0, 0));
    assert!((5000..6000).contains(&field("rbp")), "{line}");
    assert!(ask(&["CLIENT", "LIST", "TYPE", "normal"]).contains(" argv-mem=20 "));
}
