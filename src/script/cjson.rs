//! The `cjson` library: JSON for Lua, as Redis has it (lua-cjson 2.1).
//! In: values, or text. Out: text, or values; null is a light userdata. What is configured lasts, as in Redis.
//! A table is an array if its keys are positive integers and dense enough, an object otherwise; an empty one is an object.

use super::engine::run_of;
use super::lua::{Function, Kind, Lua, Raise, read_number, write_g};

const FUNCTIONS: &[(&str, Function)] = &[
    ("encode", encode),
    ("decode", decode),
    ("encode_sparse_array", encode_sparse_array),
    ("encode_max_depth", encode_max_depth),
    ("decode_max_depth", decode_max_depth),
    ("encode_number_precision", encode_number_precision),
    ("encode_keep_buffer", encode_keep_buffer),
    ("encode_invalid_numbers", encode_invalid_numbers),
    ("decode_invalid_numbers", decode_invalid_numbers),
    ("new", new),
];

/// What to do with a number that JSON cannot say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

pub struct Config {
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_depth_max: i32,
    decode_depth_max: i32,
    precision: i32,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refuse,
            decode_invalid: true,
        }
    }
}

/// Pushes the library.
pub fn open(lua: Lua) {
    lua.push_table(0, 16);
    for (name, function) in FUNCTIONS {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
    lua.push_null();
    lua.set_field(-2, "null");
    for (name, text) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        lua.push_str(text);
        lua.set_field(-2, name);
    }
}

fn config<'a>(lua: Lua) -> &'a mut Config {
    &mut run_of(lua).json
}

/// `cjson.new`: another copy of the library.
fn new(lua: Lua) -> Result<i32, Raise> {
    open(lua);
    Ok(1)
}

// ---- the functions that configure ----

/// At most `most` arguments; those not given are nil.
fn arguments(lua: Lua, most: i32) -> Result<(), Raise> {
    if lua.top() > most {
        return Err(lua.bad_argument(most + 1, "found too many arguments"));
    }
    while lua.top() < most {
        lua.push_nil();
    }
    Ok(())
}

/// Sets an integer if one is given, and pushes it.
fn integer(lua: Lua, number: i32, setting: &mut i32, low: i32, high: i32) -> Result<(), Raise> {
    if lua.kind(number) != Kind::Nil {
        let value = lua.check_integer(number)?;
        if value < low as i64 || value > high as i64 {
            return Err(lua.bad_argument(number, format!("expected integer between {low} and {high}")));
        }
        *setting = value as i32;
    }
    lua.push_number(*setting as f64);
    Ok(())
}

/// Reads an option if one is given: a boolean, or one of the words. Its index, booleans being 0 and 1.
fn option(lua: Lua, number: i32, words: &[&str]) -> Result<Option<usize>, Raise> {
    match lua.kind(number) {
        Kind::Nil => Ok(None),
        Kind::Boolean => Ok(Some(lua.boolean(number) as usize)),
        _ => {
            let word = lua.check_bytes(number)?;
            match words.iter().position(|known| known.as_bytes() == word) {
                Some(index) => Ok(Some(index)),
                None => {
                    let text = [b"invalid option '", word, b"'"].concat();
                    Err(lua.bad_argument(number, &text))
                }
            }
        }
    }
}

fn encode_sparse_array(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 3)?;
    let config = config(lua);
    if let Some(on) = option(lua, 1, &["off", "on"])? {
        config.sparse_convert = on == 1;
    }
    lua.push_boolean(config.sparse_convert);
    integer(lua, 2, &mut config.sparse_ratio, 0, i32::MAX)?;
    integer(lua, 3, &mut config.sparse_safe, 0, i32::MAX)?;
    Ok(3)
}

fn encode_max_depth(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 1)?;
    integer(lua, 1, &mut config(lua).encode_depth_max, 1, i32::MAX)?;
    Ok(1)
}

fn decode_max_depth(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 1)?;
    integer(lua, 1, &mut config(lua).decode_depth_max, 1, i32::MAX)?;
    Ok(1)
}

fn encode_number_precision(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 1)?;
    integer(lua, 1, &mut config(lua).precision, 1, 14)?;
    Ok(1)
}

