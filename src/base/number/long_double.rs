//! 80-bit floats as x86 has them: INCRBYFLOAT computes in them, and its replies show it.
//! In: text. Out: text as `%.17Lf` prints it, without trailing zeros.

use rustc_apfloat::ieee::{Double, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round};

#[derive(Clone, Copy, Debug)]
pub struct LongDouble(X87DoubleExtended);

/// Digits behind the point.
const FRACTION_DIGITS: usize = 17;
/// 10^17.
const FRACTION: u128 = 100_000_000_000_000_000;
/// The longest text that is read.
const TEXT_MAX: usize = 256;
/// Exponent of the lowest bit of the significand when the stored exponent is 0.
const EXPONENT_BIAS: i32 = 16383 + 63;

impl LongDouble {
    pub const ZERO: LongDouble = LongDouble(X87DoubleExtended::ZERO);

    /// Reads what `strtold` reads, the whole text, without spaces; nan is refused, infinity is not.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > TEXT_MAX {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let value = Self::parse_unsigned(unsigned)?;
        Some(Self(if negative { -value } else { value }))
    }

    fn parse_unsigned(text: &str) -> Option<X87DoubleExtended> {
        let lower = text.to_ascii_lowercase();
        if lower == "inf" || lower == "infinity" {
            return Some(X87DoubleExtended::INFINITY);
        }
        let hex = lower.starts_with("0x");
        let digit = |byte: u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        let body = if hex { &lower[2..] } else { &lower[..] };
        let exponent_mark = if hex { 'p' } else { 'e' };
        let mantissa = body.split(exponent_mark).next()?;
        let well_formed = mantissa.bytes().any(digit)
            && mantissa.bytes().all(|byte| digit(byte) || byte == b'.')
            && mantissa.bytes().filter(|&byte| byte == b'.').count() <= 1;
        if !well_formed {
            return None;
        }
        if let Some(exponent) = body[mantissa.len()..].strip_prefix(exponent_mark) {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
        }
        let text = if hex && !lower.contains('p') { lower + "p0" } else { lower };
        X87DoubleExtended::from_str_r(&text, Round::NearestTiesToEven).ok().map(|parsed| parsed.value)
    }

    pub fn from_i64(value: i64) -> Self {
        Self(X87DoubleExtended::from_i128(value as i128).value)
    }

    pub fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).value)
    }

    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    pub fn to_f64(self) -> f64 {
        let double: Double = self.0.convert(&mut false).value;
        f64::from_bits(double.to_bits() as u64)
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
        LongDouble::parse(a.as_bytes()).unwrap().add(LongDouble::parse(b.as_bytes()).unwrap()).text()
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
        for text in ["", "-", "abc", "1 ", " 1", "nan", "1e", "1.2.3", "0x", "--1"] {
            assert!(LongDouble::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(sum("0x10", "0"), "16");
        assert!(!LongDouble::parse(b"-inf").unwrap().is_finite());
        assert!(!LongDouble::parse(b"1e5000").unwrap().is_finite());
        assert_eq!(LongDouble::parse(b"0.1").unwrap().to_f64(), 0.1);
    }
}
