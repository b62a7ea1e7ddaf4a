//! `math.random` as in Redis: its own generator, so that a seeded script draws the same numbers everywhere.
//! In: a seed. Out: numbers. The generator is the 48-bit linear congruential one of POSIX (`lrand48`).

use super::engine::run_of;
use super::lua::{Lua, Raise};

const MULTIPLIER: u64 = 0x5_deec_e66d;
const INCREMENT: u64 = 0xb;
const MASK: u64 = (1 << 48) - 1;

pub struct Rand48(u64);

impl Default for Rand48 {
    /// What Redis starts with.
    fn default() -> Self {
        Self(0x1234_abcd_330e)
    }
}

impl Rand48 {
    fn seed(&mut self, seed: i32) {
        self.0 = ((seed as u32 as u64) << 16 | 0x330e) & MASK;
    }

    /// The next number of 31 bits.
    fn draw(&mut self) -> u32 {
        self.0 = (self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT)) & MASK;
        (self.0 >> 17) as u32
    }
}

pub fn random(lua: Lua) -> Result<i32, Raise> {
    const MOST: u32 = i32::MAX as u32;
    let drawn = (run_of(lua).random.draw() % MOST) as f64 / MOST as f64;
    let (low, high, high_argument) = match lua.top() {
        0 => {
            lua.push_number(drawn);
            return Ok(1);
        }
        1 => (1, lua.check_integer(1)?, 1),
        2 => (lua.check_integer(1)?, lua.check_integer(2)?, 2),
        _ => return Err(lua.error("wrong number of arguments")),
    };
    if low > high {
        return Err(lua.bad_argument(high_argument, "interval is empty"));
    }
    lua.push_number((drawn * (high as f64 - low as f64 + 1.0)).floor() + low as f64);
    Ok(1)
}

pub fn seed(lua: Lua) -> Result<i32, Raise> {
    let seed = lua.check_integer(1)? as i32;
    run_of(lua).random.seed(seed);
    Ok(0)
}