fn encode_keep_buffer(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 1)?;
    let config = config(lua);
    if let Some(on) = option(lua, 1, &["off", "on"])? {
        config.keep_buffer = on == 1;
    }
    lua.push_boolean(config.keep_buffer);
    Ok(1)
}

fn encode_invalid_numbers(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 1)?;
    let config = config(lua);
    if let Some(index) = option(lua, 1, &["off", "on", "null"])? {
        config.encode_invalid = [Invalid::Refuse, Invalid::Write, Invalid::Null][index];
    }
    match config.encode_invalid {
        Invalid::Null => lua.push_str("null"),
        other => lua.push_boolean(other == Invalid::Write),
    }
    Ok(1)
}

fn decode_invalid_numbers(lua: Lua) -> Result<i32, Raise> {
    arguments(lua, 1)?;
    let config = config(lua);
    if let Some(on) = option(lua, 1, &["off", "on"])? {
        config.decode_invalid = on == 1;
    }
    lua.push_boolean(config.decode_invalid);
    Ok(1)
}

// ---- encoding ----

fn encode(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(lua.bad_argument(1, "expected 1 argument"));
    }
    let mut out = Vec::new();
    encode_value(lua, 1, 0, &mut out)?;
    lua.push_bytes(&out);
    Ok(1)
}

fn cannot(lua: Lua, at: i32, why: &str) -> Raise {
    let name = lua.type_name(at);
    lua.error(format!("Cannot serialise {name}: {why}"))
}

