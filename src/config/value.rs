//! What an option can hold: parsing a value with Redis' own complaints, and showing it again.
//! In: bytes of one value. Out: a [`Value`], or the reason why not, as CONFIG SET and the file parser word it.
//! Absent: options of several arguments with a shape of their own (see `special`).

use crate::base::{number, quoted};

/// The kind of an option, with what restricts it.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Bool,
    /// An integer between the two, inclusive.
    Int(i128, i128),
    /// An integer between 0 and `i32::MAX` that is then brought into this range.
    Clamped(i128, i128),
    /// Bytes, `1kb` style, between the two; negative only where the lower bound is.
    Memory(i128, i128),
    /// Bytes, one at least, which are then raised to this.
    MemoryFrom(i128),
    /// Bytes, or `n%` (kept as `-n`).
    MemoryOrPercent(i128, i128),
    Octal(i128, i128),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, together accepted by the check; the first stands for none.
    Words(&'static [&'static str], fn(&[&str]) -> Result<(), &'static str>),
    /// Any text that the check accepts. An empty text is a value.
    Text(fn(&[u8]) -> Result<(), &'static str>),
    /// The same, but an empty text means "not set", and CONFIG REWRITE leaves it out.
    Optional(fn(&[u8]) -> Result<(), &'static str>),
    /// Kept in a field of `Config`, in a shape of its own.
    Special(super::special::Special),
}

/// The value of an option whose kind is not special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Int(i128),
    Word(&'static str),
    Text(Box<[u8]>),
}

impl Value {
    pub fn bool(&self) -> bool {
        match self {
            Value::Bool(on) => *on,
            other => panic!("the table says bool, the value is {other:?}"),
        }
    }

    pub fn int<T: TryFrom<i128>>(&self) -> T {
        match self {
            Value::Int(n) => T::try_from(*n).ok().expect("the table's range fits the field"),
            other => panic!("the table says integer, the value is {other:?}"),
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Value::Word(word) => word,
            other => panic!("the table says word, the value is {other:?}"),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Text(text) => text,
            other => panic!("the table says text, the value is {other:?}"),
        }
    }

    pub fn string(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// `None` for the empty text.
    pub fn optional<T>(&self, convert: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let text = self.bytes();
        (!text.is_empty()).then(|| convert(text))
    }
}

impl Kind {
    /// Whether CONFIG SET and the file take several arguments for it.
    pub fn takes_many(self) -> bool {
        match self {
            Kind::Words(..) => true,
            Kind::Special(special) => special.takes_many(),
            _ => false,
        }
    }

    /// The value that `args` say. Not for special kinds.
    pub fn parse(self, args: &[&[u8]]) -> Result<Value, String> {
        if let Kind::Words(words, check) = self {
            let shown = parse_words(words, args)?;
            check(&shown)?;
            return Ok(Value::Text(shown.join(" ").into_bytes().into()));
        }
        let [text] = args else { return Err("wrong number of arguments".into()) };
        match self {
            Kind::Bool => parse_bool(text),
            Kind::Int(low, high) => in_range(parse_int(text)?, low, high),
            Kind::Clamped(low, high) => match in_range(parse_int(text)?, 0, i32::MAX.into())? {
                Value::Int(n) => Ok(Value::Int(n.clamp(low, high))),
                other => Ok(other),
            },
            Kind::Memory(low, high) => in_range(parse_memory(text, low < 0)?, low, high),
            Kind::MemoryFrom(least) => match in_range(parse_memory(text, false)?, 1, i64::MAX.into())? {
                Value::Int(n) => Ok(Value::Int(n.max(least))),
                other => Ok(other),
            },
            Kind::MemoryOrPercent(low, high) => in_range(parse_memory_or_percent(text)?, low, high),
            Kind::Octal(low, high) => parse_octal(text, low, high),
            Kind::Word(words) => parse_word(words, text).map(Value::Word),
            Kind::Text(check) | Kind::Optional(check) => {
                check(text)?;
                Ok(Value::Text((*text).into()))
            }
            Kind::Words(..) | Kind::Special(_) => unreachable!("handled by the caller"),
        }
    }

    /// As CONFIG GET shows it.
    pub fn show(self, value: &Value) -> Vec<u8> {
        match (self, value) {
            (_, Value::Bool(on)) => if *on { "yes" } else { "no" }.into(),
            (Kind::Octal(..), Value::Int(n)) => format!("{n:o}").into(),
            (Kind::MemoryOrPercent(..), Value::Int(n)) if *n < 0 => format!("{}%", -n).into(),
            (_, Value::Int(n)) => n.to_string().into(),
            (_, Value::Word(word)) => (*word).into(),
            (_, Value::Text(text)) => text.to_vec(),
        }
    }

    /// As CONFIG REWRITE writes it; `None` where the option is left out.
    pub fn rewrite(self, value: &Value) -> Option<Vec<u8>> {
        match (self, value) {
            (Kind::Memory(..) | Kind::MemoryFrom(_) | Kind::MemoryOrPercent(..), Value::Int(n)) if *n > 0 => {
                Some(format_memory(*n as u64).into())
            }
            (Kind::Optional(_), Value::Text(text)) if text.is_empty() => None,
            (Kind::Text(_) | Kind::Optional(_), Value::Text(text)) => Some(quoted::quote(text)),
            _ => Some(self.show(value)),
        }
    }
}

fn in_range(n: i128, low: i128, high: i128) -> Result<Value, String> {
    if (low..=high).contains(&n) {
        return Ok(Value::Int(n));
    }
    Err(format!("argument must be between {low} and {high} inclusive"))
}

fn parse_bool(text: &[u8]) -> Result<Value, String> {
    if text.eq_ignore_ascii_case(b"yes") {
        Ok(Value::Bool(true))
    } else if text.eq_ignore_ascii_case(b"no") {
        Ok(Value::Bool(false))
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

fn parse_int(text: &[u8]) -> Result<i128, String> {
    number::parse_i64(text)
        .map(i128::from)
        .ok_or_else(|| "argument couldn't be parsed into an integer".into())
}

fn parse_memory(text: &[u8], signed: bool) -> Result<i128, String> {
    if signed && let Some(n) = number::parse_i64(text) {
        return Ok(n.into());
    }
    number::parse_memory(text).map(i128::from).ok_or_else(|| "argument must be a memory value".into())
}

fn parse_memory_or_percent(text: &[u8]) -> Result<i128, String> {
    const WRONG: &str = "argument must be a memory or percent value";
    const TOO_MUCH: &str = "percentage argument must be less or equal to 100";
    let Some(percent) = text.strip_suffix(b"%") else {
        // Redis takes a size beyond 63 bits for a percentage.
        let bytes = number::parse_memory(text).ok_or(WRONG)?;
        return i64::try_from(bytes).map(i128::from).map_err(|_| TOO_MUCH.into());
    };
    match number::parse_i64(percent) {
        None | Some(..0) => Err(WRONG.into()),
        Some(101..) => Err(TOO_MUCH.into()),
        Some(n) => Ok(-i128::from(n)),
    }
}

fn parse_octal(text: &[u8], low: i128, high: i128) -> Result<Value, String> {
    let n = std::str::from_utf8(text).ok().and_then(|text| i64::from_str_radix(text, 8).ok());
    let n = n.ok_or("argument couldn't be parsed as an octal number")?;
    in_range(n.into(), low, high)
        .map_err(|_| format!("argument must be between {low:o} and {high:o} inclusive"))
}

fn parse_word(words: &'static [&'static str], text: &[u8]) -> Result<&'static str, String> {
    let found = words.iter().find(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    found.copied().ok_or_else(|| format!("argument(s) must be one of the following: {}", words.join(", ")))
}

/// Several words, in the order of the table.
fn parse_words(words: &'static [&'static str], args: &[&[u8]]) -> Result<Vec<&'static str>, String> {
    let args = if args.is_empty() { &[&b""[..]] } else { args }; // none is as wrong as an unknown one
    let chosen = args.iter().map(|arg| parse_word(words, arg)).collect::<Result<Vec<_>, _>>()?;
    let mut shown: Vec<&str> = words[1..].iter().filter(|word| chosen.contains(word)).copied().collect();
    if shown.is_empty() {
        shown.push(words[0]);
    }
    Ok(shown)
}

/// Bytes in the largest unit that divides them.
pub(super) fn format_memory(n: u64) -> String {
    match n {
        0 => "0".into(),
        n if n % (1 << 30) == 0 => format!("{}gb", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}mb", n >> 20),
        n if n % (1 << 10) == 0 => format!("{}kb", n >> 10),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: Kind, text: &str) -> String {
        match kind.parse(&[text.as_bytes()]) {
            Ok(value) => String::from_utf8(kind.show(&value)).unwrap(),
            Err(why) => format!("!{why}"),
        }
    }

    #[test]
    fn values_parse_as_redis_parses_them() {
        const INT: &str = "!argument couldn't be parsed into an integer";
        const MEM: &str = "!argument must be a memory value";
        let port = Kind::Int(0, 65535);
        let max = Kind::Memory(0, u64::MAX as i128);
        let clients = Kind::MemoryOrPercent(-100, i64::MAX as i128);
        let perm = Kind::Octal(0, 0o777);
        let level = Kind::Word(&["debug", "notice"]);
        let cases = [
            (Kind::Bool, "YES", "yes"),
            (Kind::Bool, "", "!argument must be 'yes' or 'no'"),
            (port, "0", "0"),
            (port, "+1", INT),
            (port, "01", INT),
            (port, " 1", INT),
            (port, "", INT),
            (port, "-0", INT),
            (port, "99999999999999999999", INT),
            (port, "65536", "!argument must be between 0 and 65535 inclusive"),
            (Kind::Clamped(1, 500), "0", "1"),
            (Kind::Clamped(1, 500), "1000", "500"),
            (max, "1gb", "1073741824"),
            (max, "10K", "10000"),
            (max, "1B", "1"),
            (max, "", "0"),
            (max, "99999999999999999999", MEM),
            (max, "99999999999999gb", "14131891009335853056"),
            (max, "1 gb", MEM),
            (max, "-1", MEM),
            (max, "0x10", MEM),
            (Kind::Memory(-1, 9), "-1", "-1"),
            (clients, "10%", "10%"),
            (clients, "0%", "0"),
            (clients, "1mb", "1048576"),
            (clients, "-5%", "!argument must be a memory or percent value"),
            (clients, "101%", "!percentage argument must be less or equal to 100"),
            (perm, "755", "755"),
            (perm, "999", "!argument couldn't be parsed as an octal number"),
            (perm, "1777", "!argument must be between 0 and 777 inclusive"),
            (level, "NOTICE", "notice"),
            (level, "x", "!argument(s) must be one of the following: debug, notice"),
        ];
        for (kind, text, want) in cases {
            assert_eq!(shown(kind, text), want, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn memory_is_written_in_its_largest_unit() {
        let cases = [(0, "0"), (1, "1"), (1024, "1kb"), (3 << 20, "3mb"), (2 << 30, "2gb"), (1000, "1000")];
        for (n, want) in cases {
            assert_eq!(format_memory(n), want);
        }
    }
}
