//! Reads a value in any form that Redis or Valkey have ever written.
//! In: a `Reader` before the value, its form, the dialect. Out: a `Value`.
//! Absent: what the server makes of it, keys, fields that have expired meanwhile.

use super::element::distinct;
use super::{Dialect, Error, Reader, Result, Text, container, form, old, stream};
use crate::base::number;
use crate::types::Stream;
use crate::types::intset;
use crate::types::listpack::{self, Element};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value that is sound, in the parts that it was written in. Packs are listpacks.
#[derive(Debug)]
pub enum Value<'a> {
    String(Cow<'a, [u8]>),
    List(Vec<Node<'a>>),
    /// An intset.
    SetInts(Cow<'a, [u8]>),
    SetPack(Cow<'a, [u8]>),
    Set(Vec<Text<'a>>),
    /// Field, value, field, value …
    HashPack(Cow<'a, [u8]>),
    Hash(Vec<(Text<'a>, Text<'a>)>),
    /// At least one field expires; it may have done so.
    HashExpiring(Vec<Field<'a>>),
    /// Member, score, member, score … by score, then member.
    ZsetPack(Cow<'a, [u8]>),
    /// In any order.
    Zset(Vec<(Text<'a>, f64)>),
    Stream(Stream),
}

/// A part of a list, never empty.
#[derive(Debug)]
pub enum Node<'a> {
    /// A listpack of elements.
    Pack(Cow<'a, [u8]>),
    /// One element.
    Plain(Cow<'a, [u8]>),
}

/// A field of a hash.
#[derive(Debug)]
pub struct Field<'a> {
    pub name: Text<'a>,
    pub value: Text<'a>,
    /// Unix time in milliseconds.
    pub expires_ms: Option<i64>,
}

pub(in crate::persist) const DUPLICATE: Error = Error::Corrupt("a member or field twice");
/// Redis wrote such values once, and passes over them when it loads a file.
pub const EMPTY: Error = Error::Corrupt("an empty collection");
const LISTPACK: Error = Error::Corrupt("not a listpack");

/// Elements of a list that is not in packs are packed up to about so many bytes.
const NODE_BYTES: usize = 8192;

/// Redis has 48 bits for the time at which a field expires.
const REDIS_EXPIRES_MS_MAX: u64 = (1 << 48) - 1;

/// Reads the value of that form. What is behind it stays unread.
pub fn decode<'a>(form: u8, dialect: Dialect, reader: &mut Reader<'a>) -> Result<Value<'a>> {
    match form {
        form::STRING => reader.blob().map(Value::String),
        form::LIST => list(reader),
        form::LIST_ZIPLIST => {
            let pack = Cow::Owned(old::from_ziplist(&reader.blob()?)?);
            filled(pack).map(|pack| Value::List(vec![Node::Pack(pack)]))
        }
        form::LIST_QUICKLIST | form::LIST_QUICKLIST_2 => quicklist(form, reader),
        form::SET => set(reader),
        form::SET_INTSET => {
            let ints = reader.blob()?;
            let sound = intset::validate(&ints, true);
            if sound { Ok(Value::SetInts(ints)) } else { Err(Error::Corrupt("not an intset")) }
        }
        form::SET_LISTPACK => distinct_pack(sound(reader.blob()?)?, 1).map(Value::SetPack),
        form::ZSET | form::ZSET_2 => zset(form, reader),
        form::ZSET_ZIPLIST => zset_pack(Cow::Owned(old::from_ziplist(&reader.blob()?)?)),
        form::ZSET_LISTPACK => zset_pack(sound(reader.blob()?)?),
        form::HASH => hash(reader),
        form::HASH_ZIPMAP => zipmap(&reader.blob()?),
        form::HASH_ZIPLIST => hash_pack(Cow::Owned(old::from_ziplist(&reader.blob()?)?)),
        form::HASH_LISTPACK => hash_pack(sound(reader.blob()?)?),
        form::STREAM | form::STREAM_2 | form::STREAM_3 => stream::read(form, reader).map(Value::Stream),
        _ => match (dialect, form) {
            (Dialect::Valkey, form::VALKEY_HASH_2) => valkey_hash(reader),
            (Dialect::Redis, form::HASH_METADATA | form::HASH_METADATA_PRE_GA) => redis_hash(form, reader),
            (Dialect::Redis, form::HASH_LISTPACK_EX | form::HASH_LISTPACK_EX_PRE_GA) => {
                redis_hash_pack(form, reader)
            }
            _ => Err(unknown(dialect, form)),
        },
    }
}

fn unknown(dialect: Dialect, form: u8) -> Error {
    match (dialect, form) {
        (_, form::MODULE | form::MODULE_2) | (Dialect::Redis, form::STREAM_4) => Error::Unsupported(form),
        _ => Error::Corrupt("no form of a value"),
    }
}

fn list<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>> {
    let count = reader.count(1)?;
    let mut nodes = Vec::new();
    let mut pack = listpack::empty();
    for _ in 0..count {
        let text = reader.text()?;
        let large = text.element().len() >= NODE_BYTES;
        if !listpack::is_empty(&pack) && (large || pack.len() >= NODE_BYTES) {
            nodes.push(Node::Pack(Cow::Owned(std::mem::replace(&mut pack, listpack::empty()))));
        }
        if large {
            nodes.push(Node::Plain(text.into_bytes()));
        } else {
            text.element().with(|bytes| listpack::push(&mut pack, bytes));
        }
    }
    if !listpack::is_empty(&pack) {
        nodes.push(Node::Pack(Cow::Owned(pack)));
    }
    Ok(Value::List(nodes))
}

fn quicklist<'a>(form: u8, reader: &mut Reader<'a>) -> Result<Value<'a>> {
    let count = reader.count(1)?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        let pack = match form {
            form::LIST_QUICKLIST => Cow::Owned(old::from_ziplist(&reader.blob()?)?),
            _ => match reader.length()? {
                container::PACKED => sound(reader.blob()?)?,
                container::PLAIN => {
                    let element = reader.blob()?;
                    if element.is_empty() {
                        return Err(Error::Corrupt("an empty node of a list"));
                    }
                    nodes.push(Node::Plain(element));
                    continue;
                }
                _ => return Err(Error::Corrupt("an unknown node of a list")),
            },
        };
        // Such nodes exist in the wild, in lists that have others.
        if !listpack::is_empty(&pack) {
            nodes.push(Node::Pack(pack));
        }
    }
    if nodes.is_empty() { Err(EMPTY) } else { Ok(Value::List(nodes)) }
}

/// Reads elements, and ends early when too many of them are the same for it to go well.
fn elements<'a, T>(
    reader: &mut Reader<'a>,
    bytes_min: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T>,
    name: impl Fn(&T) -> Element<'_>,
) -> Result<Vec<T>> {
    const LOOK_FROM: usize = 1024;
    let count = reader.count(bytes_min)?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(read(reader)?);
        // So that memory is taken for distinct elements only, which cannot all be short.
        let look = found.len() >= LOOK_FROM && found.len().is_power_of_two();
        if look && !distinct(found.iter().map(&name)) {
            return Err(DUPLICATE);
        }
    }
    if distinct(found.iter().map(&name)) { Ok(found) } else { Err(DUPLICATE) }
}

fn set<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>> {
    elements(reader, 1, Reader::text, Text::element).map(Value::Set)
}

fn hash<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>> {
    let pair = |reader: &mut Reader<'a>| Ok((reader.text()?, reader.text()?));
    elements(reader, 2, pair, |(field, _)| field.element()).map(Value::Hash)
}

fn zset<'a>(form: u8, reader: &mut Reader<'a>) -> Result<Value<'a>> {
    let score = |reader: &mut Reader<'a>| match form {
        form::ZSET => reader.double_text(),
        _ => reader.double(),
    };
    let pair = |reader: &mut Reader<'a>| Ok((reader.text()?, score(reader)?));
    elements(reader, 2, pair, |(member, _)| member.element()).map(Value::Zset)
}

