//! Writes replies, in RESP2 or RESP3 as the client asked.

use crate::base::number::{write_f64, write_i64};

/// Bytes around those of a bulk string, at most.
const BULK_FRAME_MAX: usize = "$\r\n\r\n".len() + 20;

/// A reply being appended to a connection's output.
pub struct Out<'a> {
    pub buf: &'a mut Vec<u8>,
    pub resp3: bool,
}

/// Where the header of an array of yet unknown length will go.
#[derive(Clone, Copy, Debug)]
pub struct Deferred(usize);

impl Out<'_> {
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// A mark, a number and a line end. Most numbers are lengths below 100, written as one word.
    #[inline]
    fn header(&mut self, mark: u8, number: i64) {
        let digit = |value: i64| b'0' + value as u8;
        match number {
            0..10 => self.raw(&[mark, digit(number), b'\r', b'\n']),
            10..100 => self.raw(&[mark, digit(number / 10), digit(number % 10), b'\r', b'\n']),
            _ => self.long_header(mark, number),
        }
    }

    fn long_header(&mut self, mark: u8, number: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        self.buf.reserve(digits.len() + 3);
        self.buf.push(mark);
        self.buf.extend_from_slice(digits);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A status such as `OK`.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: `text` begins with its code; it may be no text. Line ends in it become spaces, but for those at its end.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = text.iter().rposition(|byte| !ends(byte)).map_or(0, |last| last + 1);
        self.line(b'-', &text[..end]);
    }

    /// The same, with all of its line ends.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// A status that may be no text. Line ends in it become spaces.
    pub fn status(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        self.buf.push(mark);
        self.text(text);
    }

    /// Text on a line of its own: line ends in it become spaces.
    fn text(&mut self, text: &[u8]) {
        self.buf.extend(text.iter().map(|&byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
        self.raw(b"\r\n");
    }

    #[inline]
    pub fn integer(&mut self, value: i64) {
        match value {
            0 => self.raw(b":0\r\n"),
            1 => self.raw(b":1\r\n"),
            _ => self.header(b':', value),
        }
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.buf.reserve(bytes.len() + BULK_FRAME_MAX);
        self.header(b'$', bytes.len() as i64);
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// What stands before so many bytes of a bulk string; behind them comes a line end.
    pub fn bulk_head(&mut self, bytes: usize) {
        self.header(b'$', bytes as i64);
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    pub fn null_array(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    pub fn array(&mut self, count: usize) {
        self.header(b'*', count as i64);
    }

    /// A map of `pairs` keys and values.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 { self.header(b'%', pairs as i64) } else { self.array(pairs * 2) }
    }

    pub fn set(&mut self, count: usize) {
        self.header(if self.resp3 { b'~' } else { b'*' }, count as i64);
    }

    /// Something the client did not ask for just now.
    pub fn push(&mut self, count: usize) {
        self.header(if self.resp3 { b'>' } else { b'*' }, count as i64);
    }

    /// Attributes of the next reply; RESP2 has none, so write them for RESP3 only.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.resp3);
        self.header(b'|', pairs as i64);
    }

    pub fn double(&mut self, value: f64) {
        if self.resp3 {
            self.buf.push(b',');
            write_f64(self.buf, value);
            self.raw(b"\r\n");
            return;
        }
        // The header is written for a text of one digit's length; a second digit moves the text.
        let at = self.buf.len();
        self.raw(b"$0\r\n");
        write_f64(self.buf, value);
        let len = (self.buf.len() - at - 4) as u8;
        self.raw(b"\r\n");
        self.buf[at + 1] = b'0' + len % 10;
        if len >= 10 {
            self.buf.insert(at + 1, b'0' + len / 10);
        }
    }

    pub fn boolean(&mut self, value: bool) {
        match (self.resp3, value) {
            (true, true) => self.raw(b"#t\r\n"),
            (true, false) => self.raw(b"#f\r\n"),
            (false, value) => self.integer(value as i64),
        }
    }

    pub fn big_number(&mut self, digits: impl AsRef<[u8]>) {
        let digits = digits.as_ref();
        if self.resp3 {
            return self.line(b'(', digits);
        }
        self.buf.push(b'$');
        write_i64(self.buf, digits.len() as i64);
        self.raw(b"\r\n");
        self.text(digits);
    }

    /// Text with a format of three letters, `txt` or `mkd`.
    pub fn verbatim(&mut self, format: impl AsRef<[u8]>, bytes: &[u8]) {
        if !self.resp3 {
            return self.bulk(bytes);
        }
        self.buf.push(b'=');
        write_i64(self.buf, bytes.len() as i64 + 4);
        self.raw(b"\r\n");
        self.raw(format.as_ref());
        self.raw(b":");
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// Remembers the place of an array's header whose count comes later.
    pub fn deferred(&mut self) -> Deferred {
        Deferred(self.buf.len())
    }

    /// Puts the header of an array where `deferred` was called.
    pub fn finish_array(&mut self, at: Deferred, count: usize) {
        self.finish(at, b'*', count);
    }

    /// The same for a map of `pairs`.
    pub fn finish_map(&mut self, at: Deferred, pairs: usize) {
        if self.resp3 { self.finish(at, b'%', pairs) } else { self.finish(at, b'*', pairs * 2) }
    }

    /// The same for a set.
    pub fn finish_set(&mut self, at: Deferred, count: usize) {
        self.finish(at, if self.resp3 { b'~' } else { b'*' }, count);
    }

    /// Puts what comes before the elements that a scan found: the cursor to go on from, and how many they are.
    pub fn finish_scan(&mut self, at: Deferred, cursor: u64, count: usize) {
        let cursor = cursor.to_string();
        self.insert(at, &format!("*2\r\n${}\r\n{cursor}\r\n*{count}\r\n", cursor.len()));
    }

    fn finish(&mut self, at: Deferred, mark: u8, count: usize) {
        self.insert(at, &format!("{}{count}\r\n", mark as char));
    }

    fn insert(&mut self, at: Deferred, text: &str) {
        self.buf.splice(at.0..at.0, text.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::Out;

    fn written(resp3: bool, write: impl FnOnce(&mut Out)) -> String {
        let mut buf = Vec::new();
        write(&mut Out { buf: &mut buf, resp3 });
        String::from_utf8(buf).unwrap()
    }

    #[test]
    fn both_protocols() {
        type Write = fn(&mut Out);
        let cases: &[(Write, &str, &str)] = &[
            (|out| out.null(), "$-1\r\n", "_\r\n"),
            (|out| out.null_array(), "*-1\r\n", "_\r\n"),
            (|out| out.map(2), "*4\r\n", "%2\r\n"),
            (|out| out.set(2), "*2\r\n", "~2\r\n"),
            (|out| out.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|out| out.double(-0.012345678912), "$15\r\n-0.012345678912\r\n", ",-0.012345678912\r\n"),
            (|out| out.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (|out| out.boolean(true), ":1\r\n", "#t\r\n"),
            (|out| out.big_number("12"), "$2\r\n12\r\n", "(12\r\n"),
            (|out| out.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|out| out.error("ERR a\r\nb\r\n"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|out| out.integer(-7), ":-7\r\n", ":-7\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(false, write), *resp2);
            assert_eq!(written(true, write), *resp3);
        }
    }

    #[test]
    fn a_count_may_come_late() {
        let text = written(false, |out| {
            let at = out.deferred();
            out.integer(5);
            out.finish_array(at, 1);
        });
        assert_eq!(text, "*1\r\n:5\r\n");
        let text = written(false, |out| {
            out.integer(1);
            let at = out.deferred();
            out.bulk(b"a");
            out.finish_scan(at, 12, 1);
        });
        assert_eq!(text, ":1\r\n*2\r\n$2\r\n12\r\n*1\r\n$1\r\na\r\n");
    }
}
