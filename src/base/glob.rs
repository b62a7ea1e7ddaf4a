//! Patterns of KEYS, SCAN MATCH, CONFIG GET: `*`, `?`, `[a-z]`, `[^a]`, `\x`, with Redis' reading of odd ones.
//! Time is O(pattern × text): a mismatch returns to the last star only.

/// Whether `text` matches `pattern`. As in Redis, no star matches the empty text; KEYS and SCAN take `*` for no pattern.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            while p < pattern.len() && pattern[p] == b'*' {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        match (p < pattern.len()).then(|| one(&pattern[p..], text[t], nocase)).flatten() {
            Some(used) => {
                p += used;
                t += 1;
            }
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
}

/// Matches one byte against the start of `pattern` (no star): how much of the pattern it took.
fn one(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => class(pattern, byte, nocase),
        b'\\' if pattern.len() >= 2 => same(pattern[1], byte, nocase).then_some(2),
        literal => same(literal, byte, nocase).then_some(1),
    }
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

/// A `[class]`; one that is never closed ends with the pattern. Ranges compare bytes as C's signed characters.
fn class(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let fold = |b: i8| if nocase { (b as u8).to_ascii_lowercase() as i8 } else { b };
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += negated as usize;
    let mut found = false;
    loop {
        match pattern[at.min(pattern.len())..] {
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [] => break,
            [from, b'-', to, ..] => {
                let (from, to) = (from as i8, to as i8);
                let (from, to) = (fold(from.min(to)), fold(from.max(to)));
                found |= (from..=to).contains(&fold(byte as i8));
                at += 3;
            }
            [literal, ..] => {
                found |= same(literal, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn check(cases: &[(&str, &str, bool)]) {
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), *expected, "{pattern} ~ {text}");
        }
    }

    #[test]
    fn stars_and_marks() {
        check(&[
            ("*", "", false),
            ("**", "", false),
            ("a**", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**a**", "xxa", true),
            ("*abc*abc", "abcxabcabc", true),
            ("", "", true),
            ("", "a", false),
        ]);
    }

    #[test]
    fn classes() {
        check(&[
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("[a-", "a", true),
            ("[^", "a", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("\\", "\\", true),
        ]);
        // A range from 0xff to 'a' is one from -1 to 97.
        assert!(matches(b"[\xff-a]", b"A", false) && !matches(b"[\xff-a]", b"b", false));
        assert!(matches(b"HeL*", b"hello", true) && matches(b"[A-C]x", b"bX", true));
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product() {
        let pattern = b"a*".repeat(2000);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &b"a".repeat(30_000), false));
    }
}
