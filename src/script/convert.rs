//! Replies as Lua values, and Lua values as replies.
//! In: the bytes of a reply, in RESP2 or RESP3. Out: a value on the stack; and the other way round.

use super::api::push_error;
use super::lua::{Kind, Lua};
use crate::base::number::parse_i64;
use crate::resp::Out;

/// Nesting that is converted; what is deeper is an error.
const DEPTH_MAX: usize = 1000;

// ---- replies for scripts ----

/// A reply being read. It was written by this server, so it is well formed.
struct Reader<'a> {
    bytes: &'a [u8],
}

/// Pushes a reply. An error becomes a table with `err`, a status one with `ok`.
pub fn push_reply(lua: Lua, bytes: &[u8]) {
    Reader { bytes }.value(lua);
}

/// Whether the value on top is an error reply.
pub fn is_error(lua: Lua) -> bool {
    if !lua.is_table(-1) {
        return false;
    }
    lua.get_field(-1, "err");
    let found = lua.kind(-1) != Kind::Nil;
    lua.pop(1);
    found
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.bytes).expect("a reply is complete");
        let line = &self.bytes[..end];
        self.bytes = &self.bytes[end + 2..];
        line
    }

    fn text(&mut self, len: usize) -> &'a [u8] {
        let text = &self.bytes[..len];
        self.bytes = &self.bytes[len + 2..];
        text
    }

    fn value(&mut self, lua: Lua) {
        let mark = self.bytes[0];
        self.bytes = &self.bytes[1..];
        let line = self.line();
        let number = || parse_i64(line).unwrap_or(-1);
        match mark {
            b':' => lua.push_number(number() as f64),
            b'$' => match number() {
                0.. => lua.push_bytes(self.text(number() as usize)),
                _ => lua.push_boolean(false),
            },
            b'+' => wrapped(lua, "ok", line),
            b'-' => {
                push_error(lua, line);
                lua.push_boolean(true);
                lua.set_field(-2, "ignore_error_stats_update");
            }
            b'*' | b'>' => match number() {
                0.. => self.array(lua, number() as usize),
                _ => lua.push_boolean(false),
            },
            b'%' => self.map(lua, number() as usize),
            b'~' => self.set(lua, number() as usize),
            b'_' => lua.push_nil(),
            b'#' => lua.push_boolean(line == b"t"),
            b',' => {
                lua.push_table(0, 1);
                lua.push_number(super::lua::read_number(line).0);
                lua.set_field(-2, "double");
            }
            b'(' => wrapped(lua, "big_number", line),
            b'=' => self.verbatim(lua, number() as usize),
            b'|' => {
                // Attributes say something about the value that follows, which scripts do not see.
                for _ in 0..2 * number() {
                    self.value(lua);
                    lua.pop(1);
                }
                self.value(lua);
            }
            other => unreachable!("a reply begins with {:?}", other as char),
        }
    }

    fn array(&mut self, lua: Lua, count: usize) {
        lua.push_table(count, 0);
        if !lua.reserve(8) {
            return;
        }
        for index in 1..=count {
            self.value(lua);
            lua.set_index(-2, index as i32);
        }
    }

    fn map(&mut self, lua: Lua, count: usize) {
        lua.push_table(0, 1);
        lua.push_table(0, count);
        if !lua.reserve(8) {
            return lua.set_field(-2, "map");
        }
        for _ in 0..count {
            self.value(lua);
            self.value(lua);
            if lua.is_nothing(-2) { lua.pop(2) } else { lua.set(-3) }
        }
        lua.set_field(-2, "map");
    }

    fn set(&mut self, lua: Lua, count: usize) {
        lua.push_table(0, 1);
        lua.push_table(0, count);
        if !lua.reserve(8) {
            return lua.set_field(-2, "set");
        }
        for _ in 0..count {
            self.value(lua);
            lua.push_boolean(true);
            if lua.is_nothing(-2) { lua.pop(2) } else { lua.set(-3) }
        }
        lua.set_field(-2, "set");
    }

    fn verbatim(&mut self, lua: Lua, len: usize) {
        let text = self.text(len);
        lua.push_table(0, 1);
        lua.push_table(0, 2);
        lua.push_bytes(&text[..3]);
        lua.set_field(-2, "format");
        lua.push_bytes(&text[4..]);
        lua.set_field(-2, "string");
        lua.set_field(-2, "verbatim_string");
    }
}

/// Pushes a table with one field.
fn wrapped(lua: Lua, name: &str, text: &[u8]) {
    lua.push_table(0, 1);
    lua.push_bytes(text);
    lua.set_field(-2, name);
}

// ---- replies of scripts ----

