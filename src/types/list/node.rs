//! A node of a long list: a listpack with free room at both ends, or one large element as it is.
//! In: elements. Out: elements, and the node's bytes as a listpack.
//! Absent: how much belongs in one node, and neighbours (see `quicklist`).
//!
//! ```text
//! buf:  | room … | listpack: head, elements, end | spare capacity … |
//!                ^ start                         ^ buf.len()
//! ```
//!
//! To put an element before the others, only the six bytes of the head move.
//!
//! 1. `buf[start..]` is a sound listpack of `count` elements.

use super::super::listpack::{self, Element, Encoded, HEAD_BYTES, Place};

/// A node.
#[derive(Debug)]
pub enum Node {
    Pack(Pack),
    /// An element too large to share a node.
    Plain(Box<[u8]>),
}

impl Node {
    /// How many elements.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Node::Pack(pack) => pack.len(),
            Node::Plain(_) => 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes.
    #[inline]
    pub fn bytes_allocated(&self) -> usize {
        match self {
            Node::Pack(pack) => pack.buf.capacity(),
            Node::Plain(bytes) => bytes.len(),
        }
    }

    /// Element `index`, which is below `len`.
    pub fn get(&self, index: usize) -> Element<'_> {
        match self {
            Node::Pack(pack) => {
                let place = listpack::nth(pack.as_listpack(), index as i64).expect("index is below len");
                listpack::get(pack.as_listpack(), place)
            }
            Node::Plain(bytes) => Element::Bytes(bytes),
        }
    }

    /// A copy without spare memory.
    pub fn duplicate(&self) -> Node {
        match self {
            Node::Pack(pack) => Node::Pack(Pack::from_listpack(pack.as_listpack().to_vec())),
            Node::Plain(bytes) => Node::Plain(bytes.clone()),
        }
    }

    pub fn iter(&self) -> NodeIter<'_> {
        self.slice(0, self.len())
    }

    /// The elements `from..to`.
    pub fn slice(&self, from: usize, to: usize) -> NodeIter<'_> {
        match self {
            Node::Pack(pack) => NodeIter::Pack(listpack::slice(pack.as_listpack(), from, to)),
            Node::Plain(bytes) => NodeIter::Plain((from < to).then_some(bytes)),
        }
    }
}

/// The elements of a node, from both ends.
#[derive(Clone)]
pub enum NodeIter<'a> {
    Pack(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl NodeIter<'_> {
    pub const EMPTY: NodeIter<'static> = NodeIter::Plain(None);
}

impl<'a> Iterator for NodeIter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            NodeIter::Pack(elements) => elements.next(),
            NodeIter::Plain(element) => element.take().map(Element::Bytes),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            NodeIter::Pack(elements) => elements.size_hint(),
            NodeIter::Plain(element) => (element.iter().len(), Some(element.iter().len())),
        }
    }
}

impl DoubleEndedIterator for NodeIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            NodeIter::Pack(elements) => elements.next_back(),
            NodeIter::Plain(element) => element.take().map(Element::Bytes),
        }
    }
}

impl ExactSizeIterator for NodeIter<'_> {}

/// A listpack that grows at both ends.
#[derive(Debug)]
pub struct Pack {
    buf: Vec<u8>,
    start: u32,
    count: u32,
}

/// The least memory that a growing node asks for.
const CAPACITY_MIN: usize = 64;

impl Pack {
    /// An empty one with `room` bytes before it.
    pub fn with_room_before(room: usize) -> Pack {
        let mut buf = vec![0; room + listpack::EMPTY_BYTES];
        buf[room + HEAD_BYTES] = listpack::END;
        Pack { buf, start: room as u32, count: 0 }.with_head()
    }

    /// An empty one with `room` bytes behind it.
    pub fn with_room_behind(room: usize) -> Pack {
        let mut buf = Vec::with_capacity(room + listpack::EMPTY_BYTES);
        listpack::clear(&mut buf);
        Pack { buf, start: 0, count: 0 }
    }

    pub fn from_listpack(buf: Vec<u8>) -> Pack {
        let count = listpack::len(&buf) as u32;
        Pack { buf, start: 0, count }
    }

