//! Values that leave the server and come back: DUMP, RESTORE.

use super::super::{Context, Error};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::persist::object::{self, Style};
use crate::persist::rdb;

pub fn dump(cx: &mut Context, args: Args) -> Result<(), Error> {
    let style = Style::of(cx.config);
    match cx.read(args.at(1)).map(|entry| object::dump(entry, style)) {
        Some(payload) => cx.out.bulk(&payload.map_err(refusal)?),
        None => cx.out.null(),
    }
    Ok(())
}

pub fn refusal(error: rdb::Error) -> Error {
    match error {
        rdb::Error::Footer => Error::BAD_PAYLOAD,
        rdb::Error::Corrupt(_) | rdb::Error::Unsupported(_) => Error::BAD_FORMAT,
    }
}

/// Says in the log what is wrong with a payload that came.
fn not_restored(error: rdb::Error, payload: &[u8]) -> Error {
    if let (rdb::Error::Corrupt(text), Some(&form)) = (error, payload.first()) {
        let part = rdb::part(form);
        crate::log::warning(format!(
            "Internal error in a value to restore: {part} integrity check failed. ({text})"
        ));
    }
    refusal(error)
}

/// What may stand behind RESTORE's payload.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The time is a Unix time.
    absolute: bool,
    idle_s: Option<i64>,
    frequency: Option<i64>,
}

impl Options {
    fn parse(args: Args) -> Result<Self, Error> {
        let mut options = Options::default();
        let mut at = 0;
        while at < args.len() {
            let value = args.get(at + 1).filter(|_| args.is(at, "idletime") || args.is(at, "freq"));
            match value {
                None if args.is(at, "replace") => options.replace = true,
                None if args.is(at, "absttl") => options.absolute = true,
                Some(value) if args.is(at, "idletime") && options.frequency.is_none() => {
                    let idle_s = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                    if idle_s < 0 {
                        return Err(Error::INVALID_IDLE_TIME);
                    }
                    options.idle_s = Some(idle_s);
                }
                Some(value) if args.is(at, "freq") && options.idle_s.is_none() => {
                    let frequency = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                    if !(0..=255).contains(&frequency) {
                        return Err(Error::INVALID_FREQUENCY);
                    }
                    options.frequency = Some(frequency);
                }
                _ => return Err(Error::SYNTAX),
            }
            at += 1 + usize::from(value.is_some());
        }
        Ok(options)
    }
}

pub fn restore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(1);
    let options = Options::parse(args.from(4))?;
    if !options.replace && cx.peek(key).is_some() {
        return Err(Error::BUSY_KEY);
    }
    let ttl_ms = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    if ttl_ms < 0 {
        return Err(Error::INVALID_TTL);
    }
    let value = object::restore(args.at(3), checks(cx), &cx.limits())
        .map_err(|error| not_restored(error, args.at(3)))?;
    // Redis wraps, too: too long a time has passed already.
    let base_ms = if options.absolute { 0 } else { cx.now_ms() };
    let expiry = (ttl_ms != 0).then(|| ttl_ms.wrapping_add(base_ms));
    if expiry.is_some_and(|at_ms| at_ms <= cx.due_ms()) {
        if cx.remove(key) {
            cx.notify(Events::GENERIC, "del", key);
            cx.log_as(&[b"DEL", key]);
        }
    } else {
        cx.put(cx.session.db, key, value, expiry);
        set_access(cx, key, &options);
        cx.notify(Events::GENERIC, "restore", key);
        log_restored(cx, args, expiry);
    }
    cx.out.ok();
    Ok(())
}

fn checks(cx: &Context) -> rdb::Checks {
    // What a log says was accepted once.
    let trusted = cx.session.timeless;
    rdb::Checks {
        checksum: !trusted && !cx.shared.skip_checksums.load(std::sync::atomic::Ordering::Relaxed),
        version: !trusted && cx.config.rdb_version_check,
    }
}

