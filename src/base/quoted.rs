//! Splits a line into arguments and quotes an argument back, as Redis does in its file, on its command line and
//! in inline commands.
//!
//! A line is words between blanks. `"..."` takes `\n \r \t \b \a \xHH` and backslash-anything; `'...'` takes only
//! `\'`. A quote may open in the middle of a word, but a closing quote ends it: what follows must be a blank.

/// The arguments of a line, or `None` when its quotes are unbalanced. A NUL byte ends the line.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let mut rest = &line[..end];
    let mut words = Vec::new();
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&b| is_blank(b)).count();
    &text[blanks..]
}

/// C's `isspace`, which counts the vertical tab.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// The first word of `text`, which starts with a byte that is no blank, and what follows it.
fn word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = quoted(text, at, &mut word)?;
                let closed = text.get(at).is_none_or(|&b| is_blank(b));
                return closed.then(|| (word, &text[at..]));
            }
            // Fewer than may stand between words: a vertical tab is part of one.
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b => word.push(b),
        }
        at += 1;
    }
    Some((word, &text[at..]))
}

/// Reads what the quote at `at` encloses into `word`; returns the index behind the closing quote.
fn quoted(text: &[u8], at: usize, word: &mut Vec<u8>) -> Option<usize> {
    let quote = text[at];
    let mut at = at + 1;
    loop {
        match *text.get(at)? {
            b if b == quote => return Some(at + 1),
            b'\\' if quote == b'\'' => {
                if text.get(at + 1) == Some(&b'\'') {
                    at += 1;
                }
                word.push(text[at]);
            }
            b'\\' => match text.get(at + 1..)? {
                [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    word.push(hex(*high) << 4 | hex(*low));
                    at += 3;
                }
                [escaped, ..] => {
                    word.push(unescape(*escaped));
                    at += 1;
                }
                [] => return None,
            },
            b => word.push(b),
        }
        at += 1;
    }
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).expect("the caller saw a hex digit") as u8
}

fn unescape(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// `text` in double quotes, so that [`split`] gives it back.
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in text {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_split_as_redis_splits_them() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("  \t ", Some(&[])),
            ("a b", Some(&["a", "b"])),
            ("  a\t b \r", Some(&["a", "b"])),
            (r#"a "b c" ''"#, Some(&["a", "b c", ""])),
            (r#"a"b c""#, Some(&["ab c"])),
            (r#""\x41\n\t\"\\\q\xZZ""#, Some(&["A\n\t\"\\qxZZ"])),
            (r"'it\'s \n'", Some(&[r"it's \n"])),
            (r"a\ b \x31", Some(&[r"a\", "b", r"\x31"])),
            (r#""a"b"#, None),
            ("'a'b", None),
            (r#""a"#, None),
            ("'a", None),
            (r#""a\"#, None),
            ("a\0b c", Some(&["a"])),
            ("\x0ba\x0bb\x0c c", Some(&["a\x0bb\x0c", "c"])),
        ];
        for (line, want) in cases {
            let got = split(line.as_bytes());
            let want = want.map(|words| words.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>());
            assert_eq!(got, want, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_split_without_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
            split(&line);
        }

        #[test]
        fn what_is_quoted_splits_back(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5)) {
            let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(&b' ');
            prop_assert_eq!(split(&line), Some(words));
        }
    }
}
