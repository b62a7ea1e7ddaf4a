//! What the server makes of a value that was read, and which parts of one are written.
//! In: an entry, or what DUMP returned. Out: a payload, or a value for the keyspace.
//! Absent: the format (see `rdb`), keys, when a key expires.
//!
//! A pack is taken as it is if it has no more elements than the limits allow, and else element by element, as Redis
//! does. A field that has expired is written and read as any other: whoever looks at the hash finds it absent.

use super::large;
use super::rdb::file::Version;
use super::rdb::{self, Checks, Dialect, Node, Part, Reader, Result, Text, Value, Writer, file};
use crate::base::number::parse_i64;
use crate::config::Config;
use crate::types::hash::{Hash, HashView, Lifetime};
use crate::types::list::{Chunk, List, ListView, OwnedChunk};
use crate::types::listpack::Element;
use crate::types::set::{Set, SetView};
use crate::types::store::{Entry, Owned, Removed, Value as Stored};
use crate::types::zset::{Gathered, Zset, ZsetView};
use crate::types::{Collection, Encoding, Limits, Stream, Type, intset, listpack};
use std::borrow::Cow;

/// How values are written: the options rdbcompression and rdb-dialect.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub compress: bool,
    pub version: Version,
    /// For streams.
    pub streams: Version,
    /// For hashes with fields that expire.
    pub expiring: Version,
}

impl Style {
    pub fn of(config: &Config) -> Style {
        let version = |expiring| Version::of(config.rdb_dialect, expiring);
        let (plain, expiring) = (version(false), version(true));
        Style { compress: config.rdbcompression, version: plain, streams: plain, expiring }
    }

    /// The oldest form of each value that has all of it, so that most servers read it.
    pub fn oldest(config: &Config) -> Style {
        Style { version: Version::V10, ..Style::of(config) }
    }
}

/// What DUMP returns for an entry.
pub fn dump(entry: &Entry, style: Style) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let version = write(entry, style, Writer::new(&mut out, style.compress))?;
    rdb::seal(&mut out, version.number());
    Ok(out)
}

/// How many bytes an entry's value takes in a snapshot, without its type.
pub fn saved_bytes(entry: &Entry, style: Style) -> Result<usize> {
    const TYPE_BYTES: usize = 1;
    let mut out = Vec::new();
    write(entry, style, Writer::new(&mut out, style.compress))?;
    Ok(out.len() - TYPE_BYTES)
}

/// Writes an entry's value, and returns the version that it takes to read it.
fn write(entry: &Entry, style: Style, writer: Writer) -> Result<Version> {
    const SEEN: &str = "the entry's type was looked at";
    match entry.kind() {
        Type::String => write_string(entry, writer),
        Type::List => write_list(entry.view::<List>().expect(SEEN), writer),
        Type::Set => write_set(entry.view::<Set>().expect(SEEN), style.version.has_newest_forms(), writer),
        Type::Zset => write_zset(entry.view::<Zset>().expect(SEEN), writer),
        Type::Hash => return Ok(write_hash(entry.view::<Hash>().expect(SEEN), style, writer)),
        Type::Stream => {
            let stream = entry.view::<Stream>().expect(SEEN);
            if style.streams.has_newest_forms() {
                writer.stream(stream);
            } else {
                writer.stream_without_active(stream);
            }
            return Ok(style.streams);
        }
    }
    Ok(style.version)
}

fn write_string(entry: &Entry, writer: Writer) {
    match entry.value() {
        Stored::Int(value) => writer.string(itoa::Buffer::new().format(value).as_bytes()),
        Stored::Bytes(bytes) => writer.string(bytes),
        Stored::Object(_) => unreachable!("a string is bytes"),
    }
}

fn write_list(list: ListView, writer: Writer) {
    writer.list(list.chunks().count(), |each| {
        list.chunks().for_each(|chunk| {
            each(match chunk {
                Chunk::Listpack(pack) => Part::Pack(pack),
                Chunk::Plain(element) => Part::Plain(element),
            });
        });
    });
}

