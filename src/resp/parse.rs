//! Finds the arguments of requests in received bytes.
//!
//! In: the unread bytes of a connection. Out: spans of arguments, or Redis' words for what is wrong.
//! Invariants: P1, memory grows only with bytes received, never with lengths announced; P2, a request that arrives
//! in pieces is parsed once: the parser keeps how far it came, relative to the request's first byte.

use crate::base::quoted;
use std::fmt;

/// A byte range of one argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

/// What is accepted of a client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument, bytes.
    pub bulk_max: usize,
    /// Clients that have not authenticated may send small requests only.
    pub authenticated: bool,
    /// Longest inline request and longest header line, bytes.
    pub inline_max: usize,
}

/// A request that cannot be read; the connection ends after this reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtocolError(Vec<u8>);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.text()))
    }
}

impl ProtocolError {
    /// It may show a byte that is no text.
    pub fn text(&self) -> Vec<u8> {
        [b"Protocol error: ", &self.0[..]].concat()
    }
}

fn broken<T>(text: impl Into<Vec<u8>>) -> Result<T, ProtocolError> {
    Err(ProtocolError(text.into()))
}

/// What was found at the start of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole request: `argc` spans were pushed. `argc` 0: nothing to run.
    Ready { consumed: usize, argc: usize },
    /// A whole request in one line, its arguments unquoted.
    Inline { consumed: usize, args: Vec<Vec<u8>> },
    /// More bytes are needed.
    Incomplete,
}

/// Arguments of one request, at most.
const ARGUMENTS_MAX: i64 = i32::MAX as i64;
/// What a client may send before it has authenticated.
const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16384;

/// Progress within a request that is not complete yet (P2).
#[derive(Default)]
pub struct Parser {
    /// Bytes of the request that were understood.
    offset: usize,
    /// Arguments still to come, once the header was read.
    missing: Option<usize>,
    /// Length of the argument whose bytes come next.
    bulk: Option<usize>,
    /// Arguments found, relative to the request.
    spans: Vec<Span>,
}

impl Parser {
    /// Forgets a request that was begun: its bytes will be parsed anew.
    pub fn reset(&mut self) {
        self.offset = 0;
        self.missing = None;
        self.bulk = None;
        self.spans = Vec::new();
    }

    /// Bytes of the request that were understood; what follows them is part of an argument, or of a header.
    pub fn understood(&self) -> usize {
        self.offset
    }

    /// Memory that keeps what was found so far.
    pub fn memory_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
    }

    /// Whether a request was begun.
    pub fn in_progress(&self) -> bool {
        self.missing.is_some()
    }

    /// Parses one request at the start of `buf`; pushes its spans, shifted by `base`. After `Incomplete` the caller
    /// comes again with the same bytes and more.
    #[inline]
    pub fn next(
        &mut self,
        buf: &[u8],
        base: u32,
        spans: &mut Vec<Span>,
        limits: &Limits,
    ) -> Result<Step, ProtocolError> {
        // A span's start has 32 bits; what lies beyond them has to wait.
        let buf = &buf[..buf.len().min((u32::MAX - base) as usize)];
        match buf.first() {
            None => return Ok(Step::Incomplete),
            Some(b'*') if self.missing.is_none() => {
                let from = spans.len();
                if let Some(step) = whole(buf, base, spans, limits) {
                    return Ok(step);
                }
                spans.truncate(from);
            }
            Some(b'*') => {}
            Some(_) => return inline(buf, limits),
        }
        self.resume(buf, base, spans, limits)
    }

    /// The careful way: every check, every text, any split.
    fn resume(
        &mut self,
        buf: &[u8],
        base: u32,
        spans: &mut Vec<Span>,
        limits: &Limits,
    ) -> Result<Step, ProtocolError> {
        let missing = match self.missing {
            Some(missing) => missing,
            None => match self.header(buf, limits)? {
                None => return Ok(Step::Incomplete),
                Some(0) => {
                    let consumed = self.offset;
                    self.reset();
                    return Ok(Step::Ready { consumed, argc: 0 });
                }
                Some(count) => count,
            },
        };
        for done in 0..missing {
            if !self.argument(buf, limits)? {
                self.missing = Some(missing - done);
                return Ok(Step::Incomplete);
            }
        }
        let argc = self.spans.len();
        let consumed = self.offset;
        spans.extend(self.spans.iter().map(|span| Span { start: span.start + base, len: span.len }));
        self.reset();
        Ok(Step::Ready { consumed, argc })
    }

    /// Reads `*count`. None: incomplete.
    fn header(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = line(&buf[1..], limits, "too big mbulk count string")? else { return Ok(None) };
        let count = crate::base::number::parse_i64(line);
        let count = match count {
            Some(count) if count <= ARGUMENTS_MAX => count,
            _ => return broken("invalid multibulk length"),
        };
        if count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated {
            return broken("unauthenticated multibulk length");
        }
        self.offset = 1 + line.len() + 2;
        Ok(Some(count.max(0) as usize))
    }

    /// Reads one argument. False: incomplete.
    fn argument(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let len = match self.bulk {
            Some(len) => len,
            None => match self.bulk_header(buf, limits)? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        if buf.len() - self.offset < len + 2 {
            self.bulk = Some(len);
            return Ok(false);
        }
        self.spans.push(Span { start: self.offset as u32, len: len as u32 });
        self.offset += len + 2;
        self.bulk = None;
        Ok(true)
    }

    fn bulk_header(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let rest = &buf[self.offset..];
        let Some(line) = line(rest, limits, "too big bulk count string")? else { return Ok(None) };
        if line.first() != Some(&b'$') {
            let got = line.first().copied().unwrap_or(b'\r');
            return broken([b"expected '$', got '", &[got][..], b"'"].concat());
        }
        let len = match crate::base::number::parse_i64(&line[1..]) {
            Some(len) if len >= 0 && len as u64 <= limits.bulk_max.min(u32::MAX as usize / 2) as u64 => len,
            _ => return broken("invalid bulk length"),
        };
        if len > UNAUTHENTICATED_BULK_MAX && !limits.authenticated {
            return broken("unauthenticated bulk length");
        }
        self.offset += line.len() + 2;
        Ok(Some(len as usize))
    }
}

