//! Makes collections of many elements straight from the bytes, without a list of the elements in between.
//! In: a reader before a value. Out: the value for the keyspace; None if it has few elements or another form, and nothing was
//! read. Absent: everything else (see `object`), whose rules for what is sound are the same here.

use super::object::collection;
use super::rdb::decode::{
    DUPLICATE, REDIS_FIELD_BYTES_MIN, VALKEY_FIELD_BYTES_MIN, redis_field, redis_lowest, valkey_field,
};
use super::rdb::{Dialect, Field, Reader, Result, form};
use crate::types::hash::{Hash, Lifetime};
use crate::types::set::Set;
use crate::types::store::Removed;
use crate::types::zset::{Gathered, Zset};
use crate::types::{Collection, Limits};

/// Fewer elements are quickly sorted out.
const COUNT_MIN: usize = 256;

pub fn read(form: u8, dialect: Dialect, reader: &mut Reader, limits: &Limits) -> Result<Option<Removed>> {
    let begin = reader.clone();
    let value = match (dialect, form) {
        (_, form::SET) => set(reader, limits)?,
        (_, form::ZSET | form::ZSET_2) => zset(form, reader, limits)?,
        (_, form::HASH) => hash(reader, 2, limits, |reader| {
            Ok(Field { name: reader.text()?, value: reader.text()?, expires_ms: None })
        })?,
        (Dialect::Valkey, form::VALKEY_HASH_2) => hash(reader, VALKEY_FIELD_BYTES_MIN, limits, valkey_field)?,
        (Dialect::Redis, form::HASH_METADATA | form::HASH_METADATA_PRE_GA) => {
            let lowest = redis_lowest(form, reader)?;
            hash(reader, REDIS_FIELD_BYTES_MIN, limits, |reader| redis_field(reader, lowest))?
        }
        _ => None,
    };
    if value.is_none() {
        *reader = begin;
    }
    Ok(value)
}

fn set(reader: &mut Reader, limits: &Limits) -> Result<Option<Removed>> {
    let count = reader.count(1)?;
    if count < COUNT_MIN {
        return Ok(None);
    }
    let large = count > limits.set_ints_max.max(limits.set_entries_max);
    let mut set = if large { Set::table() } else { Set::new(Vec::new()) };
    for _ in 0..count {
        if !set.add_element(reader.text()?.element(), limits) {
            return Err(DUPLICATE);
        }
    }
    Ok(Some(collection(set)))
}

fn zset(form: u8, reader: &mut Reader, limits: &Limits) -> Result<Option<Removed>> {
    let count = reader.count(2)?;
    if count < COUNT_MIN {
        return Ok(None);
    }
    let mut gathered = Gathered::default();
    for _ in 0..count {
        let member = reader.text()?;
        let score = if form == form::ZSET { reader.double_text()? } else { reader.double()? };
        let mut twice = false;
        member.element().with(|member| {
            gathered.merge(member, score, |old, _| {
                twice = true;
                old
            });
        });
        if twice {
            return Err(DUPLICATE);
        }
    }
    Ok(Some(collection(Zset::gathered(gathered, limits))))
}

fn hash<'a>(
    reader: &mut Reader<'a>,
    field_bytes_min: usize,
    limits: &Limits,
    read: impl Fn(&mut Reader<'a>) -> Result<Field<'a>>,
) -> Result<Option<Removed>> {
    // Whether a field has expired matters where it is set again; these are distinct.
    const NOW_MS: i64 = 0;
    let count = reader.count(field_bytes_min)?;
    if count < COUNT_MIN {
        return Ok(None);
    }
    let mut hash = Hash::new(Vec::new());
    hash.prepare(count, 0, limits);
    for _ in 0..count {
        let field = read(reader)?;
        let lifetime = field.expires_ms.map_or(Lifetime::Forever, Lifetime::Until);
        let (name, value) = (field.name.element(), field.value.element());
        let is_new = name.with(|name| value.with(|value| hash.set(name, value, lifetime, NOW_MS, limits)));
        if !is_new {
            return Err(DUPLICATE);
        }
    }
    Ok(Some(collection(hash)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::object::restore;
    use crate::persist::rdb::{self, Checks, Error};

    /// A payload of so many elements; the last one is the first again if `twice`.
    fn payload(form: u8, version: u16, head: &[u8], before: &[u8], behind: &[u8], twice: bool) -> Vec<u8> {
        const COUNT: u16 = 600;
        let mut value = [&[form], head, &[0x40 | (COUNT >> 8) as u8, COUNT as u8]].concat();
        for number in 0..COUNT {
            let number = if twice && number == COUNT - 1 { 0 } else { number };
            value.extend_from_slice(before);
            value.push(0xC1);
            value.extend_from_slice(&number.to_le_bytes());
            value.extend_from_slice(behind);
        }
        rdb::seal(&mut value, version);
        value
    }

    #[test]
    fn an_element_twice_is_refused() {
        let time = [&b"\x01v"[..], &5i64.to_le_bytes()].concat();
        /// Form and version, what is before the count, before each element and behind it.
        type Case<'a> = (u8, u16, &'a [u8], &'a [u8], &'a [u8]);
        let cases: [Case; 7] = [
            (form::SET, 11, b"", b"", b""),
            (form::ZSET, 11, b"", b"", b"\x011"),
            (form::ZSET_2, 11, b"", b"", &[0; 8]),
            (form::HASH, 11, b"", b"", b"\x01v"),
            (form::HASH_METADATA, 12, &[1, 0, 0, 0, 0, 0, 0, 0], b"\x01", b"\x01v"),
            (form::HASH_METADATA_PRE_GA, 12, b"", b"\x01", b"\x01v"),
            (form::VALKEY_HASH_2, 80, b"", b"", &time),
        ];
        for limits in [Limits::default(), Limits::NONE_PACKED] {
            for (form, version, head, before, behind) in cases {
                assert!(
                    restore(&payload(form, version, head, before, behind, false), Checks::ALL, &limits)
                        .is_ok(),
                    "{form}"
                );
                let twice =
                    restore(&payload(form, version, head, before, behind, true), Checks::ALL, &limits);
                assert_eq!(twice.unwrap_err(), DUPLICATE, "{form}");
                let whole = payload(form, version, head, before, behind, false);
                let mut cut = whole[..whole.len() - 11].to_vec();
                rdb::seal(&mut cut, version);
                assert!(matches!(restore(&cut, Checks::ALL, &limits), Err(Error::Corrupt(_))), "{form}");
            }
        }
    }
}