fn valkey_hash<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>> {
    fields(elements(reader, VALKEY_FIELD_BYTES_MIN, valkey_field, |field| field.name.element())?)
}

pub(in crate::persist) const VALKEY_FIELD_BYTES_MIN: usize = 10;

pub(in crate::persist) fn valkey_field<'a>(reader: &mut Reader<'a>) -> Result<Field<'a>> {
    let (name, value) = (reader.text()?, reader.text()?);
    let expires_ms = match reader.i64()? {
        -1 => None,
        time if time >= 0 => Some(time),
        _ => return Err(Error::Corrupt("a field expires before 1970")),
    };
    Ok(Field { name, value, expires_ms })
}

fn redis_hash<'a>(form: u8, reader: &mut Reader<'a>) -> Result<Value<'a>> {
    let lowest = redis_lowest(form, reader)?;
    let field = |reader: &mut Reader<'a>| redis_field(reader, lowest);
    fields(elements(reader, REDIS_FIELD_BYTES_MIN, field, |field| field.name.element())?)
}

/// What times are written relative to: as what they are above the lowest, plus one; 0 is none.
pub(in crate::persist) fn redis_lowest(form: u8, reader: &mut Reader) -> Result<Option<u64>> {
    if form == form::HASH_METADATA {
        reader.array().map(|bytes| Some(u64::from_le_bytes(bytes)))
    } else {
        Ok(None)
    }
}

pub(in crate::persist) const REDIS_FIELD_BYTES_MIN: usize = 3;

