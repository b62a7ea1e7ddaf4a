//! Numbers as text, read as strictly as Redis reads them and written as it writes them.

mod long_double;

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

/// A double as `strtod` reads it, the whole text, without spaces; nan is refused.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.starts_with(['-', '+']) {
        return None;
    }
    if unsigned.len() > 2 && unsigned.as_bytes()[..2].eq_ignore_ascii_case(b"0x") {
        let value = LongDouble::parse(text.as_bytes())?.to_f64();
        return (!value.is_nan()).then_some(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => None,
        Ok(value)
            if value.is_infinite() && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') =>
        {
            None
        }
        other => other.ok(),
    }
}

/// Appends an integer.
#[inline]
pub fn write_i64(into: &mut Vec<u8>, value: i64) {
    into.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a double as Redis replies it: the shortest text that reads back, in the style of `%.17g`.
pub fn write_f64(into: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return into.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return into.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    if value == value.trunc() && value.abs() < 1e17 && (value != 0.0 || value.is_sign_positive()) {
        return write_i64(into, value as i64);
    }
    write_shortest(into, value);
}

/// The shortest digits, with an exponent below 10^-4 and from 10^21 on.
fn write_shortest(into: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("it is a number");
    if (-5..21).contains(&exponent) {
        into.extend_from_slice(format!("{value}").as_bytes());
        return;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    into.extend_from_slice(format!("{mantissa}e{sign}{:02}", exponent.abs()).as_bytes());
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
        fn doubles_read_back(value: f64) {
            let mut text = Vec::new();
            write_f64(&mut text, value);
            let back = parse_f64(&text);
            prop_assert!(value.is_nan() || back == Some(value), "{:?} {:?}", value, String::from_utf8_lossy(&text));
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
        for (value, text) in [
            (3.0, "3"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-9, "1.5e-09"),
            (f64::INFINITY, "inf"),
        ] {
            let mut out = Vec::new();
            write_f64(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
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
