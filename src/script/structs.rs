//! The `struct` library: packs values into bytes and back, by a format.
//! In: a format such as `>I2 s c0`, values or bytes. Out: bytes or values. The letters are those of lua-struct 0.2:
//! `<` `>` byte order, `!n` alignment, `x` padding, `bBhHlLTiInIn` integers, `fd` floats, `s` text up to NUL, `cn` `c0` bytes.

use super::lua::{Function, Lua, Raise};

const SIZE_MAX: usize = 32;
/// The largest alignment in use: that of a double.
const NATIVE_ALIGN: usize = 8;
/// More bytes than this are not packed: a string of scripts would not hold them anyway.
const PACKED_BYTES_MAX: usize = 512 << 20;

const FUNCTIONS: &[(&str, Function)] = &[("pack", pack), ("unpack", unpack), ("size", size)];

/// Pushes the library.
pub fn open(lua: Lua) {
    lua.push_table(0, FUNCTIONS.len());
    for (name, function) in FUNCTIONS {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
}

/// One letter of a format, its size, and the padding before it.
struct Item {
    letter: u8,
    size: usize,
    pad: usize,
}

/// A format being read.
struct Format<'a> {
    text: &'a [u8],
    little: bool,
    align: usize,
    /// Bytes laid out so far.
    total: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        // A format is a C string.
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Self { text: &text[..end], little: true, align: 1, total: 0 }
    }

    /// Digits, if there are any.
    fn number(&mut self, lua: Lua) -> Result<Option<usize>, Raise> {
        let mut value = None;
        while let Some((digit, rest)) = self.text.split_first().filter(|(byte, _)| byte.is_ascii_digit()) {
            let so_far = value.unwrap_or(0);
            let digit = (digit - b'0') as usize;
            if so_far > i32::MAX as usize / 10 || so_far * 10 > i32::MAX as usize - digit {
                return Err(lua.error("integral size overflow"));
            }
            value = Some(so_far * 10 + digit);
            self.text = rest;
        }
        Ok(value)
    }

    /// The next letter that takes or makes bytes.
    fn next(&mut self, lua: Lua) -> Result<Option<Item>, Raise> {
        loop {
            let Some((&letter, rest)) = self.text.split_first() else { return Ok(None) };
            self.text = rest;
            let size = match letter {
                b' ' => continue,
                b'<' => {
                    self.little = true;
                    continue;
                }
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'!' => {
                    let align = self.number(lua)?.unwrap_or(NATIVE_ALIGN);
                    if !align.is_power_of_two() {
                        return Err(lua.error(format!("alignment {align} is not a power of 2")));
                    }
                    self.align = align;
                    continue;
                }
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b'i' | b'I' => match self.number(lua)?.unwrap_or(4) {
                    size if size > SIZE_MAX => {
                        let text = format!("integral size {size} is larger than limit of {SIZE_MAX}");
                        return Err(lua.error(&text));
                    }
                    size => size,
                },
                b'c' => self.number(lua)?.unwrap_or(1),
                b's' => 0,
                // Whoever packs or unpacks it refuses it; its size is nothing.
                _ => 0,
            };
            let pad = self.pad(letter, size);
            self.total += pad + size;
            return Ok(Some(Item { letter, size, pad }));
        }
    }

    /// Bytes before an item that has to stand aligned.
    fn pad(&self, letter: u8, size: usize) -> usize {
        let align = size.min(self.align);
        if align <= 1 || matches!(letter, b'c' | b's' | b'x') {
            return 0;
        }
        (align - (self.total & (align - 1))) & (align - 1)
    }
}

fn unknown(lua: Lua, letter: u8) -> Raise {
    lua.bad_argument(1, format!("invalid format option '{}'", letter as char))
}

fn is_integer(letter: u8) -> bool {
    b"bBhHlLTiI".contains(&letter)
}

fn pack(lua: Lua) -> Result<i32, Raise> {
    let format = lua.check_bytes(1)?.to_vec();
    let mut format = Format::new(&format);
    let (mut out, mut argument) = (Vec::new(), 2);
    while let Some(item) = format.next(lua)? {
        if out.len() + item.pad + item.size > PACKED_BYTES_MAX {
            return Err(lua.error("integral size overflow"));
        }
        out.resize(out.len() + item.pad, 0);
        match item.letter {
            b'x' => {
                out.push(0);
                continue;
            }
            b'c' | b's' => pack_text(lua, &item, argument, &mut format, &mut out)?,
            b'f' | b'd' => {
                let value = number(lua, argument)?;
                let mut bytes = match item.letter {
                    b'f' => (value as f32).to_le_bytes().to_vec(),
                    _ => value.to_le_bytes().to_vec(),
                };
                if !format.little {
                    bytes.reverse();
                }
                out.extend(bytes);
            }
            letter if !is_integer(letter) => return Err(unknown(lua, letter)),
            _ => pack_integer(number(lua, argument)?, item.size, format.little, &mut out),
        }
        argument += 1;
    }
    lua.push_bytes(&out);
    Ok(1)
}