pub(in crate::persist) fn redis_field<'a>(reader: &mut Reader<'a>, lowest: Option<u64>) -> Result<Field<'a>> {
    let time = match (reader.length()?, lowest) {
        (0, _) => 0,
        (above, Some(lowest)) => lowest.saturating_add(above - 1),
        (time, None) => time,
    };
    Ok(Field { expires_ms: redis_time(time)?, name: reader.text()?, value: reader.text()? })
}

/// The time at which a field of Redis expires, 0 if it does not.
fn redis_time(time: u64) -> Result<Option<i64>> {
    match time {
        0 => Ok(None),
        1..=REDIS_EXPIRES_MS_MAX => Ok(Some(time as i64)),
        _ => Err(Error::Corrupt("a field expires too late")),
    }
}

/// A hash without fields that expire is a plain one.
fn fields(fields: Vec<Field>) -> Result<Value> {
    if fields.iter().any(|field| field.expires_ms.is_some()) {
        return Ok(Value::HashExpiring(fields));
    }
    Ok(Value::Hash(fields.into_iter().map(|field| (field.name, field.value)).collect()))
}

/// A listpack of field, value, time, field, value, time …
fn redis_hash_pack<'a>(form: u8, reader: &mut Reader<'a>) -> Result<Value<'a>> {
    if form == form::HASH_LISTPACK_EX {
        // The earliest of the times, which are absolute here.
        reader.i64()?;
    }
    let pack = distinct_pack(sound(reader.blob()?)?, 3)?;
    let mut found = Vec::new();
    let mut elements = listpack::iter(&pack);
    while let (Some(name), Some(value), Some(time)) = (elements.next(), elements.next(), elements.next()) {
        let time = time.as_i64().and_then(|time| u64::try_from(time).ok());
        let expires_ms = redis_time(time.ok_or(Error::Corrupt("not a time"))?)?;
        found.push(Field { name: own(name), value: own(value), expires_ms });
    }
    fields(found)
}

fn own(element: Element) -> Text<'static> {
    match element {
        Element::Int(value) => Text::Int(value),
        Element::Bytes(bytes) => Text::Bytes(Cow::Owned(bytes.to_vec())),
    }
}

/// A listpack, looked through.
pub(super) fn sound(pack: Cow<[u8]>) -> Result<Cow<[u8]>> {
    if listpack::validate(&pack, true) { Ok(pack) } else { Err(LISTPACK) }
}

fn filled(pack: Cow<[u8]>) -> Result<Cow<[u8]>> {
    if listpack::is_empty(&pack) { Err(EMPTY) } else { Ok(pack) }
}

/// Whole groups of so many elements, of which each first is a member or field, and distinct.
fn distinct_pack(pack: Cow<[u8]>, group: usize) -> Result<Cow<[u8]>> {
    let pack = filled(pack)?;
    if !listpack::len(&pack).is_multiple_of(group) {
        return Err(Error::Corrupt("a member or field without what belongs to it"));
    }
    if distinct(listpack::iter(&pack).step_by(group)) { Ok(pack) } else { Err(DUPLICATE) }
}

fn hash_pack(pack: Cow<[u8]>) -> Result<Value> {
    distinct_pack(pack, 2).map(Value::HashPack)
}

/// Field by field: a zipmap may hold values that are too long for a pack today.
fn zipmap<'a>(bytes: &[u8]) -> Result<Value<'a>> {
    let pack = distinct_pack(Cow::Owned(old::from_zipmap(bytes)?), 2)?;
    let mut pairs = Vec::new();
    let mut elements = listpack::iter(&pack);
    while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((own(name), own(value)));
    }
    Ok(Value::Hash(pairs))
}

fn zset_pack(pack: Cow<[u8]>) -> Result<Value> {
    let pack = distinct_pack(pack, 2)?;
    let mut elements = listpack::iter(&pack);
    let mut before: Option<(f64, Element)> = None;
    while let (Some(member), Some(score)) = (elements.next(), elements.next()) {
        let score = score_of(score)?;
        if before.is_some_and(|(low, lower)| rank(low, lower, score, member) != Ordering::Less) {
            return Err(Error::Corrupt("a sorted set out of order"));
        }
        before = Some((score, member));
    }
    Ok(Value::ZsetPack(pack))
}

fn score_of(element: Element) -> Result<f64> {
    match element {
        Element::Int(value) => Ok(value as f64),
        Element::Bytes(text) => number::parse_f64(text).ok_or(Error::Corrupt("a score is not a number")),
    }
}

fn rank(low: f64, lower: Element, high: f64, higher: Element) -> Ordering {
    let by_score = low.partial_cmp(&high).expect("score_of lets no NaN through");
    by_score.then_with(|| lower.with(|lower| higher.with(|higher| lower.cmp(higher))))
}