/// `packed`: whether a set may be written as the listpack that it is.
fn write_set(set: SetView, packed: bool, writer: Writer) {
    match set {
        SetView::Ints(ints) => writer.set_ints(ints),
        SetView::Packed(pack) if packed => writer.set_pack(pack),
        SetView::Packed(_) | SetView::Table(_) => writer.set(set.len(), |each| set.for_each(each)),
    }
}

fn write_zset(zset: ZsetView, writer: Writer) {
    match zset {
        ZsetView::Packed(pack) => writer.zset_pack(pack),
        ZsetView::Tree(_) => writer.zset(zset.len(), |each| {
            zset.for_range(0..zset.len(), true, each);
        }),
    }
}

fn write_hash(hash: HashView, style: Style, writer: Writer) -> Version {
    let mut expires = false;
    match hash {
        HashView::Packed(pack) => writer.hash_pack(pack),
        HashView::Table(_) => {
            hash.for_each_with_expiry(|_, _, time| expires |= time.is_some());
            if let Some(dialect) = style.expiring.expiring().filter(|_| expires) {
                writer.hash_expiring(dialect, hash.len(), |each| {
                    hash.for_each_with_expiry(each);
                });
            } else {
                writer.hash(hash.len(), |each| {
                    hash.for_each_with_expiry(|name, value, _| each(name, value));
                });
            }
        }
    }
    if expires { style.expiring } else { style.version }
}

/// Reads what DUMP returned, here or on another server. As with Redis, there may be more behind the value.
pub fn restore(payload: &[u8], checks: Checks, limits: &Limits) -> Result<Removed> {
    let (dialect, body) = rdb::open_with(payload, checks)?;
    let mut reader = Reader::new(body);
    let form = reader.u8()?;
    read(form, dialect, &mut reader, limits)
}

/// The value of an entry of a file. Expiry and usage are not in it.
pub fn load(raw: &file::Raw, limits: &Limits) -> std::result::Result<Removed, file::Error> {
    let mut reader = Reader::new(raw.body);
    let value = read(raw.form, raw.dialect, &mut reader, limits);
    value.and_then(|value| raw.whole(&reader).map(|()| value)).map_err(|error| raw.error(&reader, error))
}

fn read(form: u8, dialect: Dialect, reader: &mut Reader, limits: &Limits) -> Result<Removed> {
    if let Some(value) = large::read(form, dialect, reader, limits)? {
        return Ok(value);
    }
    Ok(match rdb::decode(form, dialect, reader)? {
        Value::String(bytes) => string(&bytes),
        Value::List(nodes) => list(nodes, limits),
        Value::SetInts(ints) => set_of_ints(ints, limits),
        Value::SetPack(pack) => set_of_pack(pack, limits),
        Value::Set(members) => set(members.len(), members.iter().map(Text::element), limits),
        Value::HashPack(pack) => hash_of_pack(pack, limits),
        Value::Hash(fields) => {
            let fields =
                fields.iter().map(|(name, value)| (name.element(), value.element(), Lifetime::Forever));
            hash(fields, limits)
        }
        Value::HashExpiring(fields) => {
            let fields = fields.iter().map(|field| {
                let lifetime = field.expires_ms.map_or(Lifetime::Forever, Lifetime::Until);
                (field.name.element(), field.value.element(), lifetime)
            });
            hash(fields, limits)
        }
        Value::ZsetPack(pack) => zset_of_pack(pack, limits),
        Value::Zset(members) => {
            let mut gathered = Gathered::default();
            members.iter().for_each(|(member, score)| {
                member.element().with(|member| gathered.add(member, *score));
            });
            collection(Zset::gathered(gathered, limits))
        }
        Value::Stream(stream) => collection(stream),
    })
}

/// A string the way SET stores it.
fn string(bytes: &[u8]) -> Removed {
    match parse_i64(bytes) {
        Some(value) => fresh(Type::String, Encoding::Int, Owned::Int(value)),
        None => fresh(Type::String, Encoding::of_string(bytes.len()), Owned::Bytes(bytes.to_vec())),
    }
}