/// How the log words that a value was restored: with the time when it ends rather than a time to live.
fn log_restored(cx: &mut Context, args: Args, expiry: Option<i64>) {
    if cx.is_logged() {
        let at = expiry.unwrap_or(0).to_string();
        let options: Vec<&[u8]> =
            args.from(4).iter().filter(|word| !word.eq_ignore_ascii_case(b"absttl")).collect();
        let words: [&[u8]; 5] = [b"RESTORE", args.at(1), at.as_bytes(), args.at(3), b"ABSTTL"];
        cx.log_as(&[&words, &options[..]].concat());
    }
}

/// Sets the access clock as it was elsewhere, if it counts here what it counted there.
fn set_access(cx: &mut Context, key: &[u8], options: &Options) {
    let moment = cx.moment;
    let access = match (options.idle_s, options.frequency) {
        (Some(idle_s), _) if !moment.lfu => moment.idle_access(idle_s),
        (_, Some(frequency)) if moment.lfu => moment.frequent_access(frequency as u32),
        _ => return,
    };
    cx.peek(key).expect("it was just put").set_access(access);
}

#[cfg(test)]
mod tests {
    use crate::persist::rdb;
    use crate::sim::check;

    fn payload(version: u16, value: &[u8]) -> String {
        let mut payload = value.to_vec();
        rdb::seal(&mut payload, version);
        let quoted: String = payload.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("\"{quoted}\"")
    }

    /// Checks a conversation in which `$11` stands for "hello", dumped with that version, and the names below for other values.
    fn check_payloads(text: &str) {
        let hello = b"\0\x05hello";
        let mut text = text.to_owned();
        for version in [10, 11, 12, 13, 80] {
            text = text.replace(&format!("${version}"), &payload(version, hello));
        }
        let others: [(&str, &[u8]); 10] = [
            ("$more", b"\0\x05helloXYZ"),
            ("$seven", b"\0\xC0\x07"),
            ("$twice", b"\x02\x02\x01a\x01a"),
            ("$list", b"\x12\x01\x02\x0c\x0c\0\0\0\x02\0\x81a\x02\x05\x01\xFF"),
            ("$ints", b"\x0b\x10\x02\0\0\0\x04\0\0\0\xf9\xff\x01\0\x02\0\x03\0"),
            ("$members", b"\x14\x0f\x0f\0\0\0\x03\0\x81a\x02\x81b\x02\x05\x01\xFF"),
            ("$zset", b"\x11\x14\x14\0\0\0\x04\0\x81a\x02\x831.5\x04\x81b\x02\x02\x01\xFF"),
            ("$tree", b"\x05\x02\x01b\0\0\0\0\0\0\0\x40\x01a\0\0\0\0\0\0\xf8\x3f"),
            ("$hash", b"\x10\x12\x12\0\0\0\x04\0\x81f\x02\x81v\x02\x81g\x02\x01\x01\xFF"),
            ("$table", b"\x04\x01\x01f\x01v"),
        ];
        for (name, value) in others {
            text = text.replace(name, &payload(rdb::VERSION, value));
        }
        let expiring = b"\x18\xff\x9f\x72\x4e\x18\x09\0\0\x01\x01\x01f\x01v";
        let valkey =
            b"\x16\x02\x01f\x01v\xff\x9f\x72\x4e\x18\x09\0\0\x01g\x01w\xff\xff\xff\xff\xff\xff\xff\xff";
        text = text.replace("$ten", &payload(10, b"\x02\x01\x01a"));
        text = text.replace("$one", &payload(80, b"\x16\x01\x01f\x01v\xff\x9f\x72\x4e\x18\x09\0\0"));
        text = text.replace("$expiring", &payload(12, expiring)).replace("$valkey", &payload(80, valkey));
        check(&text);
    }

    #[test]
    fn dumped_values_return() {
        check_payloads(
            "DUMP x => nil | SET a hello => OK | DUMP a => $11 | SET n 7 => OK | DUMP n => $seven",
        );
        check_payloads(
            "RESTORE a 0 $11 => OK | GET a => \"hello\" | OBJECT ENCODING a => \"embstr\" | TTL a => -1",
        );
        check_payloads("RESTORE n 0 $seven => OK | OBJECT ENCODING n => \"int\" | INCR n => 8");
        check_payloads(
            "RESTORE a 0 $10 => OK | RESTORE b 0 $12 => OK | RESTORE c 0 $80 => OK | MGET a b c => [\"hello\" \"hello\" \"hello\"]",
        );
        check_payloads("RESTORE a 0 $more => OK | GET a => \"hello\"");
        check_payloads(
            "RESTORE-ASKING a 0 $11 => OK | GET a => \"hello\" | RESTORE-ASKING a 0 $11 => -BUSYKEY Target key name already exists.",
        );
    }

