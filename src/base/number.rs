//! Numbers as text, read as strictly as Redis reads them and written as it writes them.

mod long_double;
mod shortest;

pub use long_double::LongDouble;

/// A decimal integer without sign +, leading zeros, spaces or anything else around it.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + digit as u64;
    }
    match negative {
        false => i64::try_from(value).ok(),
        true => (value <= 1 << 63).then(|| (value as i64).wrapping_neg()),
    }
}

/// A decimal integer from 0 to 2^64 - 1, as strictly.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// The same as loosely as C's `strtoull`, where Redis is as loose (stream ids): blanks, a sign and zeros may precede
/// the digits. A plain negative number is refused; one written with zeros before its digits wraps.
pub fn parse_u64_loose(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let blanks = text.iter().take_while(|&&b| matches!(b, b' ' | b'\t'..=b'\r')).count();
    let (negative, digits) = match &text[blanks..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// What C takes for the whole of a text: what comes before a byte 0.
pub fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A double as `strtod` reads it, the whole text, without spaces. Infinity is taken; nan is refused, and so is what
/// is too large for a double or so small that it would be zero; so are hexadecimal digits, since Redis 8.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let infinity = matches!(unsigned, [b'i' | b'I', ..]);
    let zero = || unsigned.iter().take_while(|b| !matches!(b, b'e' | b'E')).all(|b| matches!(b, b'0' | b'.'));
    let refused = value.is_nan() || (value.is_infinite() && !infinity) || (value == 0.0 && !zero());
    (!refused).then_some(value)
}

/// Appends an integer.
#[inline]
pub fn write_i64(into: &mut Vec<u8>, value: i64) {
    into.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` as Redis replies doubles, in few digits that read back as the same number.
pub fn write_f64(into: &mut Vec<u8>, value: f64) {
    const EXACT: f64 = (i64::MAX / 2) as f64;
    if value.is_nan() {
        into.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        into.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" });
    } else if value == 0.0 {
        into.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if (-EXACT..=EXACT).contains(&value) && value as i64 as f64 == value {
        write_i64(into, value as i64);
    } else {
        if value < 0.0 {
            into.push(b'-');
        }
        let digits = shortest::digits(value.abs());
        lay_out(into, digits.as_slice(), digits.power);
    }
}

/// Appends digits × 10^power: plain where that is short, else with an exponent.
fn lay_out(into: &mut Vec<u8>, digits: &[u8], power: i32) {
    let len = digits.len() as i32;
    let exponent = power + len - 1;
    if power >= 0 && exponent.abs() < len + 7 {
        into.extend_from_slice(digits);
        into.resize(into.len() + power as usize, b'0');
    } else if power < 0 && (power > -7 || exponent.abs() < 4) {
        let point = len + power;
        if point <= 0 {
            into.extend_from_slice(b"0.");
            into.resize(into.len() + (-point) as usize, b'0');
            into.extend_from_slice(digits);
        } else {
            into.extend_from_slice(&digits[..point as usize]);
            into.push(b'.');
            into.extend_from_slice(&digits[point as usize..]);
        }
    } else {
        into.push(digits[0]);
        if len > 1 {
            into.push(b'.');
            into.extend_from_slice(&digits[1..]);
        }
        into.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        write_i64(into, i64::from(exponent.abs()));
    }
}

/// Appends `value` with up to 17 digits, as C's `%.17g` prints it.
pub fn write_f64_long(into: &mut Vec<u8>, value: f64) {
    if !value.is_finite() || value == 0.0 {
        return write_f64(into, value);
    }
    let text = format!("{value:.16e}");
    let (mantissa, exponent) = text.split_once('e').expect("this notation has an exponent");
    let exponent: i32 = exponent.parse().expect("it is an integer");
    if !(-4..17).contains(&exponent) {
        into.extend_from_slice(trimmed(mantissa).as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        into.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else {
        let decimals = (16 - exponent) as usize;
        into.extend_from_slice(trimmed(&format!("{value:.decimals$}")).as_bytes());
    }
}

/// Without zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A memory size in bytes: `100mb` is 100 × 1024 × 1024, `100m` is 100 × 1000 × 1000. As in Redis, no digits
/// count as 0, and a product beyond 64 bits wraps.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[end..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if end == 0 {
        return Some(0);
    }
    let number: u64 = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some(number.wrapping_mul(factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_read_back(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn any_text_is_safe(text in "[-+0-9.eExXpPinfa ]{0,12}") {
            let (double, long) = (parse_f64(text.as_bytes()), LongDouble::parse(text.as_bytes()));
            prop_assert!(double.is_none() || long.is_some(), "{:?}", text);
        }

        #[test]
        fn doubles_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            let mut text = Vec::new();
            write_f64(&mut text, value);
            let back = parse_f64(&text);
            prop_assert!(value.is_nan() || back == Some(value), "{:?} {:?}", value, String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn long_doubles_are_as_c_prints_them() {
        for (value, text) in [
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (1e16, "10000000000000000"),
            (1e20, "1e+20"),
            (1e300, "1.0000000000000001e+300"),
            (3e-20, "3.0000000000000003e-20"),
            (0.0001, "0.0001"),
            (-0.0, "-0"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut written = Vec::new();
            write_f64_long(&mut written, value);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }

    #[test]
    fn loose_integers_are_refused() {
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "1e3",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
    }

    #[test]
    fn doubles_as_redis_writes_them() {
        // ZSCORE of a real Valkey 9.1.
        for (value, text) in [
            (3.0, "3"),
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1.0 / 3.0, "0.3333333333333333"),
            (0.0001, "0.0001"),
            (5.089679e-6, "5.089679e-6"),
            (-1.63346e-9, "-1.63346e-9"),
            (95676585.78869931, "9.567658578869931e+7"),
            (120222.5, "120222.5"),
            (1e15, "1000000000000000"),
            (-161304845894623136.0, "-161304845894623136"),
            (8.853874268842301e21, "8853874268842301000000"),
            (-206e20, "-20600000000000002000000"),
            (90747880863738.88, "90747880863738.87"),
            (1e20, "1e+20"),
            (-5.674664918136216e64, "-5.674664918136216e+64"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            write_f64(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn doubles_as_redis_reads_them() {
        for (text, value) in [
            ("+1.5", Some(1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("0e999999", Some(0.0)),
            ("5e-324", Some(5e-324)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0x10", None),
            ("-0X1.8p-1", None),
            ("1e309", None),
            ("1e-400", None),
            ("0x1p2000", None),
            ("0x1p-2000", None),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("1e", None),
            ("0x", None),
            (".", None),
            ("--1", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn loose_unsigned_integers() {
        for (text, value) in [
            ("7", Some(7)),
            ("007", Some(7)),
            (" +7", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-7", None),
            ("-07", Some(7u64.wrapping_neg())),
            ("", None),
            ("+", None),
            ("7 ", None),
            ("+-7", None),
        ] {
            assert_eq!(parse_u64_loose(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn memory_sizes() {
        for (text, bytes) in
            [("1k", 1000), ("1KB", 1024), ("2gb", 2 << 30), ("7", 7), ("0", 0), ("", 0), ("kb", 0)]
        {
            assert_eq!(parse_memory(text.as_bytes()), Some(bytes), "{text}");
        }
        assert_eq!(parse_memory(b"1x"), None);
    }
}