fn list(nodes: Vec<Node>, limits: &Limits) -> Removed {
    let chunks = nodes.into_iter().map(|node| match node {
        Node::Pack(pack) => OwnedChunk::Listpack(pack.into_owned()),
        Node::Plain(element) => OwnedChunk::Plain(element.into_owned()),
    });
    collection(List::from_chunks(chunks, limits))
}

fn set_of_ints(ints: Cow<[u8]>, limits: &Limits) -> Removed {
    if intset::len(&ints) > limits.set_ints_max {
        return set(intset::len(&ints), intset::iter(&ints).map(Element::Int), limits);
    }
    packed(Type::Set, Encoding::Intset, ints)
}

fn set_of_pack(pack: Cow<[u8]>, limits: &Limits) -> Removed {
    if listpack::len(&pack) > limits.set_entries_max {
        return set(listpack::len(&pack), listpack::iter(&pack), limits);
    }
    packed(Type::Set, Encoding::Listpack, pack)
}

fn set<'a>(count: usize, members: impl Iterator<Item = Element<'a>>, limits: &Limits) -> Removed {
    let large = count > limits.set_ints_max.max(limits.set_entries_max);
    let mut set = if large { Set::table() } else { Set::new(Vec::new()) };
    members.for_each(|member| _ = set.add_element(member, limits));
    collection(set)
}

fn hash_of_pack(pack: Cow<[u8]>, limits: &Limits) -> Removed {
    if listpack::len(&pack) / 2 <= limits.hash_entries_max {
        return packed(Type::Hash, Encoding::Listpack, pack);
    }
    let names = listpack::iter(&pack).step_by(2);
    let values = listpack::iter(&pack).skip(1).step_by(2);
    hash(names.zip(values).map(|(name, value)| (name, value, Lifetime::Forever)), limits)
}

fn hash<'a>(
    fields: impl ExactSizeIterator<Item = (Element<'a>, Element<'a>, Lifetime)>,
    limits: &Limits,
) -> Removed {
    // Whether a field has expired matters where it is set again; these are distinct.
    const NOW_MS: i64 = 0;
    let mut hash = Hash::new(Vec::new());
    hash.prepare(fields.len(), 0, limits);
    for (name, value, lifetime) in fields {
        name.with(|name| value.with(|value| hash.set(name, value, lifetime, NOW_MS, limits)));
    }
    collection(hash)
}

fn zset_of_pack(pack: Cow<[u8]>, limits: &Limits) -> Removed {
    if listpack::len(&pack) / 2 <= limits.zset_entries_max {
        return packed(Type::Zset, Encoding::Listpack, pack);
    }
    let mut gathered = Gathered::default();
    ZsetView::Packed(&pack).for_each(|member, score| {
        member.with(|member| gathered.add(member, score));
    });
    collection(Zset::gathered(gathered, limits))
}

fn packed(kind: Type, encoding: Encoding, bytes: Cow<[u8]>) -> Removed {
    fresh(kind, encoding, Owned::Bytes(bytes.into_owned()))
}

/// A collection as the keyspace takes it.
pub(super) fn collection<T: Collection>(mut collection: T) -> Removed {
    let encoding = collection.encoding();
    let value = match collection.packed_mut() {
        Some(bytes) => Owned::Bytes(std::mem::take(bytes)),
        None => Owned::Object(Box::new(collection.into_object())),
    };
    fresh(T::TYPE, encoding, value)
}