    #[test]
    fn restoring_with_options() {
        check_payloads(
            "RESTORE a 5000 $11 => OK | PTTL a => 5000 | RESTORE a 9999999999999 $11 REPLACE ABSTTL => OK | PEXPIRETIME a => 9999999999999",
        );
        check_payloads(
            "SET a 1 EX 100 => OK | RESTORE a 0 $11 replace => OK | GET a => \"hello\" | TTL a => -1",
        );
        check_payloads(
            "SET a 1 => OK | RESTORE a 1 $11 ABSTTL REPLACE => OK | EXISTS a => 0 | RESTORE b 1 $11 ABSTTL => OK | EXISTS b => 0",
        );
        check_payloads("RESTORE a 9223372036854775807 $11 => OK | EXISTS a => 0");
        check_payloads(
            "RESTORE a 0 $11 IDLETIME 1000 => OK | OBJECT IDLETIME a => 1000 | RESTORE a 0 $11 FREQ 5 REPLACE => OK | OBJECT IDLETIME a => 0",
        );
        check_payloads("RESTORE a 0 $11 IDLETIME 20000000 IDLETIME 16777217 => OK | OBJECT IDLETIME a => 1");
    }

    #[test]
    fn versions_from_the_future_are_read_if_asked_for() {
        let refused = "-ERR DUMP payload version or checksum are wrong";
        check_payloads(&format!(
            "RESTORE a 0 $13 => {refused} | CONFIG SET rdb-version-check relaxed => OK | RESTORE a 0 $13 => OK | GET a => \"hello\" | CONFIG SET rdb-version-check strict => OK | RESTORE a 0 $13 REPLACE => {refused}"
        ));
    }

    #[test]
    fn dumps_are_for_their_readers() {
        check_payloads(
            "SET a hello => OK | SADD s a b 5 => 3 | RESTORE h 0 $expiring => OK | CONFIG SET rdb-dialect valkey => OK | DUMP a => $11 | DUMP s => $members | DUMP h => $one | CONFIG SET rdb-dialect redis-7.0 => OK | DUMP a => $10 | RESTORE t 0 $ten => OK | DUMP t => $ten",
        );
    }

    #[test]
    fn restoring_by_frequency() {
        check_payloads(
            "CONFIG SET maxmemory-policy allkeys-lfu => OK | RESTORE a 0 $11 FREQ 100 => OK | OBJECT FREQ a => 100 \
         | RESTORE a 0 $11 IDLETIME 100 REPLACE => OK | OBJECT FREQ a => 5",
        );
    }

    #[test]
    fn restoring_is_refused() {
        check_payloads(
            "SET a 1 => OK | RESTORE a x junk => -BUSYKEY Target key name already exists. | GET a => \"1\"",
        );
        check_payloads(
            "RESTORE a -1 junk => -ERR Invalid TTL value, must be >= 0 | RESTORE a x junk => -ERR value is not an integer or out of range",
        );
        check_payloads(
            "RESTORE a 0 junk => -ERR DUMP payload version or checksum are wrong | RESTORE a 0 $13 => -ERR DUMP payload version or checksum are wrong",
        );
        check_payloads("SET a 1 => OK | RESTORE a 0 $twice REPLACE => -ERR Bad data format | GET a => \"1\"");
        check_payloads(
            "RESTORE a 0 $11 FOO => -ERR syntax error | RESTORE a 0 $11 IDLETIME => -ERR syntax error | RESTORE a 0 $11 FREQ 1 IDLETIME 1 => -ERR syntax error",
        );
        check_payloads(
            "RESTORE a 0 $11 IDLETIME -1 => -ERR Invalid IDLETIME value, must be >= 0 | RESTORE a 0 $11 IDLETIME x => -ERR value is not an integer or out of range",
        );
        check_payloads(
            "RESTORE a 0 $11 FREQ 256 => -ERR Invalid FREQ value, must be >= 0 and <= 255 | RESTORE a 0 $11 FREQ -1 => -ERR Invalid FREQ value, must be >= 0 and <= 255",
        );
        check_payloads("EXISTS a => 0 | RESTORE a 0 => -ERR wrong number of arguments for 'restore' command");
    }

