//! Doubles as short digits that read back as the same number, by the Grisu2 algorithm as Redis runs it ("fpconv"), so that
//! both write the same text. In one of some thousand numbers that is a digit longer than the shortest, or not the nearest.
//! Source: Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers" (2010).

use std::sync::LazyLock;

use rustc_apfloat::ieee::X87DoubleExtended;
use rustc_apfloat::{Float, Round};

/// A binary number: `fraction` × 2^`exponent`.
#[derive(Clone, Copy, Debug)]
struct Binary {
    fraction: u64,
    exponent: i32,
}

/// At most 17 digits, and the power of ten that the last of them stands for.
pub struct Digits {
    bytes: [u8; 20],
    len: usize,
    pub power: i32,
}

impl Digits {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, digit: u64) {
        if digit > 0 || self.len > 0 {
            self.bytes[self.len] = b'0' + digit as u8;
            self.len += 1;
        }
    }
}

/// The lowest bit above the stored fraction of a double.
const HIDDEN_BIT: u64 = 1 << 52;
/// What a double's stored exponent is above that of its lowest bit.
const EXPONENT_BIAS: i32 = 1023 + 52;

/// Powers of ten from 10^-348 on, each 10^8 times the one before.
const POWERS: usize = 87;
const POWER_FIRST: i32 = -348;
const POWER_STEP: i32 = 8;
/// Where the exponent of a scaled number must lie.
const SCALED_EXPONENT_MIN: i32 = -60;
const SCALED_EXPONENT_MAX: i32 = -32;

/// The powers rounded to 64 bits: what an x87 long double holds.
static POWERS_OF_TEN: LazyLock<[Binary; POWERS]> = LazyLock::new(|| {
    std::array::from_fn(|n| {
        let text = format!("1e{}", POWER_FIRST + POWER_STEP * n as i32);
        let power = X87DoubleExtended::from_str_r(&text, Round::NearestTiesToEven).expect("a number").value;
        let bits = power.to_bits();
        Binary { fraction: bits as u64, exponent: (bits >> 64) as i32 - 16383 - 63 }
    })
});

/// The digits of a positive, finite number.
pub fn digits(value: f64) -> Digits {
    let exact = Binary::of(value);
    let (lower, upper) = exact.boundaries();
    let (power, ten) = power_for(upper.exponent);
    let scaled = exact.normalized().times(power);
    let (mut lower, mut upper) = (lower.times(power), upper.times(power));
    // The products are off by less than one: within these every number reads back as the exact one.
    lower.fraction += 1;
    upper.fraction -= 1;
    let mut digits = Digits { bytes: [0; 20], len: 0, power: -ten };
    generate(&mut digits, scaled.fraction, lower.fraction, upper);
    digits
}

impl Binary {
    fn of(value: f64) -> Self {
        let bits = value.to_bits();
        let (fraction, stored) = (bits & (HIDDEN_BIT - 1), (bits >> 52) as i32 & 0x7ff);
        match stored {
            0 => Binary { fraction, exponent: 1 - EXPONENT_BIAS },
            _ => Binary { fraction: fraction | HIDDEN_BIT, exponent: stored - EXPONENT_BIAS },
        }
    }

    /// The same number with its highest bit set.
    fn normalized(self) -> Self {
        let shift = self.fraction.leading_zeros();
        Binary { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The middles between this double and its neighbours, with one exponent.
    fn boundaries(self) -> (Binary, Binary) {
        let upper = Binary { fraction: (self.fraction << 1) + 1, exponent: self.exponent - 1 }.normalized();
        // The neighbour below a power of two is nearer.
        let shift = if self.fraction == HIDDEN_BIT { 2 } else { 1 };
        let fraction = (self.fraction << shift) - 1;
        let lower = fraction << (self.exponent - shift - upper.exponent);
        (Binary { fraction: lower, exponent: upper.exponent }, upper)
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Binary { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// A power of ten that brings a number with `exponent` into the range of [`generate`]; and which one.
fn power_for(exponent: i32) -> (Binary, i32) {
    const LOG_10_OF_2: f64 = 0.30102999566398114;
    let near = (f64::from(-(exponent + POWERS as i32)) * LOG_10_OF_2) as i32;
    let mut n = (near - POWER_FIRST) / POWER_STEP;
    loop {
        let power = POWERS_OF_TEN[n as usize];
        let scaled = exponent + power.exponent + 64;
        if scaled < SCALED_EXPONENT_MIN {
            n += 1;
        } else if scaled > SCALED_EXPONENT_MAX {
            n -= 1;
        } else {
            return (power, POWER_FIRST + n * POWER_STEP);
        }
    }
}

/// Writes digits of `upper` until what is left out lies within `lower..upper`, then moves the last towards `exact`.
fn generate(digits: &mut Digits, exact: u64, lower: u64, upper: Binary) {
    let shift = -upper.exponent;
    let one = 1u64 << shift;
    let mut distance = upper.fraction - exact;
    let mut width = upper.fraction - lower;
    let mut whole = upper.fraction >> shift;
    let mut rest = upper.fraction & (one - 1);

    let mut unit = 1_000_000_000;
    for power in (0..10).rev() {
        digits.push(whole / unit);
        whole %= unit;
        let left = (whole << shift) + rest;
        if left <= width {
            digits.power += power;
            return round(digits, width, left, unit << shift, distance);
        }
        unit /= 10;
    }
    for power in 1.. {
        rest *= 10;
        width *= 10;
        distance = distance.wrapping_mul(10);
        digits.push(rest >> shift);
        rest &= one - 1;
        if rest < width {
            digits.power -= power;
            return round(digits, width, rest, one, distance);
        }
    }
}

/// Lowers the last digit while that brings it nearer to the exact number, which lies `distance` below the upper end.
fn round(digits: &mut Digits, width: u64, mut left: u64, unit: u64, distance: u64) {
    while left < distance
        && width - left >= unit
        && (left + unit < distance || distance - left > left + unit - distance)
    {
        digits.bytes[digits.len - 1] -= 1;
        left += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_paper() {
        let ends = [POWERS_OF_TEN[0], POWERS_OF_TEN[POWERS - 1]];
        assert_eq!(ends.map(|p| p.fraction), [0xfa8f_d5a0_081c_0288, 0xaf87_023b_9bf0_ee6b]);
        assert_eq!(ends.map(|p| p.exponent), [-1220, 1066]);
    }

    #[test]
    fn digits_read_back() {
        let mut rng = crate::base::rng::Rng::seeded(1);
        for _ in 0..100_000 {
            let value = f64::from_bits(rng.next_u64() >> 1);
            if value.is_finite() && value > 0.0 {
                let digits = digits(value);
                let text = format!("{}e{}", std::str::from_utf8(digits.as_slice()).unwrap(), digits.power);
                assert_eq!(text.parse(), Ok(value));
            }
        }
    }
}