    /// The listpack without spare memory.
    pub fn into_listpack(mut self) -> Vec<u8> {
        self.shrink();
        self.buf
    }

    fn with_head(mut self) -> Pack {
        self.set_head();
        self
    }

    #[inline]
    pub fn as_listpack(&self) -> &[u8] {
        &self.buf[self.start as usize..]
    }

    /// Bytes as a listpack.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.buf.len() - self.start as usize
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    fn set_head(&mut self) {
        listpack::set_head(&mut self.buf[self.start as usize..], self.count as usize);
    }

    /// Adds an element behind the others.
    #[inline]
    pub fn push_back(&mut self, element: &Encoded) {
        let more = element.bytes();
        self.reserve_behind(more);
        let at = self.buf.len() - 1;
        self.buf.resize(at + more, 0);
        element.write(&mut self.buf[at..]);
        self.buf.push(listpack::END);
        self.count += 1;
        self.set_head();
    }

    /// Adds an element before the others.
    #[inline]
    pub fn push_front(&mut self, element: &Encoded) {
        let more = element.bytes();
        self.reserve_before(more);
        self.start -= more as u32;
        let at = self.start as usize + HEAD_BYTES;
        element.write(&mut self.buf[at..at + more]);
        self.count += 1;
        self.set_head();
    }

    /// Puts an element before that one, or before the end.
    pub fn insert(&mut self, before: Place, element: &Encoded) {
        self.splice(before.offset(), 0, element.bytes());
        self.write_at(before.offset(), element);
        self.count += 1;
        self.set_head();
    }

    pub fn replace(&mut self, place: Place, element: &Encoded) {
        let old = listpack::place_behind(self.as_listpack(), place).offset() - place.offset();
        self.splice(place.offset(), old, element.bytes());
        self.write_at(place.offset(), element);
        self.set_head();
    }

    fn write_at(&mut self, offset: usize, element: &Encoded) {
        let at = self.start as usize + offset;
        element.write(&mut self.buf[at..at + element.bytes()]);
    }

    /// Takes out `count` elements that lie between two places.
    pub fn remove(&mut self, from: Place, to: Place, count: usize) {
        self.splice(from.offset(), to.offset() - from.offset(), 0);
        self.count -= count as u32;
        self.set_head();
    }

    /// Takes out the first `count` elements.
    #[inline]
    pub fn remove_front(&mut self, count: usize) {
        let pack = self.as_listpack();
        let from = listpack::first(pack).expect("there are that many");
        let to = match count {
            1 => listpack::place_behind(pack, from),
            _ => self.place(count),
        };
        self.remove(from, to, count);
    }

    /// Takes out the last `count` elements.
    #[inline]
    pub fn remove_back(&mut self, count: usize) {
        let pack = self.as_listpack();
        let from = match count {
            1 => listpack::last(pack).expect("there are that many"),
            _ => self.place(self.len() - count),
        };
        self.remove(from, listpack::end(pack), count);
    }

    /// Where element `index` is; the end for that behind the last.
    pub fn place(&self, index: usize) -> Place {
        let pack = self.as_listpack();
        listpack::nth(pack, index as i64).unwrap_or(listpack::end(pack))
    }

    /// Takes out the elements at these places, in ascending order.
    pub fn remove_each(&mut self, places: &[Place]) {
        let [first, ..] = places else { return };
        let base = self.start as usize;
        let mut to = base + first.offset();
        for (i, place) in places.iter().enumerate() {
            let kept = listpack::place_behind(&self.buf[base..], *place).offset();
            let until = places.get(i + 1).map_or(self.buf.len() - base, |next| next.offset());
            self.buf.copy_within(base + kept..base + until, to);
            to += until - kept;
        }
        self.buf.truncate(to);
        self.count -= places.len() as u32;
        self.set_head();
        self.shrink_if_sparse();
    }

    /// Splits off the elements from that place, the `index`-th, on.
    pub fn split_off(&mut self, place: Place, index: usize) -> Pack {
        let tail = &self.as_listpack()[place.offset()..];
        let mut pack = Pack::with_room_behind(tail.len());
        pack.buf.truncate(HEAD_BYTES);
        pack.buf.extend_from_slice(tail);
        pack.count = self.count - index as u32;
        self.buf.truncate(self.start as usize + place.offset());
        self.buf.push(listpack::END);
        self.count = index as u32;
        self.set_head();
        self.shrink_if_sparse();
        pack.with_head()
    }