/// A value that nobody has used yet.
fn fresh(kind: Type, encoding: Encoding, value: Owned) -> Removed {
    Removed { kind, encoding, expiry: None, access: 0, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::rdb::tests::{Sample, contents, read, samples, unhex};
    use crate::types::store::Store;

    /// Puts a payload's value under a key, and dumps it again.
    fn there_and_back(payload: &[u8], limits: &Limits) -> (Type, Encoding, Vec<u8>) {
        there_and_back_in(Style::of(&Config::default()), payload, limits)
    }

    fn there_and_back_in(style: Style, payload: &[u8], limits: &Limits) -> (Type, Encoding, Vec<u8>) {
        let mut store = Store::new(crate::types::hasher());
        let value = restore(payload, Checks::ALL, limits).unwrap();
        store.put(store.hash(b"key"), b"key", value, None, 0);
        store.verify();
        let entry = store.find(b"key").unwrap();
        (entry.kind(), entry.encoding(), dump(entry, style).unwrap())
    }

    fn elements(payload: &[u8]) -> Vec<Vec<u8>> {
        let (dialect, body) = rdb::open(payload).unwrap();
        let mut elements = contents(&read(dialect, body).unwrap());
        // A packed score is an integer if it can be, as in Redis: it has no -0.
        elements.iter_mut().filter(|text| **text == b"-0").for_each(|text| *text = b"0".to_vec());
        elements
    }

    #[test]
    fn values_of_real_servers_stay_what_they_are() {
        for Sample { encoding, payload, .. } in samples() {
            for limits in [Limits::default(), Limits::NONE_PACKED] {
                let (kind, _, dumped) = there_and_back(&payload, &limits);
                assert_eq!(elements(&dumped), elements(&payload), "{kind:?} {encoding}");
            }
        }
        for line in include_str!("rdb/tests/old.tsv").lines() {
            let mut payload = unhex(line);
            rdb::seal(&mut payload, 12);
            for limits in [Limits::default(), Limits::NONE_PACKED] {
                let (kind, _, dumped) = there_and_back(&payload, &limits);
                assert_eq!(elements(&dumped), elements(&payload), "{kind:?} {line}");
            }
        }
    }

    #[test]
    fn packs_are_taken_as_they_are_within_the_limits() {
        let encodings = |limits: &Limits| {
            ["intset", "listpack"].map(|wanted| {
                let fits = samples().into_iter().filter(|sample| sample.encoding == wanted);
                let found = fits.map(|sample| there_and_back(&sample.payload, limits));
                found.map(|(kind, encoding, _)| (kind, encoding.name())).collect::<Vec<_>>()
            })
        };
        for (wanted, found) in ["intset", "listpack"].into_iter().zip(encodings(&Limits::default())) {
            assert!(found.len() >= 6 && found.iter().all(|(_, encoding)| *encoding == wanted), "{found:?}");
        }
        for (kind, encoding) in encodings(&Limits::NONE_PACKED).concat() {
            let others = [(Type::List, "quicklist"), (Type::Zset, "skiplist")];
            let wanted =
                others.iter().find(|(other, _)| *other == kind).map_or("hashtable", |(_, name)| name);
            assert_eq!(encoding, wanted);
        }
    }

    #[test]
    fn a_dialect_is_for_its_readers() {
        for (dialect, version, expiring) in [("redis", 11, 12), ("redis-7.0", 10, 12), ("valkey", 11, 80)] {
            let mut config = Config::default();
            config.rdb_dialect = dialect;
            let style = Style::of(&config);
            for Sample { kind, encoding, payload, .. } in samples() {
                let (_, _, dumped) = there_and_back_in(style, &payload, &Limits::default());
                let written = u16::from_le_bytes(dumped[dumped.len() - 10..][..2].try_into().unwrap());
                let wanted = match (kind, encoding) {
                    ("hash-ttl", _) => expiring,
                    _ => version,
                };
                assert_eq!(written, wanted, "{dialect}: {kind}");
                assert!(written != 10 || dumped[0] != rdb::form::SET_LISTPACK, "Redis 7.0 has no such sets");
                let (found, saved) = (elements(&dumped), elements(&payload));
                if kind == "stream" && written == 10 {
                    // It has no times at which consumers last got something.
                    assert_eq!(found.len(), saved.len());
                } else {
                    assert_eq!(found, saved, "{dialect}: {kind}");
                }
            }
        }
    }
}