fn encode_value(lua: Lua, at: i32, depth: i32, out: &mut Vec<u8>) -> Result<(), Raise> {
    match lua.kind(at) {
        Kind::String => encode_string(lua.bytes(at).expect("it is a string"), out),
        Kind::Number => encode_number(lua, at, out)?,
        Kind::Boolean => out.extend_from_slice(if lua.boolean(at) { b"true" } else { b"false" }),
        Kind::Nil => out.extend_from_slice(b"null"),
        Kind::LightUserdata if lua.is_null(at) => out.extend_from_slice(b"null"),
        Kind::Table => encode_table(lua, at, depth + 1, out)?,
        _ => return Err(cannot(lua, at, "type not supported")),
    }
    Ok(())
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | b'/' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0..=31 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn encode_number(lua: Lua, at: i32, out: &mut Vec<u8>) -> Result<(), Raise> {
    let value = lua.number(at).expect("it is a number");
    let config = config(lua);
    if !value.is_finite() {
        match config.encode_invalid {
            Invalid::Refuse => return Err(cannot(lua, at, "must not be NaN or Inf")),
            Invalid::Null => {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            Invalid::Write if value.is_nan() => {
                out.extend_from_slice(b"nan");
                return Ok(());
            }
            Invalid::Write => {}
        }
    }
    write_g(out, value, config.precision as usize);
    Ok(())
}

fn encode_table(lua: Lua, at: i32, depth: i32, out: &mut Vec<u8>) -> Result<(), Raise> {
    if depth > config(lua).encode_depth_max || !lua.reserve(8) {
        return Err(lua.error(format!("Cannot serialise, excessive nesting ({depth})")));
    }
    match array_len(lua, at)? {
        Some(len) => {
            out.push(b'[');
            for index in 1..=len {
                if index > 1 {
                    out.push(b',');
                }
                lua.get_index(at, index);
                encode_value(lua, lua.top(), depth, out)?;
                lua.pop(1);
            }
            out.push(b']');
        }
        None => encode_object(lua, at, depth, out)?,
    }
    Ok(())
}

fn encode_object(lua: Lua, at: i32, depth: i32, out: &mut Vec<u8>) -> Result<(), Raise> {
    out.push(b'{');
    let mut first = true;
    lua.push_nil();
    while lua.next(at) {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        let top = lua.top();
        match lua.kind(top - 1) {
            Kind::Number => {
                out.push(b'"');
                encode_number(lua, top - 1, out)?;
                out.extend_from_slice(b"\":");
            }
            Kind::String => {
                encode_string(lua.bytes(top - 1).expect("it is a string"), out);
                out.push(b':');
            }
            _ => return Err(cannot(lua, top - 1, "table key must be a number or string")),
        }
        encode_value(lua, top, depth, out)?;
        lua.pop(1);
    }
    out.push(b'}');
    Ok(())
}

/// The length of a table that is an array: its keys are positive integers, and there are enough of them.
fn array_len(lua: Lua, at: i32) -> Result<Option<i32>, Raise> {
    let (mut most, mut count) = (0.0, 0.0);
    lua.push_nil();
    while lua.next(at) {
        lua.pop(1);
        let key = if lua.kind(-1) == Kind::Number { lua.number(-1).unwrap_or(0.0) } else { 0.0 };
        if key < 1.0 || key.fract() != 0.0 {
            lua.pop(1);
            return Ok(None);
        }
        most = f64::max(most, key);
        count += 1.0;
    }
    if count == 0.0 {
        return Ok(None);
    }
    let config = config(lua);
    let (ratio, safe) = (config.sparse_ratio as f64, config.sparse_safe as f64);
    if ratio > 0.0 && most > count * ratio && most > safe {
        if !config.sparse_convert {
            return Err(cannot(lua, at, "excessively sparse array"));
        }
        return Ok(None);
    }
    Ok(Some(most.min(i32::MAX as f64) as i32))
}

// ---- decoding ----

fn decode(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(lua.bad_argument(1, "expected 1 argument"));
    }
    let text = lua.check_bytes(1)?.to_vec();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(lua.error("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut parser = Parser { lua, text: &text, at: 0, depth: 0 };
    let token = parser.token();
    parser.value(&token)?;
    match parser.token() {
        Token { is: Is::End, .. } => Ok(1),
        token => Err(parser.unexpected("the end", &token)),
    }
}

enum Is {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

struct Token {
    is: Is,
    at: usize,
}

impl Is {
    fn name(&self) -> &'static str {
        match self {
            Is::ObjectBegin => "T_OBJ_BEGIN",
            Is::ObjectEnd => "T_OBJ_END",
            Is::ArrayBegin => "T_ARR_BEGIN",
            Is::ArrayEnd => "T_ARR_END",
            Is::Text(_) => "T_STRING",
            Is::Number(_) => "T_NUMBER",
            Is::Boolean(_) => "T_BOOLEAN",
            Is::Null => "T_NULL",
            Is::Colon => "T_COLON",
            Is::Comma => "T_COMMA",
            Is::End => "T_END",
            Is::Error(what) => what,
        }
    }
}

struct Parser<'a> {
    lua: Lua,
    text: &'a [u8],
    at: usize,
    depth: i32,
}

impl Parser<'_> {
    fn unexpected(&self, wanted: &str, token: &Token) -> Raise {
        let text = format!("Expected {wanted} but found {} at character {}", token.is.name(), token.at + 1);
        self.lua.error(&text)
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Token {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = match self.peek() {
            b'{' => Some(Is::ObjectBegin),
            b'}' => Some(Is::ObjectEnd),
            b'[' => Some(Is::ArrayBegin),
            b']' => Some(Is::ArrayEnd),
            b',' => Some(Is::Comma),
            b':' => Some(Is::Colon),
            _ => None,
        };
        if let Some(is) = single {
            self.at += 1;
            return Token { is, at };
        }
        let is = match self.peek() {
            0 if at >= self.text.len() => Is::End,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        };
        Token { is, at }
    }

    fn word(&mut self) -> Is {
        let rest = &self.text[self.at..];
        for (word, is) in [("true", Is::Boolean(true)), ("false", Is::Boolean(false)), ("null", Is::Null)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return is;
            }
        }
        let invalid = config(self.lua).decode_invalid && {
            let begins = |word: &str| {
                rest.get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()))
            };
            rest.first() == Some(&b'+') || begins("inf") || begins("nan")
        };
        if invalid { self.number() } else { Is::Error("invalid token") }
    }

    fn number(&mut self) -> Is {
        let rest = &self.text[self.at..];
        if !config(self.lua).decode_invalid && is_no_json_number(rest) {
            return Is::Error("invalid number");
        }
        let (value, used) = read_number(rest);
        if used == 0 {
            return Is::Error("invalid number");
        }
        self.at += used;
        Is::Number(value)
    }

    fn string(&mut self) -> Token {
        let begin = self.at;
        self.at += 1;
        let mut text = Vec::new();
        let fail = |at, what| Token { is: Is::Error(what), at };
        loop {
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Token { is: Is::Text(text), at: begin };
                }
                0 => return fail(self.at, "unexpected end of string"),
                b'\\' => {
                    let at = self.at;
                    let escape = self.text.get(at + 1).copied().unwrap_or(0);
                    let byte = match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => match self.unicode() {
                            Some(letter) => {
                                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                                continue;
                            }
                            None => return fail(at, "invalid unicode escape code"),
                        },
                        _ => return fail(at, "invalid escape code"),
                    };
                    text.push(byte);
                    self.at += 2;
                }
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// The letter of `\u` and four digits, or of two such that are a surrogate pair.
    fn unicode(&mut self) -> Option<char> {
        let code = |at: usize| {
            let escape = self.text.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
            let digits = std::str::from_utf8(&escape[2..]).ok()?;
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex.then(|| u32::from_str_radix(digits, 16).expect("four hexadecimal digits"))
        };
        let high = code(self.at)?;
        if high & 0xf800 != 0xd800 {
            self.at += 6;
            return char::from_u32(high);
        }
        if high & 0x400 != 0 {
            return None;
        }
        let low = code(self.at + 6).filter(|low| low & 0xfc00 == 0xdc00)?;
        self.at += 12;
        char::from_u32(0x1_0000 + ((high & 0x3ff) << 10 | low & 0x3ff))
    }

    /// Pushes the value that begins with `token`.
    fn value(&mut self, token: &Token) -> Result<(), Raise> {
        match &token.is {
            Is::Text(text) => self.lua.push_bytes(text),
            Is::Number(value) => self.lua.push_number(*value),
            Is::Boolean(value) => self.lua.push_boolean(*value),
            Is::Null => self.lua.push_null(),
            Is::ObjectBegin => self.object()?,
            Is::ArrayBegin => self.array()?,
            _ => return Err(self.unexpected("value", token)),
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Raise> {
        self.depth += 1;
        if self.depth <= config(self.lua).decode_depth_max && self.lua.reserve(8) {
            return Ok(());
        }
        let (depth, at) = (self.depth, self.at);
        Err(self.lua.error(format!("Found too many nested data structures ({depth}) at character {at}")))
    }

    fn object(&mut self) -> Result<(), Raise> {
        self.descend()?;
        self.lua.push_table(0, 0);
        let mut token = self.token();
        if matches!(token.is, Is::ObjectEnd) {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let Is::Text(key) = &token.is else { return Err(self.unexpected("object key string", &token)) };
            self.lua.push_bytes(key);
            let colon = self.token();
            if !matches!(colon.is, Is::Colon) {
                return Err(self.unexpected("colon", &colon));
            }
            let first = self.token();
            self.value(&first)?;
            self.lua.set(-3);
            match self.token() {
                Token { is: Is::ObjectEnd, .. } => break,
                Token { is: Is::Comma, .. } => token = self.token(),
                other => return Err(self.unexpected("comma or object end", &other)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Raise> {
        self.descend()?;
        self.lua.push_table(0, 0);
        let mut token = self.token();
        if matches!(token.is, Is::ArrayEnd) {
            self.depth -= 1;
            return Ok(());
        }
        for index in 1.. {
            self.value(&token)?;
            self.lua.set_index(-2, index);
            match self.token() {
                Token { is: Is::ArrayEnd, .. } => break,
                Token { is: Is::Comma, .. } => token = self.token(),
                other => return Err(self.unexpected("comma or array end", &other)),
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

/// A number that C reads and JSON does not have: hexadecimal, with leading zeros, infinite or none.
fn is_no_json_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    match digits {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [b'0'..=b'9', ..] => false,
        [b'i' | b'I' | b'n' | b'N', ..] => true,
        _ => false,
    }
}