    #[test]
    fn lists() {
        check_payloads(
            "RPUSH l a 5 => 2 | DUMP l => $list | RESTORE m 0 $list => OK | LRANGE m 0 -1 => [\"a\" \"5\"] | RPUSH m x => 3",
        );
        check_payloads(
            "CONFIG SET list-max-listpack-size 1 => OK | RESTORE l 0 $list => OK | OBJECT ENCODING l => \"quicklist\" | LPOP l 2 => [\"a\" \"5\"] | EXISTS l => 0",
        );
    }

    #[test]
    fn sets() {
        check_payloads(
            "SADD s 1 2 3 -7 => 4 | DUMP s => $ints | RESTORE t 0 $ints => OK | OBJECT ENCODING t => \"intset\" | SMEMBERS t => ?[\"-7\" \"1\" \"2\" \"3\"]",
        );
        check_payloads(
            "SADD s a b 5 => 3 | DUMP s => $members | RESTORE t 0 $members => OK | OBJECT ENCODING t => \"listpack\" | SADD t a c => 1",
        );
        check_payloads(
            "CONFIG SET set-max-intset-entries 3 => OK | RESTORE s 0 $ints => OK | OBJECT ENCODING s => \"hashtable\" | SISMEMBER s -7 => 1 | SCARD s => 4",
        );
        check_payloads(
            "CONFIG SET set-max-listpack-entries 2 => OK | RESTORE s 0 $members => OK | OBJECT ENCODING s => \"hashtable\" | SREM s a 5 b => 3 | EXISTS s => 0",
        );
    }

    #[test]
    fn sorted_sets() {
        check_payloads(
            "ZADD z 1.5 a 2 b => 2 | DUMP z => $zset | RESTORE y 0 $zset => OK | ZRANGE y 0 -1 WITHSCORES => [\"a\" \"1.5\" \"b\" \"2\"]",
        );
        check_payloads("RESTORE z 0 $tree => OK | OBJECT ENCODING z => \"listpack\" | DUMP z => $zset");
        check_payloads(
            "CONFIG SET zset-max-listpack-entries 1 => OK | RESTORE z 0 $zset => OK | OBJECT ENCODING z => \"skiplist\" | DUMP z => $tree | ZRANK z b => 1",
        );
    }

    #[test]
    fn hashes() {
        check_payloads(
            "HSET h f v g 1 => 2 | DUMP h => $hash | RESTORE i 0 $hash => OK | HMGET i f g => [\"v\" \"1\"] | OBJECT ENCODING i => \"listpack\"",
        );
        check_payloads(
            "CONFIG SET hash-max-listpack-entries 1 => OK | RESTORE h 0 $hash => OK | OBJECT ENCODING h => \"hashtable\" | HLEN h => 2",
        );
        check_payloads(
            "CONFIG SET hash-max-listpack-entries 0 => OK | RESTORE h 0 $table => OK | OBJECT ENCODING h => \"hashtable\" | DUMP h => $table",
        );
    }

    #[test]
    fn fields_that_expire() {
        check_payloads(
            "HSET h f v => 1 | HPEXPIREAT h 9999999999999 FIELDS 1 f => [1] | DUMP h => $expiring",
        );
        check_payloads(
            "RESTORE h 0 $expiring => OK | HPEXPIRETIME h FIELDS 1 f => [9999999999999] | DUMP h => $expiring",
        );
        check_payloads(
            "RESTORE h 0 $valkey => OK | HPEXPIRETIME h FIELDS 2 f g => [9999999999999 -1] | HGET h g => \"w\"",
        );
    }
}
