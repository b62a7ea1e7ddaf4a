//! Replies as a client reads them, in both protocols, and the way tests write them down.

use std::fmt;

/// One reply, or one expectation of a reply.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    /// The null bulk, the null array, and RESP3's null: a test does not tell them apart.
    Null,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Double(String),
    Boolean(bool),
    BigNumber(String),
    Verbatim(Vec<u8>),
    /// Only as an expectation: any reply.
    Any,
    /// Only as an expectation: an array or a set with these elements, in any order.
    Unordered(Vec<Reply>),
    /// Only as an expectation: a map with these entries, in any order.
    UnorderedMap(Vec<(Reply, Reply)>),
}

impl Reply {
    /// What is left of it after it was a Lua value. None: something is lost. A double holds no integer above 2^53, and 17 digits; maps
    /// and sets come in any order; a null of RESP3 is nil, at which an array ends, and which no map or set holds.
    pub fn through_lua(&self, resp3: bool) -> Option<Reply> {
        let inner = |reply: &Reply| match reply {
            Reply::Null | Reply::Any if resp3 => None,
            reply => reply.through_lua(resp3),
        };
        let all = |list: &[Reply]| list.iter().map(inner).collect::<Option<Vec<Reply>>>();
        let pair = |(key, value): &(Reply, Reply)| Some((inner(key)?, inner(value)?));
        match self {
            Reply::Integer(value) => (value.unsigned_abs() <= 1 << 53).then(|| self.clone()),
            // GEOPOS has more digits than a double.
            Reply::Double(text) => {
                let same = |value: f64| value.to_string() == *text;
                text.parse().is_ok_and(same).then(|| self.clone())
            }
            Reply::Array(list) => all(list).map(Reply::Array),
            Reply::Set(list) | Reply::Unordered(list) => all(list).map(Reply::Unordered),
            Reply::Map(pairs) => pairs.iter().map(pair).collect::<Option<_>>().map(Reply::UnorderedMap),
            reply => Some(reply.clone()),
        }
    }

    /// Parses the reply at the start of `bytes`. None: it is incomplete. Otherwise the reply and its length.
    pub fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
        let after = end + 2;
        let count = || line.parse::<i64>().unwrap_or_else(|_| panic!("a count in {line:?}"));
        let plain = |reply| Some((reply, after));
        match bytes[0] {
            b'+' => plain(Reply::Simple(line)),
            b'-' => plain(Reply::Error(line)),
            b':' => plain(Reply::Integer(count())),
            b',' => plain(Reply::Double(line)),
            b'(' => plain(Reply::BigNumber(line)),
            b'#' => plain(Reply::Boolean(line == "t")),
            b'_' => plain(Reply::Null),
            b'$' | b'*' if count() < 0 => plain(Reply::Null),
            mark @ (b'$' | b'=') => {
                let len = count() as usize;
                let text = bytes.get(after..after + len + 2)?;
                assert_eq!(&text[len..], b"\r\n", "a bulk ends with a line end");
                let text = text[..len].to_vec();
                let reply = if mark == b'$' { Reply::Bulk(text) } else { Reply::Verbatim(text) };
                Some((reply, after + len + 2))
            }
            mark @ (b'*' | b'~' | b'>' | b'%') => {
                let pairs = if mark == b'%' { 2 } else { 1 };
                let (elements, used) = parse_many(&bytes[after..], count() as usize * pairs)?;
                let reply = match mark {
                    b'*' => Reply::Array(elements),
                    b'~' => Reply::Set(elements),
                    b'>' => Reply::Push(elements),
                    _ => Reply::Map(
                        elements.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
                    ),
                };
                Some((reply, after + used))
            }
            mark => panic!("no reply begins with {:?}: {:?}", mark as char, String::from_utf8_lossy(bytes)),
        }
    }

    /// Whether `got` is what this expectation says.
    pub fn matches(&self, got: &Reply) -> bool {
        let all = |wanted: &[Reply], got: &[Reply]| {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| wanted.matches(got))
        };
        match (self, got) {
            (Reply::Any, _) => true,
            (Reply::Array(wanted), Reply::Array(got))
            | (Reply::Set(wanted), Reply::Set(got))
            | (Reply::Push(wanted), Reply::Push(got)) => all(wanted, got),
            (Reply::Map(wanted), Reply::Map(got)) => {
                let same =
                    |((a, b), (c, d)): (&(Reply, Reply), &(Reply, Reply))| a.matches(c) && b.matches(d);
                wanted.len() == got.len() && wanted.iter().zip(got).all(same)
            }
            (Reply::Unordered(wanted), Reply::Array(got) | Reply::Set(got)) => {
                in_any_order(wanted, got, |wanted, got| wanted.matches(got))
            }
            (Reply::UnorderedMap(wanted), Reply::Map(got)) => {
                in_any_order(wanted, got, |(a, b), (c, d)| a.matches(c) && b.matches(d))
            }
            // The notation cannot write blanks at the end.
            (Reply::Error(wanted), Reply::Error(got)) => wanted.trim_end() == got.trim_end(),
            (wanted, got) => wanted == got,
        }
    }
}

/// Whether each that is wanted has one of its own among those that came.
fn in_any_order<T>(wanted: &[T], got: &[T], matches: impl Fn(&T, &T) -> bool) -> bool {
    let mut left: Vec<&T> = got.iter().collect();
    let mut take = |wanted: &T| match left.iter().position(|got| matches(wanted, got)) {
        Some(at) => {
            left.swap_remove(at);
            true
        }
        None => false,
    };
    wanted.len() == got.len() && wanted.iter().all(&mut take)
}

fn parse_many(bytes: &[u8], count: usize) -> Option<(Vec<Reply>, usize)> {
    let (mut elements, mut used) = (Vec::new(), 0);
    for _ in 0..count {
        let (element, len) = Reply::parse(&bytes[used..])?;
        elements.push(element);
        used += len;
    }
    Some((elements, used))
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |f: &mut fmt::Formatter, open: &str, elements: &[Reply]| {
            let texts: Vec<String> = elements.iter().map(Reply::to_string).collect();
            write!(f, "{open}{}]", texts.join(" "))
        };
        match self {
            Reply::Simple(text) => write!(f, "{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(value) => write!(f, "{value}"),
            Reply::Bulk(bytes) => write!(f, "{}", quoted(bytes)),
            Reply::Null => write!(f, "nil"),
            Reply::Array(elements) => list(f, "[", elements),
            Reply::Set(elements) => list(f, "~[", elements),
            Reply::Push(elements) => list(f, ">[", elements),
            Reply::Unordered(elements) => list(f, "?[", elements),
            Reply::Map(pairs) | Reply::UnorderedMap(pairs) => {
                let texts: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                write!(f, "{{{}}}", texts.join(" "))
            }
            Reply::Double(text) => write!(f, ",{text}"),
            Reply::Boolean(value) => write!(f, "#{}", if *value { 't' } else { 'f' }),
            Reply::BigNumber(digits) => write!(f, "({digits}"),
            Reply::Verbatim(bytes) => write!(f, "={}", quoted(bytes)),
            Reply::Any => write!(f, "*"),
        }
    }
}

/// Bytes in quotes, escaped as tests write them.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    crate::commands::monitor::append_quoted(&mut text, bytes);
    String::from_utf8(text).expect("quoted text is ASCII")
}