/// A header line up to its `\r\n`. None: incomplete.
fn line<'a>(rest: &'a [u8], limits: &Limits, too_long: &str) -> Result<Option<&'a [u8]>, ProtocolError> {
    let window = &rest[..rest.len().min(limits.inline_max + 1)];
    match memchr::memchr(b'\r', window) {
        Some(end) if end + 1 < rest.len() => Ok(Some(&rest[..end])),
        Some(_) => Ok(None),
        None if rest.len() > limits.inline_max => broken(too_long),
        None => Ok(None),
    }
}

/// The quick way: a request that is whole and plain. None: look carefully.
#[inline]
fn whole(buf: &[u8], base: u32, spans: &mut Vec<Span>, limits: &Limits) -> Option<Step> {
    let (count, mut at) = small_number(buf, 1)?;
    if count == 0 || !limits.authenticated {
        return None;
    }
    for _ in 0..count {
        if *buf.get(at)? != b'$' {
            return None;
        }
        let (len, start) = small_number(buf, at + 1)?;
        at = start + len + 2;
        if at > buf.len() || len > limits.bulk_max {
            return None;
        }
        spans.push(Span { start: start as u32 + base, len: len as u32 });
    }
    Some(Step::Ready { consumed: at, argc: count })
}

/// Up to six digits and `\r\n` from `at` on: the number, and where it goes on. Most have one or two.
#[inline]
fn small_number(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    if let Some(&[first, second, third, fourth]) = buf.get(at..).and_then(|rest| rest.first_chunk()) {
        let (tens, ones) = (first.wrapping_sub(b'0'), second.wrapping_sub(b'0'));
        if tens < 10 && [second, third] == *b"\r\n" {
            return Some((tens as usize, at + 3));
        }
        if (1..10).contains(&tens) && ones < 10 && [third, fourth] == *b"\r\n" {
            return Some((tens as usize * 10 + ones as usize, at + 4));
        }
    }
    larger_number(buf, at)
}

fn larger_number(buf: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    let from = at;
    loop {
        let digit = buf.get(at)?.wrapping_sub(b'0');
        if digit > 9 || at - from > 6 {
            break;
        }
        value = value * 10 + digit as usize;
        at += 1;
    }
    let plain = (1..=6).contains(&(at - from)) && (buf[from] != b'0' || at - from == 1);
    (plain && buf[at] == b'\r' && at + 1 < buf.len()).then_some((value, at + 2))
}