/// Argument `number` as a number; what is missing counts as nil.
fn number(lua: Lua, argument: i32) -> Result<f64, Raise> {
    if lua.top() < argument {
        return Err(lua.bad_argument(argument, "number expected, got nil"));
    }
    lua.check_number(argument)
}

fn pack_text(
    lua: Lua,
    item: &Item,
    argument: i32,
    format: &mut Format,
    out: &mut Vec<u8>,
) -> Result<(), Raise> {
    let text = lua.check_bytes(argument)?;
    let size = if item.size == 0 { text.len() } else { item.size };
    if text.len() < size {
        // The number is one too high in the original, too.
        return Err(lua.bad_argument(argument + 1, "string too short"));
    }
    out.extend_from_slice(&text[..size]);
    if item.size == 0 {
        format.total += size;
    }
    if item.letter == b's' {
        out.push(0);
        format.total += 1;
    }
    Ok(())
}

fn pack_integer(value: f64, size: usize, little: bool, out: &mut Vec<u8>) {
    // A negative number wraps; what no 64 bits hold is what C makes of it.
    let bits = match value {
        value if value < 0.0 => value as i64 as u64,
        value if value < 18_446_744_073_709_551_616.0 => value as u64,
        _ => 0,
    };
    let fill = 0;
    let bytes = bits.to_le_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(fill);
    match little {
        true => out.extend((0..size).map(byte)),
        false => out.extend((0..size).rev().map(byte)),
    }
}

fn unpack(lua: Lua) -> Result<i32, Raise> {
    let format = lua.check_bytes(1)?.to_vec();
    let data = lua.check_bytes(2)?.to_vec();
    let offset = if lua.is_nothing(3) { 1 } else { lua.check_integer(3)? };
    if offset == 0 {
        return Err(lua.bad_argument(3, "offset must be 1 or greater"));
    }
    let mut at = (offset - 1) as usize;
    let mut format = Format::new(&format);
    format.total = at;
    let mut count = 0;
    lua.set_top(2);
    while let Some(item) = format.next(lua)? {
        let short = |lua: Lua| lua.bad_argument(2, "data string too short");
        at = at.checked_add(item.pad).ok_or_else(|| short(lua))?;
        if at > data.len() || item.size > data.len() - at {
            return Err(short(lua));
        }
        if !lua.reserve(4) {
            return Err(lua.error("too many results"));
        }
        let bytes = &data[at..at + item.size];
        let mut size = item.size;
        count += 1;
        match item.letter {
            b'x' => count -= 1,
            b'c' if size == 0 => {
                if count == 1 || lua.kind(-1) != super::lua::Kind::Number {
                    return Err(lua.error("format 'c0' needs a previous size"));
                }
                size = lua.number(-1).unwrap_or(0.0) as usize;
                lua.pop(1);
                count -= 1;
                if size > data.len() - at {
                    return Err(short(lua));
                }
                lua.push_bytes(&data[at..at + size]);
                format.total += size;
            }
            b'c' => lua.push_bytes(bytes),
            b's' => {
                let Some(end) = memchr::memchr(0, &data[at..]) else {
                    return Err(lua.error("unfinished string in data"));
                };
                lua.push_bytes(&data[at..at + end]);
                size = end + 1;
                format.total += size;
            }
            letter if !matches!(letter, b'f' | b'd') && !is_integer(letter) => {
                return Err(unknown(lua, letter));
            }
            letter => lua.push_number(unpack_number(letter, bytes, format.little)),
        }
        at += size;
    }
    lua.push_number((at + 1) as f64);
    Ok(count + 1)
}

fn unpack_number(letter: u8, bytes: &[u8], little: bool) -> f64 {
    let mut ordered = bytes.to_vec();
    if !little {
        ordered.reverse();
    }
    let mut low = [0; 8];
    let len = ordered.len().min(8);
    low[..len].copy_from_slice(&ordered[..len]);
    let bits = u64::from_le_bytes(low);
    match letter {
        b'f' => f32::from_bits(bits as u32) as f64,
        b'd' => f64::from_bits(bits),
        letter if letter.is_ascii_lowercase() && !ordered.is_empty() => {
            let unused = 64 - 8 * len as u32;
            ((bits << unused) as i64 >> unused) as f64
        }
        _ => bits as f64,
    }
}

fn size(lua: Lua) -> Result<i32, Raise> {
    let format = lua.check_bytes(1)?.to_vec();
    let mut format = Format::new(&format);
    while let Some(item) = format.next(lua)? {
        if item.letter == b's' {
            return Err(lua.bad_argument(1, "option 's' has no fixed size"));
        }
        if item.letter == b'c' && item.size == 0 {
            return Err(lua.bad_argument(1, "option 'c0' has no fixed size"));
        }
        if !item.letter.is_ascii_alphanumeric() {
            return Err(unknown(lua, item.letter));
        }
    }
    lua.push_number(format.total as f64);
    Ok(1)
}
