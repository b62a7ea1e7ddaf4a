//! Values that leave the server and come back: DUMP, RESTORE.

use super::super::{Context, Error};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::persist::object;
use crate::persist::rdb;

pub fn dump(cx: &mut Context, args: Args) -> Result<(), Error> {
    let compress = cx.config.rdbcompression;
    match cx.read(args.at(1)).map(|entry| object::dump(entry, compress)) {
        Some(payload) => cx.out.bulk(&payload),
        None => cx.out.null(),
    }
    Ok(())
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
    let value = object::restore(args.at(3)).map_err(|error| match error {
        rdb::Error::Footer => Error::BAD_PAYLOAD,
        rdb::Error::Corrupt(_) | rdb::Error::Unsupported(_) => Error::BAD_FORMAT,
    })?;
    // Redis wraps, too: too long a time has passed already.
    let base_ms = if options.absolute { 0 } else { cx.now_ms() };
    let expiry = (ttl_ms != 0).then(|| ttl_ms.wrapping_add(base_ms));
    if expiry.is_some_and(|at_ms| at_ms <= cx.now_ms()) {
        cx.remove(key);
    } else {
        cx.put(cx.session.db, key, value, expiry);
        set_access(cx, key, &options);
    }
    cx.out.ok();
    Ok(())
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

    /// Checks a conversation in which `$11` stands for "hello", dumped with that version; `$more` has something behind it,
    /// `$seven` is the number, `$twice` a set with the same member twice.
    fn check_payloads(text: &str) {
        let hello = b"\0\x05hello";
        let mut text = text.to_owned();
        for version in [10, 11, 12, 13, 80] {
            text = text.replace(&format!("${version}"), &payload(version, hello));
        }
        let others =
            [("$more", &b"\0\x05helloXYZ"[..]), ("$seven", b"\0\xC0\x07"), ("$twice", b"\x02\x02\x01a\x01a")];
        for (name, value) in others {
            text = text.replace(name, &payload(rdb::VERSION, value));
        }
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
}