/// A request in one line, as people type it.
fn inline(buf: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
    let window = &buf[..buf.len().min(limits.inline_max + 1)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if buf.len() > limits.inline_max {
            broken("too big inline request")
        } else {
            Ok(Step::Incomplete)
        };
    };
    let line = buf[..end].strip_suffix(b"\r").unwrap_or(&buf[..end]);
    match quoted::split(line) {
        None => broken("unbalanced quotes in request"),
        Some(args) if args.is_empty() => Ok(Step::Ready { consumed: end + 1, argc: 0 }),
        Some(args) => Ok(Step::Inline { consumed: end + 1, args }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true, inline_max: 64 << 10 };

    /// Feeds `bytes` cut at `cuts`; returns all requests, or the error's text.
    fn parse_all(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, String> {
        let (mut parser, mut input, mut requests) = (Parser::default(), Vec::new(), Vec::new());
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort();
        let mut from = 0;
        for end in ends {
            input.extend_from_slice(&bytes[from..end]);
            from = end;
            loop {
                let mut spans = Vec::new();
                match parser.next(&input, 0, &mut spans, &LIMITS).map_err(|error| error.to_string())? {
                    Step::Incomplete => break,
                    Step::Ready { consumed, argc } => {
                        assert_eq!(spans.len(), argc);
                        let arg = |span: &Span| {
                            input[span.start as usize..(span.start + span.len) as usize].to_vec()
                        };
                        if argc > 0 {
                            requests.push(spans.iter().map(arg).collect());
                        }
                        input.drain(..consumed);
                    }
                    Step::Inline { consumed, args } => {
                        requests.push(args);
                        input.drain(..consumed);
                    }
                }
            }
        }
        Ok(requests)
    }

    fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for request in requests {
            bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for arg in request {
                bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                bytes.extend_from_slice(arg);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn requests_survive_any_split(
            requests in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 0..6),
            cuts in prop::collection::vec(0usize..400, 0..6),
        ) {
            prop_assert_eq!(parse_all(&encode(&requests), &cuts), Ok(requests));
        }

        #[test]
        fn random_bytes_never_panic_and_split_alike(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"*$\r\n0123456789-\"'\\ ".to_vec())], 0..200),
            cuts in prop::collection::vec(0usize..200, 0..4),
        ) {
            prop_assert_eq!(parse_all(&bytes, &cuts), parse_all(&bytes, &[]));
        }
    }

    #[test]
    fn bad_input_is_named_as_redis_names_it() {
        for (bytes, text) in [
            (&b"*3000000000\r\n"[..], "invalid multibulk length"),
            (b"*x\r\n", "invalid multibulk length"),
            (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$999999999999\r\n", "invalid bulk length"),
            (b"*1\r\n$blabla\r\n", "invalid bulk length"),
            (b"set \"x\r\n", "unbalanced quotes in request"),
            (b"set \"\"\"test-key\"\"\" v\r\n", "unbalanced quotes in request"),
        ] {
            assert_eq!(parse_all(bytes, &[]), Err(format!("Protocol error: {text}")));
        }
        assert_eq!(
            parse_all(&b"x".repeat(70_000), &[]),
            Err("Protocol error: too big inline request".into())
        );
        let endless = [b"*", &b"1".repeat(70_000)[..]].concat();
        assert_eq!(parse_all(&endless, &[]), Err("Protocol error: too big mbulk count string".into()));
    }

    #[test]
    fn a_million_announced_arguments_cost_nothing() {
        let (mut parser, mut spans) = (Parser::default(), Vec::new());
        assert_eq!(parser.next(b"*1000000\r\n$3\r\nSET\r\n", 0, &mut spans, &LIMITS), Ok(Step::Incomplete));
        assert!(parser.spans.capacity() < 16 && spans.capacity() < 16);
    }

    #[test]
    fn strangers_may_send_little() {
        let limits = Limits { authenticated: false, ..LIMITS };
        let (mut parser, mut spans) = (Parser::default(), Vec::new());
        let mut step = |bytes: &[u8]| parser.next(bytes, 0, &mut spans, &limits).unwrap_err().to_string();
        assert_eq!(step(b"*11\r\n"), "Protocol error: unauthenticated multibulk length");
        assert_eq!(step(b"*1\r\n$16385\r\n"), "Protocol error: unauthenticated bulk length");
    }

    #[test]
    fn inline_arguments_are_unquoted() {
        let split = |line: &str| quoted::split(line.as_bytes());
        let words =
            |words: &[&str]| Some(words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(split(" set  k \"a\\x41 b\\n\" 'it\\'s'"), words(&["set", "k", "aA b\n", "it's"]));
        assert_eq!(split("\"a\"b"), None);
        assert_eq!(split(""), words(&[]));
    }
}
