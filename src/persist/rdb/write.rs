//! Writes values in today's forms.
//! In: parts of a value as the server has them: packs as they are, or a function that calls back with each element.
//! Out: bytes.
//! Absent: which parts a value has (see its type), versions and checksums (see `payload`), streams (see `stream`).

use super::{Dialect, container, form, lzf, special};
use crate::base::number;
use crate::types::listpack::Element;

/// Strings up to this length are not worth compressing.
const PLAIN_BYTES_MAX: usize = 20;
/// What compression has to gain.
const GAIN_BYTES_MIN: usize = 4;
/// The text of a 32-bit integer is not longer.
const INT_BYTES_MAX: usize = 11;

/// A value that is written: its form, then in a file its key, then its body.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// The key, if one stands between form and body.
    key: Option<&'a [u8]>,
    /// Longer strings are not compressed.
    compressed_bytes_max: usize,
}

impl<'a> Writer<'a> {
    /// For DUMP. `compress`: as the option rdbcompression has it.
    pub fn new(out: &'a mut Vec<u8>, compress: bool) -> Self {
        Writer { out, key: None, compressed_bytes_max: if compress { usize::MAX } else { 0 } }
    }

    /// For a file: the value of that key.
    pub fn for_key(self, key: &'a [u8]) -> Self {
        Writer { key: Some(key), ..self }
    }

    /// Does not compress strings that are longer.
    pub fn compress_up_to(self, bytes_max: usize) -> Self {
        Writer { compressed_bytes_max: self.compressed_bytes_max.min(bytes_max), ..self }
    }

