//! The arguments of a command, and lists of commands that share a buffer.
//! In: bytes and the spans that the parser found in them. Out: `Args`, what a handler reads.

use std::ops::Index;

use crate::resp::Span;

/// The arguments of one command, its name first. Copying it copies two slices, no bytes.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    pub fn new(buf: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buf, spans }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        Some(&self.buf[span.start as usize..(span.start + span.len) as usize])
    }

    /// Argument `index`, with the lifetime of the buffer.
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).expect("arity was checked")
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> Args<'a> {
        Args { buf: self.buf, spans: &self.spans[index.min(self.spans.len())..] }
    }

    /// The first `count` arguments.
    pub fn first(&self, count: usize) -> Args<'a> {
        Args { buf: self.buf, spans: &self.spans[..count] }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone + use<'a> {
        let buf = self.buf;
        self.spans.iter().map(move |span| &buf[span.start as usize..(span.start + span.len) as usize])
    }

    /// Whether argument `index` is there and is `word`, whatever its case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];
    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

/// The shards that a command touches: a set of core numbers below 128.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ShardSet(u128);

/// The most cores that one server can have.
pub const CORES_MAX: usize = 128;

impl ShardSet {
    pub const EMPTY: ShardSet = ShardSet(0);

    #[inline]
    pub fn one(shard: usize) -> Self {
        ShardSet(1 << shard)
    }

    pub fn first(count: usize) -> Self {
        if count >= CORES_MAX { ShardSet(u128::MAX) } else { ShardSet((1 << count) - 1) }
    }

    #[inline]
    pub fn insert(&mut self, shard: usize) {
        self.0 |= 1 << shard;
    }

    #[inline]
    pub fn contains(self, shard: usize) -> bool {
        self.0 >> shard & 1 == 1
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub fn is_subset(self, of: ShardSet) -> bool {
        self.0 & !of.0 == 0
    }

    #[inline]
    pub fn union(self, other: ShardSet) -> ShardSet {
        ShardSet(self.0 | other.0)
    }

    pub fn minus(self, other: ShardSet) -> ShardSet {
        ShardSet(self.0 & !other.0)
    }

    /// The lowest shard of the set.
    pub fn lowest(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }

    /// The highest shard of the set.
    pub fn highest(self) -> Option<usize> {
        (self.0 != 0).then(|| 127 - self.0.leading_zeros() as usize)
    }

    /// The only shard of the set, if it has just one.
    #[inline]
    pub fn sole(self) -> Option<usize> {
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        let (half, above) = if high == 0 { (low, 0) } else { (high, 64) };
        let is_sole = half != 0 && half & (half - 1) == 0 && (above == 0 || low == 0);
        is_sole.then(|| half.trailing_zeros() as usize + above)
    }
}

/// One parsed command of a `Requests` list.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Row of the command table, or `Request::UNKNOWN`.
    pub command: u16,
    pub first_span: u32,
    pub argc: u32,
    /// Where its bytes begin and end in the buffer.
    pub begin: u32,
    pub end: u32,
    /// The shards of its keys, once routed.
    pub shards: ShardSet,
}

impl Request {
    pub const UNKNOWN: u16 = u16::MAX;
}

/// Parsed commands over one buffer, which the holder keeps beside it.
#[derive(Default, Debug)]
pub struct Requests {
    pub spans: Vec<Span>,
    pub list: Vec<Request>,
}

impl Requests {
    pub fn clear(&mut self) {
        self.spans.clear();
        self.list.clear();
    }

    pub fn args<'a>(&'a self, request: &Request, buf: &'a [u8]) -> Args<'a> {
        let first = request.first_span as usize;
        Args::new(buf, &self.spans[first..first + request.argc as usize])
    }

    /// Bytes beside those of the words.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&self.list[..]) + size_of_val(&self.spans[..])
    }

    /// Appends `request` of `from` (whose buffer is `from_buf`), copying its argument bytes behind `buf`.
    pub fn adopt(&mut self, buf: &mut Vec<u8>, request: &Request, from: &Requests, from_buf: &[u8]) {
        let first_span = self.spans.len() as u32;
        let begin = buf.len() as u32;
        let source = &from_buf[request.begin as usize..request.end as usize];
        buf.extend_from_slice(source);
        let first = request.first_span as usize;
        let spans = &from.spans[first..first + request.argc as usize];
        self.spans.extend(spans.iter().map(|s| Span { start: s.start - request.begin + begin, len: s.len }));
        self.list.push(Request { first_span, begin, end: buf.len() as u32, ..*request });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_one_tells_which() {
        for shard in 0..CORES_MAX {
            assert_eq!(ShardSet::one(shard).sole(), Some(shard));
            for other in (0..CORES_MAX).filter(|&other| other != shard) {
                assert_eq!(ShardSet::one(shard).union(ShardSet::one(other)).sole(), None, "{shard}, {other}");
            }
        }
        assert_eq!(ShardSet::EMPTY.sole(), None);
        assert_eq!(ShardSet::first(CORES_MAX).sole(), None);
    }
}
