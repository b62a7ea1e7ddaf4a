//! Reads commands from a log that comes in portions.
//! In: portions of any size. Out: commands, one after the other. Absent: what they do, an RDB file before them.
//!
//! 1. Memory is in proportion to what was fed and not read, whatever lengths the log claims.
//! 2. A command that waits for bytes is not parsed again from its beginning.
//! 3. `good` only grows, and what is before it is whole commands and whole transactions.

use crate::base::number::parse_i64;
use std::fmt;
use std::ops::Range;

/// Counts and lengths have no more.
const DIGITS_MAX: usize = 18;
const ANNOTATION_BYTES_MAX: usize = 1024;
const LINE_END: &[u8; 2] = b"\r\n";

/// What is in a log.
#[derive(Debug)]
pub enum Event<'a> {
    Command(Command<'a>),
    /// When what follows was written, in Unix seconds.
    Timestamp(i64),
}

/// A command, with at least one argument, which is its name.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// Where it begins in the file.
    pub offset: u64,
    /// As it was read.
    pub bytes: &'a [u8],
    /// Where its arguments are among the bytes.
    pub spans: &'a [Range<usize>],
}

impl<'a> Command<'a> {
    pub fn arg(self, index: usize) -> &'a [u8] {
        &self.bytes[self.spans[index].clone()]
    }

    pub fn args(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.spans.iter().map(move |span| &self.bytes[span.clone()])
    }
}

/// What is wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Of the byte that is not as it should be.
    pub offset: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something else than a command or an annotation.
    Format(&'static str),
    /// It ends within a command.
    Cut,
    /// It ends within a transaction.
    OpenTransaction,
    /// MULTI within a transaction.
    Multi,
    /// EXEC without one.
    Exec,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "0x{:16x}: {}", self.offset, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            What::Format(text) => text,
            What::Cut => "Unexpected end of file within a command",
            What::OpenTransaction => "Reached EOF before reading EXEC for MULTI",
            What::Multi => "Unexpected MULTI",
            What::Exec => "Unexpected EXEC",
        })
    }
}

/// A log that is being read.
#[derive(Debug)]
pub struct Reader {
    /// What was fed, without most of what was read.
    buffer: Vec<u8>,
    /// Where the next command begins in the buffer.
    begin: usize,
    /// Where the buffer begins in the file.
    offset: u64,
    /// The line that comes next, from 1; line ends within arguments do not count.
    line: u64,
    /// How far the command is parsed, from its beginning.
    parsed: usize,
    /// How many arguments are still to come; None before the count was read.
    left: Option<usize>,
    /// How long the argument is whose bytes come next.
    length: Option<usize>,
    /// The arguments that were found.
    spans: Vec<Range<usize>>,
    /// Where the transaction began that is not over.
    transaction: Option<u64>,
}

impl Reader {
    /// `offset`: where the first portion is in the file.
    pub fn new(offset: u64) -> Reader {
        Reader {
            buffer: Vec::new(),
            begin: 0,
            offset,
            line: 1,
            parsed: 0,
            left: None,
            length: None,
            spans: Vec::new(),
            transaction: None,
        }
    }

    /// Adds a portion, which follows the one before.
    pub fn feed(&mut self, portion: &[u8]) {
        const BUFFER_BYTES_MAX: usize = 16 << 20;
        self.buffer.drain(..self.begin);
        self.offset += self.begin as u64;
        self.begin = 0;
        if self.buffer.capacity() > BUFFER_BYTES_MAX && self.buffer.len() < BUFFER_BYTES_MAX / 2 {
            self.buffer.shrink_to(BUFFER_BYTES_MAX / 2);
        }
        self.buffer.extend_from_slice(portion);
    }

    /// Where the log is good up to: behind the last command, or before the transaction that it is in.
    pub fn good(&self) -> u64 {
        self.transaction.unwrap_or(self.offset + self.begin as u64)
    }

    /// The line at which reading stands, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Says whether the log may end where the last portion ended.
    pub fn end(&self) -> Result<(), Error> {
        let offset = self.offset + self.buffer.len() as u64;
        if self.begin < self.buffer.len() {
            return Err(Error { offset, what: What::Cut });
        }
        match self.transaction {
            Some(_) => Err(Error { offset, what: What::OpenTransaction }),
            None => Ok(()),
        }
    }

