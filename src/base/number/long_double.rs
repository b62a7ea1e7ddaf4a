//! 80-bit floats as x86 has them: INCRBYFLOAT computes in them, and its replies show it.
//! In: text. Out: text as `%.17Lf` prints it, without trailing zeros.

use std::ops::Add;

use rustc_apfloat::ieee::X87DoubleExtended;
use rustc_apfloat::{Float, Round, Status};

#[derive(Clone, Copy, Debug)]
pub struct LongDouble(X87DoubleExtended);

/// Digits behind the point.
const FRACTION_DIGITS: usize = 17;
/// 10^17.
const FRACTION: u128 = 100_000_000_000_000_000;
/// The longest text that is read: Redis copies it to 5 KiB of stack.
const TEXT_MAX: usize = 5 * 1024 - 1;
/// Exponent of the lowest bit of the significand when the stored exponent is 0.
const EXPONENT_BIAS: i32 = 16383 + 63;

impl LongDouble {
    pub const ZERO: LongDouble = LongDouble(X87DoubleExtended::ZERO);

    /// Reads what `strtold` reads, the whole text, without spaces. Infinity is taken; nan is refused, and so is what is
    /// too large or so small that it would be zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        strto(text).map(Self)
    }

    pub fn from_i64(value: i64) -> Self {
        Self(X87DoubleExtended::from_i128(value as i128).value)
    }

    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    /// The text of a finite number: 17 digits behind the point, trailing zeros cut.
    pub fn text(self) -> String {
        let bits = self.0.to_bits();
        let significand = bits as u64;
        let stored = (bits >> 64) as i32 & 0x7fff;
        let exponent = stored.max(1) - EXPONENT_BIAS;
        let mut text = if exponent >= 0 {
            shifted_decimal(significand, exponent as usize)
        } else {
            let scaled = shift_right_rounding(significand as u128 * FRACTION, -exponent as u32);
            let (whole, fraction) = (scaled / FRACTION, scaled % FRACTION);
            let digits = format!("{fraction:0FRACTION_DIGITS$}");
            match digits.trim_end_matches('0') {
                "" => whole.to_string(),
                fraction => format!("{whole}.{fraction}"),
            }
        };
        if self.0.is_negative() && text != "0" {
            text.insert(0, '-');
        }
        text
    }
}

impl Add for LongDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).value)
    }
}

/// Reads a float of any width as the C library does.
pub(super) fn strto<F: Float>(text: &[u8]) -> Option<F> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let mut lower = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    if unsigned == "inf" || unsigned == "infinity" {
        return Some(if lower.starts_with('-') { -F::INFINITY } else { F::INFINITY });
    }
    let hex = unsigned.strip_prefix("0x");
    if !well_formed(hex.unwrap_or(unsigned), hex.is_some()) {
        return None;
    }
    if hex.is_some_and(|hex| !hex.contains('p')) {
        lower.push_str("p0");
    }
    let parsed = F::from_str_r(&lower, Round::NearestTiesToEven).ok()?;
    let too_small = parsed.value.is_zero() && parsed.status.contains(Status::UNDERFLOW);
    (!too_small && parsed.value.is_finite()).then_some(parsed.value)
}

/// Whether `text` is digits with at most one point among them, and perhaps an exponent.
fn well_formed(text: &str, hex: bool) -> bool {
    let digit = |byte: u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let (mantissa, exponent) = match text.split_once(if hex { 'p' } else { 'e' }) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_is_well_formed = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    exponent_is_well_formed
        && mantissa.bytes().any(digit)
        && mantissa.bytes().all(|byte| digit(byte) || byte == b'.')
        && mantissa.bytes().filter(|&byte| byte == b'.').count() <= 1
}

/// `value / 2^bits`, rounded to nearest, ties to even.
fn shift_right_rounding(value: u128, bits: u32) -> u128 {
    if bits > 127 {
        return 0;
    }
    let (quotient, rest, half) = (value >> bits, value & ((1 << bits) - 1), 1u128 << (bits - 1));
    let up = rest > half || (rest == half && quotient & 1 == 1);
    quotient + up as u128
}

/// `value × 2^bits` in decimal.
fn shifted_decimal(value: u64, bits: usize) -> String {
    const BASE: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = vec![value % BASE, value / BASE % BASE, value / BASE / BASE];
    let mut left = bits;
    while left > 0 {
        let step = left.min(29);
        left -= step;
        let mut carry = 0;
        for limb in &mut limbs {
            let product = (*limb << step) + carry;
            *limb = product % BASE;
            carry = product / BASE;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let digits: String = limbs.iter().rev().map(|limb| format!("{limb:09}")).collect();
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::LongDouble;

    fn sum(a: &str, b: &str) -> String {
        (LongDouble::parse(a.as_bytes()).unwrap() + LongDouble::parse(b.as_bytes()).unwrap()).text()
    }

    #[test]
    fn sums_as_redis_prints_them() {
        // Replies of INCRBYFLOAT of a real Redis.
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("3", "-1.1", "1.9"),
            ("1.23456789", "1e-17", "1.23456789000000001"),
            ("0", "-0.000000000000000001", "0"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("1e20", "1", "100000000000000000000"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn odd_texts() {
        for text in ["", "-", "abc", "1 ", " 1", "nan", "1e", "1.2.3", "0x", "--1", "1e4933", "1e-4951"] {
            assert!(LongDouble::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(sum("0x10", "0"), "16");
        assert!(!LongDouble::parse(b"-inf").unwrap().is_finite());
        assert_eq!(sum("1e-4950", "1"), "1");
        assert_eq!(sum("0e-99999", "1"), "1");
        assert_eq!(LongDouble::parse(&b"1".repeat(4000)).unwrap().text().len(), 4000);
        assert!(LongDouble::parse(&b"0".repeat(5120)).is_none());
    }
}