    /// Takes over the elements of the next node.
    pub fn append(&mut self, other: &Pack) {
        let elements = &other.as_listpack()[HEAD_BYTES..];
        self.reserve_behind(elements.len());
        self.buf.pop();
        self.buf.extend_from_slice(elements);
        self.count += other.count;
        self.set_head();
    }

    /// Gives spare memory back, if it is worth it: for a node that will not grow for now.
    pub fn seal(&mut self) {
        if self.buf.capacity() - self.bytes() > self.bytes() / 8 + CAPACITY_MIN {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.buf.drain(..self.start as usize);
        self.start = 0;
        self.buf.shrink_to_fit();
    }

    fn shrink_if_sparse(&mut self) {
        if self.buf.capacity() > CAPACITY_MIN && self.bytes() < self.buf.capacity() / 4 {
            self.shrink();
        }
    }

    /// Makes `new` bytes of the `old` ones at `offset`, moving the shorter side, if there is room on it.
    fn splice(&mut self, offset: usize, old: usize, new: usize) {
        let behind = self.bytes() - offset - old;
        let move_front = offset <= HEAD_BYTES || offset < behind;
        if new > old {
            let more = new - old;
            if move_front && self.start as usize >= more {
                let start = self.start as usize;
                self.buf.copy_within(start..start + offset, start - more);
                self.start -= more as u32;
            } else {
                self.reserve_behind(more);
                let (at, len) = (self.start as usize + offset, self.buf.len());
                self.buf.resize(len + more, 0);
                self.buf.copy_within(at + old..len, at + new);
            }
        } else {
            let (start, less) = (self.start as usize, old - new);
            if move_front {
                self.buf.copy_within(start..start + offset, start + less);
                self.start += less as u32;
            } else {
                let at = start + offset;
                self.buf.copy_within(at + old.., at + new);
                self.buf.truncate(self.buf.len() - less);
            }
        }
    }

    /// Makes room behind: of what lies idle before, if that is much, or else of more memory.
    #[inline]
    fn reserve_behind(&mut self, more: usize) {
        if self.buf.capacity() - self.buf.len() < more {
            self.make_room_behind(more);
        }
    }

    #[cold]
    fn make_room_behind(&mut self, more: usize) {
        let (start, live) = (self.start as usize, self.bytes());
        if start >= more && start >= live / 2 {
            self.buf.copy_within(start.., 0);
            self.buf.truncate(live);
        } else {
            let mut buf = Vec::with_capacity(Self::grown(live + more));
            buf.extend_from_slice(self.as_listpack());
            self.buf = buf;
        }
        self.start = 0;
    }

    /// The same, before.
    #[inline]
    fn reserve_before(&mut self, more: usize) {
        if (self.start as usize) < more {
            self.make_room_before(more);
        }
    }

    #[cold]
    fn make_room_before(&mut self, more: usize) {
        let (start, live, len) = (self.start as usize, self.bytes(), self.buf.len());
        let spare = self.buf.capacity() - len;
        if spare >= more && spare >= live / 2 {
            self.buf.resize(len + spare, 0);
            self.buf.copy_within(start..len, start + spare);
            self.start += spare as u32;
        } else {
            let capacity = Self::grown(live + more);
            let mut buf = vec![0; capacity];
            buf[capacity - live..].copy_from_slice(self.as_listpack());
            self.start = (capacity - live) as u32;
            self.buf = buf;
        }
    }

    /// Powers of two, which end where nodes do; large ones grow by an eighth.
    fn grown(bytes: usize) -> usize {
        const DOUBLING_MAX: usize = 64 * 1024;
        if bytes <= DOUBLING_MAX { bytes.next_power_of_two().max(CAPACITY_MIN) } else { bytes + bytes / 8 }
    }

    #[cfg(test)]
    pub fn verify(&self) {
        assert!(listpack::validate(self.as_listpack(), true), "1: a sound listpack");
        assert_eq!(listpack::len(self.as_listpack()), self.len(), "1: the count");
    }
}