    /// The next command; None if more bytes are needed. After an error there is nothing more.
    #[allow(clippy::should_implement_trait)] // Events borrow from the reader.
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        while self.left.is_none() {
            match self.buffer.get(self.begin) {
                None => return Ok(None),
                Some(b'#') => match self.annotation()? {
                    None => return Ok(None),
                    Some(Some(seconds)) => return Ok(Some(Event::Timestamp(seconds))),
                    Some(None) => {}
                },
                Some(_) => {
                    let Some(count) = self.head(b'*')? else { return Ok(None) };
                    if count == 0 {
                        return Err(self.wrong(self.parsed, "A command without arguments"));
                    }
                    self.left = Some(count);
                }
            }
        }
        while self.left != Some(0) {
            if !self.argument()? {
                return Ok(None);
            }
        }
        self.command().map(|command| Some(Event::Command(command)))
    }

    fn command(&mut self) -> Result<Command<'_>, Error> {
        let (begin, offset) = (self.begin, self.offset + self.begin as u64);
        let bytes = begin..begin + self.parsed;
        let name = &self.buffer[bytes.clone()][self.spans[0].clone()];
        if name.eq_ignore_ascii_case(b"multi") {
            if self.transaction.is_some() {
                return Err(Error { offset, what: What::Multi });
            }
            self.transaction = Some(offset);
        } else if name.eq_ignore_ascii_case(b"exec") && self.transaction.take().is_none() {
            return Err(Error { offset, what: What::Exec });
        }
        (self.begin, self.parsed, self.left) = (bytes.end, 0, None);
        Ok(Command { offset, bytes: &self.buffer[bytes], spans: &self.spans })
    }

    /// Reads an annotation: None if it is not there as a whole, else the time if it is one.
    fn annotation(&mut self) -> Result<Option<Option<i64>>, Error> {
        let rest = &self.buffer[self.begin..];
        let rest = &rest[..rest.len().min(ANNOTATION_BYTES_MAX)];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            let whole = rest.len() == ANNOTATION_BYTES_MAX;
            return if whole { Err(self.wrong(0, "An annotation without an end")) } else { Ok(None) };
        };
        let seconds = rest[..end].trim_ascii_end().strip_prefix(b"#TS:").and_then(parse_i64);
        self.begin += end + 1;
        self.line += 1;
        self.spans.clear();
        Ok(Some(seconds))
    }

    /// Reads a count or length behind its mark; None if it is not there as a whole.
    fn head(&mut self, mark: u8) -> Result<Option<usize>, Error> {
        let rest = &self.buffer[self.begin + self.parsed..];
        match rest.first() {
            None => return Ok(None),
            Some(&first) if first != mark => {
                let text = if mark == b'*' {
                    "Expected a command, which begins with '*'"
                } else {
                    "Expected an argument, which begins with '$'"
                };
                return Err(self.wrong(self.parsed, text));
            }
            Some(_) => {}
        }
        let (number, bytes) = match number(&rest[1..]) {
            Ok(Some((number, bytes))) => (number, 1 + bytes),
            Ok(None) => return Ok(None),
            Err((at, text)) => return Err(self.wrong(self.parsed + 1 + at, text)),
        };
        if mark == b'*' {
            self.spans.clear();
        }
        self.parsed += bytes;
        self.line += 1;
        Ok(Some(number))
    }

    /// Reads an argument; false if it is not there as a whole.
    fn argument(&mut self) -> Result<bool, Error> {
        if self.length.is_none() {
            self.length = self.head(b'$')?;
        }
        let Some(length) = self.length else { return Ok(false) };
        let span = self.parsed..self.parsed + length;
        let there = &self.buffer[self.begin..];
        match there.get(span.end..).map(|rest| &rest[..rest.len().min(LINE_END.len())]) {
            Some(end) if end == LINE_END => {}
            Some(end) if !LINE_END.starts_with(end) => {
                let at = span.end + usize::from(end[0] == LINE_END[0]);
                return Err(self.wrong(at, "Expected \\r\\n behind an argument"));
            }
            _ => return Ok(false),
        }
        self.parsed = span.end + LINE_END.len();
        self.line += 1;
        self.length = None;
        self.spans.push(span);
        self.left = self.left.map(|left| left - 1);
        Ok(true)
    }

    /// An error so many bytes behind the beginning of the command.
    fn wrong(&self, at: usize, text: &'static str) -> Error {
        Error { offset: self.offset + (self.begin + at) as u64, what: What::Format(text) }
    }
}

/// A number and its line end, and how many bytes they are; None if they are not there as a whole. An error says which byte
/// is wrong: the first, however many there are.
fn number(text: &[u8]) -> Result<Option<(usize, usize)>, (usize, &'static str)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > DIGITS_MAX {
        return Err((DIGITS_MAX, "A number that is too large"));
    }
    match &text[digits..] {
        [] | [b'\r'] if digits > 0 || text.is_empty() => Ok(None),
        [b'\r', b'\n', ..] if digits > 0 => {
            let number =
                text[..digits].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            Ok(Some((number, digits + LINE_END.len())))
        }
        [b'\r', ..] if digits > 0 => Err((digits + 1, "Expected \\n")),
        _ => Err((digits, "Expected a number and \\r\\n")),
    }
}

#[cfg(test)]
mod tests;