    /// How long the buffer is now.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    pub fn string(mut self, bytes: &[u8]) {
        self.begin(form::STRING);
        self.text(bytes);
    }

    /// A string behind a mark that is no form of a value.
    pub fn marked(mut self, mark: u8, bytes: &[u8]) {
        self.out.push(mark);
        self.text(bytes);
    }

    /// So many nodes.
    pub fn list(mut self, nodes: usize, each: impl FnOnce(&mut dyn FnMut(Part))) {
        self.begin_list(nodes);
        each(&mut |part| self.node(part));
    }

    /// An intset.
    pub fn set_ints(self, ints: &[u8]) {
        self.blob(form::SET_INTSET, ints);
    }

    pub fn set_pack(self, pack: &[u8]) {
        self.blob(form::SET_LISTPACK, pack);
    }

    pub fn set(mut self, count: usize, each: impl FnOnce(&mut dyn FnMut(Element))) {
        self.begin(form::SET);
        self.length(count as u64);
        each(&mut |member| self.element(member));
    }

    pub fn hash_pack(self, pack: &[u8]) {
        self.blob(form::HASH_LISTPACK, pack);
    }

    pub fn hash(mut self, count: usize, each: impl FnOnce(&mut dyn FnMut(Element, Element))) {
        self.begin(form::HASH);
        self.length(count as u64);
        each(&mut |name, value| {
            self.element(name);
            self.element(value);
        });
    }

    /// A hash of which some fields expire, at a Unix time in milliseconds. `each` may be asked twice.
    pub fn hash_expiring(
        self,
        dialect: Dialect,
        count: usize,
        each: impl Fn(&mut dyn FnMut(Element, Element, Option<i64>)),
    ) {
        match dialect {
            Dialect::Redis => self.redis_hash(count, each),
            Dialect::Valkey => self.valkey_hash(count, each),
        }
    }

    fn redis_hash(mut self, count: usize, each: impl Fn(&mut dyn FnMut(Element, Element, Option<i64>))) {
        self.begin(form::HASH_METADATA);
        let mut lowest = i64::MAX;
        each(&mut |_, _, time| lowest = lowest.min(time.unwrap_or(i64::MAX)));
        self.bytes(&lowest.to_le_bytes());
        self.length(count as u64);
        each(&mut |name, value, time| self.redis_field(lowest, name, value, time));
    }

    fn valkey_hash(mut self, count: usize, each: impl Fn(&mut dyn FnMut(Element, Element, Option<i64>))) {
        self.begin(form::VALKEY_HASH_2);
        self.length(count as u64);
        each(&mut |name, value, time| self.valkey_field(name, value, time));
    }

    /// The time is written as what it is above the lowest of all, plus one.
    pub fn redis_field(&mut self, lowest: i64, name: Element, value: Element, time: Option<i64>) {
        self.length(time.map_or(0, |time| time.abs_diff(lowest) + 1));
        self.element(name);
        self.element(value);
    }

    pub fn valkey_field(&mut self, name: Element, value: Element, time: Option<i64>) {
        self.element(name);
        self.element(value);
        self.bytes(&time.unwrap_or(-1).to_le_bytes());
    }

    pub fn zset_pack(self, pack: &[u8]) {
        self.blob(form::ZSET_LISTPACK, pack);
    }

    /// Redis reads fastest what comes from the highest score down.
    pub fn zset(mut self, count: usize, each: impl FnOnce(&mut dyn FnMut(Element, f64))) {
        self.begin(form::ZSET_2);
        self.length(count as u64);
        each(&mut |member, score| {
            self.element(member);
            self.bytes(&score.to_le_bytes());
        });
    }

    // The pieces of which these are made, for values that are written in steps.

    /// A list has so many nodes.
    pub fn begin_list(&mut self, nodes: usize) {
        self.begin(form::LIST_QUICKLIST_2);
        self.length(nodes as u64);
    }

    pub fn node(&mut self, part: Part) {
        let (container, bytes) = match part {
            Part::Pack(pack) => (container::PACKED, pack),
            Part::Plain(element) => (container::PLAIN, element),
        };
        self.length(container);
        self.text(bytes);
    }

    /// The head of a node that is one element of that length, whose bytes follow.
    pub fn begin_plain_node(&mut self, bytes: usize) {
        self.length(container::PLAIN);
        self.length(bytes as u64);
    }

    /// Form and key.
    pub fn begin(&mut self, form: u8) {
        self.out.push(form);
        if let Some(key) = self.key {
            self.text(key);
        }
    }

    fn blob(mut self, form: u8, bytes: &[u8]) {
        self.begin(form);
        self.text(bytes);
    }

    pub fn element(&mut self, element: Element) {
        match element {
            Element::Int(value) => self.int(value),
            Element::Bytes(bytes) => self.text(bytes),
        }
    }

    pub fn text(&mut self, bytes: &[u8]) {
        if bytes.len() <= INT_BYTES_MAX
            && let Some(value) = number::parse_i64(bytes)
        {
            return self.int(value);
        }
        if self.compresses(bytes.len())
            && let Some(packed) = lzf::compress(bytes, bytes.len() - GAIN_BYTES_MIN)
        {
            self.out.push(special::LZF);
            self.length(packed.len() as u64);
            self.length(bytes.len() as u64);
            self.out.extend_from_slice(&packed);
            return;
        }
        self.plain(bytes);
    }

    /// Whether it is tried with a string of that length.
    pub fn compresses(&self, bytes: usize) -> bool {
        bytes > PLAIN_BYTES_MAX && bytes <= self.compressed_bytes_max
    }

    fn int(&mut self, value: i64) {
        if let Ok(value) = i8::try_from(value) {
            self.out.push(special::INT_8);
            self.out.extend_from_slice(&value.to_le_bytes());
        } else if let Ok(value) = i16::try_from(value) {
            self.out.push(special::INT_16);
            self.out.extend_from_slice(&value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.out.push(special::INT_32);
            self.out.extend_from_slice(&value.to_le_bytes());
        } else {
            self.plain(itoa::Buffer::new().format(value).as_bytes());
        }
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn plain(&mut self, bytes: &[u8]) {
        self.length(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub fn length(&mut self, length: u64) {
        match length {
            0..=0x3F => self.out.push(length as u8),
            0x40..=0x3FFF => self.out.extend_from_slice(&[0x40 | (length >> 8) as u8, length as u8]),
            0x4000..=0xFFFF_FFFF => {
                self.out.push(0x80);
                self.out.extend_from_slice(&(length as u32).to_be_bytes());
            }
            _ => {
                self.out.push(0x81);
                self.out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A listpack.
    Pack(&'a [u8]),
    /// One element, not empty.
    Plain(&'a [u8]),
}