/// Writes the value on top as a reply, and pops it. `resp3`: the script asked for RESP3.
pub fn write_value(lua: Lua, out: &mut Out, resp3: bool) {
    write(lua, out, resp3, 0);
    lua.pop(1);
}

fn write(lua: Lua, out: &mut Out, resp3: bool, depth: usize) {
    if depth > DEPTH_MAX || !lua.reserve(8) {
        return out.error("ERR reached lua stack limit");
    }
    match lua.kind(-1) {
        Kind::String => out.bulk(lua.bytes(-1).expect("it is a string")),
        Kind::Number => out.integer(integer(lua.number(-1).expect("it is a number"))),
        Kind::Boolean => match (resp3, lua.boolean(-1)) {
            (true, value) => out.boolean(value),
            (false, true) => out.integer(1),
            (false, false) => out.null(),
        },
        Kind::Table => write_table(lua, out, resp3, depth),
        _ => out.null(),
    }
}

/// A number as C casts it to an integer.
fn integer(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}

fn write_table(lua: Lua, out: &mut Out, resp3: bool, depth: usize) {
    type Write = fn(Lua, &mut Out, bool, usize);
    const FORMS: &[(&str, Kind, Write)] = &[
        ("err", Kind::String, |lua, out, _, _| write_error(lua, out)),
        ("ok", Kind::String, |lua, out, _, _| out.status(c_text(lua.bytes(-1).expect("it is a string")))),
        ("double", Kind::Number, |lua, out, _, _| out.double(lua.number(-1).expect("it is a number"))),
        ("big_number", Kind::String, |lua, out, _, _| out.big_number(lua.bytes(-1).expect("it is a string"))),
        ("verbatim_string", Kind::Table, write_verbatim),
        ("map", Kind::Table, write_map),
        ("set", Kind::Table, write_set),
    ];
    for (name, kind, write) in FORMS {
        lua.get_field(-1, name);
        if lua.kind(-1) == *kind && (*name != "verbatim_string" || is_verbatim(lua)) {
            write(lua, out, resp3, depth);
            return lua.pop(1);
        }
        lua.pop(1);
    }
    write_array(lua, out, resp3, depth);
}

/// The mark of an error stands before the line ends that it begins with; those at its end are left out.
fn write_error(lua: Lua, out: &mut Out) {
    let text = c_text(lua.bytes(-1).expect("it is a string"));
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    out.error_bytes(&text[..end]);
}

/// A text without the line ends around it.
pub fn without_line_ends(text: &[u8]) -> &[u8] {
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = text.iter().take_while(|byte| is_line_end(byte)).count();
    let end = text.len() - text[start..].iter().rev().take_while(|byte| is_line_end(byte)).count();
    &text[start..end]
}

/// A text as C sees it: up to the first NUL.
pub fn c_text(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

fn write_array(lua: Lua, out: &mut Out, resp3: bool, depth: usize) {
    let at = out.deferred();
    let mut count = 0;
    loop {
        lua.get_index(-1, count as i32 + 1);
        if lua.kind(-1) == Kind::Nil {
            lua.pop(1);
            break;
        }
        write(lua, out, resp3, depth + 1);
        lua.pop(1);
        count += 1;
    }
    out.finish_array(at, count);
}

fn write_map(lua: Lua, out: &mut Out, resp3: bool, depth: usize) {
    let at = out.deferred();
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        // A copy of the key: what reads it may change it where it lies.
        lua.push_value(-2);
        write(lua, out, resp3, depth + 1);
        lua.pop(1);
        write(lua, out, resp3, depth + 1);
        lua.pop(1);
        count += 1;
    }
    out.finish_map(at, count);
}

fn write_set(lua: Lua, out: &mut Out, resp3: bool, depth: usize) {
    let at = out.deferred();
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        lua.push_value(-1);
        write(lua, out, resp3, depth + 1);
        lua.pop(1);
        count += 1;
    }
    out.finish_set(at, count);
}

/// Whether the table on top has the text and the format of a verbatim string.
fn is_verbatim(lua: Lua) -> bool {
    ["string", "format"].iter().all(|name| {
        lua.get_field(-1, name);
        let found = lua.kind(-1) == Kind::String;
        lua.pop(1);
        found
    })
}

fn write_verbatim(lua: Lua, out: &mut Out, _: bool, _: usize) {
    lua.get_field(-1, "string");
    lua.get_field(-2, "format");
    // Three letters, whatever there are.
    let mut format = *b"   ";
    for (place, byte) in format.iter_mut().zip(c_text(lua.bytes(-1).expect("it was looked at"))) {
        *place = *byte;
    }
    let text = lua.bytes(-2).expect("it was looked at").to_vec();
    lua.pop(2);
    out.verbatim(format, &text);
}
