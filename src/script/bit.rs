//! The `bit` library: operations on 32-bit integers, as BitOp for Lua 5.1 has them.
//! In: numbers, of which the low 32 bits count. Out: signed 32-bit integers.

use super::lua::{Function, Lua, Raise};

const FUNCTIONS: &[(&str, Function)] = &[
    ("tobit", tobit),
    ("bnot", bnot),
    ("band", band),
    ("bor", bor),
    ("bxor", bxor),
    ("lshift", lshift),
    ("rshift", rshift),
    ("arshift", arshift),
    ("rol", rol),
    ("ror", ror),
    ("bswap", bswap),
    ("tohex", tohex),
];

/// Pushes the library.
pub fn open(lua: Lua) {
    lua.push_table(0, FUNCTIONS.len());
    for (name, function) in FUNCTIONS {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
}

/// Argument `number`, rounded to even, its low 32 bits.
fn bits(lua: Lua, number: i32) -> Result<u32, Raise> {
    // Adding this leaves the integer part in the low bits of the mantissa.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    Ok((lua.check_number(number)? + SHIFT).to_bits() as u32)
}

fn answer(lua: Lua, value: u32) -> Result<i32, Raise> {
    lua.push_number(value as i32 as f64);
    Ok(1)
}

fn tobit(lua: Lua) -> Result<i32, Raise> {
    answer(lua, bits(lua, 1)?)
}

fn bnot(lua: Lua) -> Result<i32, Raise> {
    answer(lua, !bits(lua, 1)?)
}

fn bswap(lua: Lua) -> Result<i32, Raise> {
    answer(lua, bits(lua, 1)?.swap_bytes())
}

fn fold(lua: Lua, join: fn(u32, u32) -> u32) -> Result<i32, Raise> {
    let mut value = bits(lua, 1)?;
    for number in 2..=lua.top() {
        value = join(value, bits(lua, number)?);
    }
    answer(lua, value)
}

fn band(lua: Lua) -> Result<i32, Raise> {
    fold(lua, |a, b| a & b)
}

fn bor(lua: Lua) -> Result<i32, Raise> {
    fold(lua, |a, b| a | b)
}

fn bxor(lua: Lua) -> Result<i32, Raise> {
    fold(lua, |a, b| a ^ b)
}

fn shift(lua: Lua, by: fn(u32, u32) -> u32) -> Result<i32, Raise> {
    answer(lua, by(bits(lua, 1)?, bits(lua, 2)? & 31))
}

fn lshift(lua: Lua) -> Result<i32, Raise> {
    shift(lua, |value, by| value << by)
}

fn rshift(lua: Lua) -> Result<i32, Raise> {
    shift(lua, |value, by| value >> by)
}

fn arshift(lua: Lua) -> Result<i32, Raise> {
    shift(lua, |value, by| (value as i32 >> by) as u32)
}

fn rol(lua: Lua) -> Result<i32, Raise> {
    shift(lua, u32::rotate_left)
}

fn ror(lua: Lua) -> Result<i32, Raise> {
    shift(lua, u32::rotate_right)
}

/// Hexadecimal digits: 8, or as many as argument 2 says, capitals if it is negative.
fn tohex(lua: Lua) -> Result<i32, Raise> {
    let value = bits(lua, 1)?;
    let digits = if lua.is_nothing(2) { 8 } else { bits(lua, 2)? as i32 };
    let all = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    let shown = digits.unsigned_abs().min(8) as usize;
    lua.push_str(&all[8 - shown..]);
    Ok(1)
}
