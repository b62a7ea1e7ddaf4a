//! The `cmsgpack` library: MessagePack for Lua, as Redis has it (lua-cmsgpack 0.4).
//! In: values, or bytes. Out: bytes, or values. Numbers go in their smallest form, tables as arrays if their keys are
//! 1 to n, as maps otherwise; what has no form becomes nil, as does a table deeper than 16.

use super::lua::{Function, Kind, Lua, Raise};

const DEPTH_MAX: usize = 16;

const FUNCTIONS: &[(&str, Function)] =
    &[("pack", pack), ("unpack", unpack), ("unpack_one", unpack_one), ("unpack_limit", unpack_limit)];

const FACTS: &[(&str, &str)] = &[
    ("_NAME", "cmsgpack"),
    ("_VERSION", "lua-cmsgpack 0.4.0"),
    ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
    ("_DESCRIPTION", "MessagePack C implementation for Lua"),
];

/// Pushes the library.
pub fn open(lua: Lua) {
    lua.push_table(0, 8);
    for (name, function) in FUNCTIONS {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
    for (name, text) in FACTS {
        lua.push_str(text);
        lua.set_field(-2, name);
    }
}

// ---- packing ----

fn pack(lua: Lua) -> Result<i32, Raise> {
    let count = lua.top();
    if count == 0 {
        return Err(lua.bad_argument(0, "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for argument in 1..=count {
        if !lua.reserve(8) {
            return Err(lua.bad_argument(0, "Too many arguments for MessagePack pack."));
        }
        pack_value(lua, argument, 0, &mut out);
    }
    lua.push_bytes(&out);
    Ok(1)
}

fn pack_value(lua: Lua, at: i32, depth: usize, out: &mut Vec<u8>) {
    match lua.kind(at) {
        Kind::String => pack_string(lua.bytes(at).expect("it is a string"), out),
        Kind::Boolean => out.push(if lua.boolean(at) { 0xc3 } else { 0xc2 }),
        Kind::Number => pack_number(lua.number(at).expect("it is a number"), out),
        Kind::Table if depth < DEPTH_MAX && lua.reserve(8) => pack_table(lua, at, depth + 1, out),
        _ => out.push(0xc0),
    }
}

/// A marker and a length, in the smallest of the forms given: (largest, marker, bytes).
fn pack_len(len: usize, forms: &[(usize, u8, usize)], out: &mut Vec<u8>) {
    let (_, marker, bytes) =
        forms.iter().find(|(most, ..)| len <= *most).expect("the last form holds 32 bits");
    if *bytes == 0 {
        return out.push(marker | len as u8);
    }
    out.push(*marker);
    out.extend_from_slice(&(len as u32).to_be_bytes()[4 - bytes..]);
}

fn pack_string(bytes: &[u8], out: &mut Vec<u8>) {
    pack_len(bytes.len(), &[(31, 0xa0, 0), (0xff, 0xd9, 1), (0xffff, 0xda, 2), (usize::MAX, 0xdb, 4)], out);
    out.extend_from_slice(bytes);
}

fn pack_number(value: f64, out: &mut Vec<u8>) {
    if value as i64 as f64 == value && value < i64::MAX as f64 {
        return pack_integer(value as i64, out);
    }
    if value as f32 as f64 == value {
        out.push(0xca);
        out.extend_from_slice(&(value as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn pack_integer(value: i64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let (marker, len) = match value {
        0..=127 => return out.push(value as u8),
        -32..0 => return out.push(value as i8 as u8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..-32 => (0xd0, 1),
        -0x8000..-0x80 => (0xd1, 2),
        -0x8000_0000..-0x8000 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(marker);
    out.extend_from_slice(&bytes[8 - len..]);
}

fn pack_table(lua: Lua, at: i32, depth: usize, out: &mut Vec<u8>) {
    if let Some(len) = array_len(lua, at) {
        pack_len(len, &[(15, 0x90, 0), (0xffff, 0xdc, 2), (usize::MAX, 0xdd, 4)], out);
        for index in 1..=len {
            lua.get_index(at, index as i32);
            pack_value(lua, lua.top(), depth, out);
            lua.pop(1);
        }
        return;
    }
    let mut count = 0;
    lua.push_nil();
    while lua.next(at) {
        count += 1;
        lua.pop(1);
    }
    pack_len(count, &[(15, 0x80, 0), (0xffff, 0xde, 2), (usize::MAX, 0xdf, 4)], out);
    lua.push_nil();
    while lua.next(at) {
        let top = lua.top();
        // A copy: a number read as a string would confuse the iteration.
        lua.push_value(top - 1);
        pack_value(lua, top + 1, depth, out);
        pack_value(lua, top, depth, out);
        lua.set_top(top - 1);
    }
}

/// The length of a table whose keys are 1 to n and nothing else; an empty table is an array.
fn array_len(lua: Lua, at: i32) -> Option<usize> {
    let (mut most, mut count) = (0.0, 0);
    lua.push_nil();
    while lua.next(at) {
        lua.pop(1);
        let key = match lua.kind(-1) {
            Kind::Number => lua.number(-1).expect("it is a number"),
            _ => 0.0,
        };
        if key <= 0.0 || key.fract() != 0.0 || key > i32::MAX as f64 {
            lua.pop(1);
            return None;
        }
        most = f64::max(most, key);
        count += 1;
    }
    (count as f64 == most).then_some(count)
}

// ---- unpacking ----

/// What is wrong with packed bytes.
enum Broken {
    Missing,
    BadFormat,
}

struct Packed<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Packed<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(Broken::Missing)?;
        self.at += count;
        Ok(taken)
    }

    fn unsigned(&mut self, count: usize) -> Result<u64, Broken> {
        Ok(self.take(count)?.iter().fold(0, |value, &byte| value << 8 | byte as u64))
    }

    fn signed(&mut self, count: usize) -> Result<i64, Broken> {
        let unused = 64 - 8 * count as u32;
        Ok((self.unsigned(count)? << unused) as i64 >> unused)
    }

    /// Pushes the next value.
    fn value(&mut self, lua: Lua) -> Result<(), Broken> {
        if !lua.reserve(8) {
            return Err(Broken::BadFormat);
        }
        let marker = self.take(1)?[0];
        match marker {
            0..=0x7f => lua.push_number(marker as f64),
            0xe0..=0xff => lua.push_number(marker as i8 as f64),
            0x80..=0x8f => self.map(lua, (marker & 15) as u64)?,
            0x90..=0x9f => self.array(lua, (marker & 15) as u64)?,
            0xa0..=0xbf => self.string(lua, (marker & 31) as u64)?,
            0xc0 => lua.push_nil(),
            0xc2 | 0xc3 => lua.push_boolean(marker == 0xc3),
            0xca => lua.push_number(f32::from_bits(self.unsigned(4)? as u32) as f64),
            0xcb => lua.push_number(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => lua.push_number(self.unsigned(1 << (marker - 0xcc))? as f64),
            0xd0..=0xd3 => lua.push_number(self.signed(1 << (marker - 0xd0))? as f64),
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (marker - 0xd9))?;
                self.string(lua, len)?;
            }
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (marker - 0xdc))?;
                self.array(lua, len)?;
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (marker - 0xde))?;
                self.map(lua, len)?;
            }
            _ => return Err(Broken::BadFormat),
        }
        Ok(())
    }

    fn string(&mut self, lua: Lua, len: u64) -> Result<(), Broken> {
        lua.push_bytes(self.take(usize::try_from(len).map_err(|_| Broken::Missing)?)?);
        Ok(())
    }

    fn array(&mut self, lua: Lua, len: u64) -> Result<(), Broken> {
        lua.push_table(0, 0);
        for index in 1..=len {
            self.value(lua)?;
            lua.set_index(-2, index as i32);
        }
        Ok(())
    }

    fn map(&mut self, lua: Lua, len: u64) -> Result<(), Broken> {
        lua.push_table(0, 0);
        for _ in 0..len {
            self.value(lua)?;
            self.value(lua)?;
            let bad = match lua.kind(-2) {
                Kind::Nil => true,
                Kind::Number => lua.number(-2).is_some_and(f64::is_nan),
                _ => false,
            };
            if bad {
                return Err(Broken::BadFormat);
            }
            lua.set(-3);
        }
        Ok(())
    }
}

/// Unpacks up to `limit` values (0: all) from `offset` on; with a limit the next offset comes first, or -1 at the end.
fn unpack_from(lua: Lua, limit: i64, offset: i64) -> Result<i32, Raise> {
    let bytes = lua.check_bytes(1)?.to_vec();
    let all = limit == 0 && offset == 0;
    if offset < 0 || limit < 0 {
        return Err(lua.error(format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            bytes.len()
        )));
    }
    if offset as usize > bytes.len() {
        let len = bytes.len();
        return Err(lua.error(format!("Start offset {offset} greater than input length {len}.")));
    }
    let limit = if all { i64::MAX } else { limit };
    let mut packed = Packed { bytes: &bytes, at: offset as usize };
    let first = lua.top();
    let mut count = 0;
    while count < limit && packed.at < bytes.len() {
        match packed.value(lua) {
            Ok(()) => {}
            Err(Broken::Missing) => return Err(lua.error("Missing bytes in input.")),
            Err(Broken::BadFormat) => return Err(lua.error("Bad data format in input.")),
        }
        count += 1;
    }
    if !all {
        lua.push_number(if packed.at == bytes.len() { -1.0 } else { packed.at as f64 });
        lua.insert(first + 1);
        count += 1;
    }
    Ok(count as i32)
}

fn unpack(lua: Lua) -> Result<i32, Raise> {
    unpack_from(lua, 0, 0)
}

fn unpack_one(lua: Lua) -> Result<i32, Raise> {
    let offset = optional(lua, 2)?;
    unpack_from(lua, 1, offset)
}

fn unpack_limit(lua: Lua) -> Result<i32, Raise> {
    let limit = lua.check_integer(2)?;
    let offset = optional(lua, 3)?;
    unpack_from(lua, limit, offset)
}

fn optional(lua: Lua, argument: i32) -> Result<i64, Raise> {
    if lua.is_nothing(argument) { Ok(0) } else { lua.check_integer(argument) }
}
