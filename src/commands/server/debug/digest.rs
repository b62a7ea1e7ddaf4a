//! DEBUG DIGEST and DIGEST-VALUE: sums that are equal where the content is.
//! In: entries. Out: 20 bytes as hexadecimal digits; they are not those of Redis.
//! Invariants: a digest depends neither on encodings, nor on the order where a type has none, nor on when it was taken.
//! Absent: what has expired.

use std::hash::Hash;

use crate::client::Args;
use crate::commands::{Context, Error};
use crate::shard::{Entry, Value};
use crate::types::{self, List, Set, Stream, Type, Zset};

const DIGEST_BYTES: usize = 20;

/// Digests of entries are combined so that the order does not matter.
#[derive(Default)]
struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    fn of(what: impl Hash) -> Self {
        let mut digest = Self::default();
        for (part, bytes) in digest.0.chunks_mut(8).enumerate() {
            let hash = ahash::RandomState::with_seeds(1, 2, 3, part as u64).hash_one(&what);
            bytes.copy_from_slice(&hash.to_le_bytes()[..bytes.len()]);
        }
        digest
    }

    fn mix(&mut self, other: &Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte ^= other);
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The digest of a value. That a field expires counts, when it does not: as it is with keys.
fn value_digest(entry: &Entry, due_ms: i64) -> Digest {
    const SEEN: &str = "the entry's type was looked at";
    let mut sum = Digest::default();
    match entry.kind() {
        Type::String => sum = string_digest(entry),
        Type::List => entry.view::<List>().expect(SEEN).iter().for_each(|element| {
            sum = element.with(|bytes| Digest::of((sum.0, bytes)));
        }),
        Type::Set => entry.view::<Set>().expect(SEEN).for_each(|member| {
            sum.mix(&member.with(|bytes| Digest::of(bytes)));
        }),
        Type::Zset => entry.view::<Zset>().expect(SEEN).for_each(|member, score| {
            // A listpack has no negative zero.
            let score = (score + 0.0).to_bits();
            sum.mix(&member.with(|bytes| Digest::of((bytes, score))));
        }),
        Type::Hash => {
            let hash = entry.view::<types::Hash>().expect(SEEN);
            hash.for_each_with_expiry(|field, value, expiry| {
                if expiry.is_none_or(|at_ms| at_ms > due_ms) {
                    let expires = expiry.is_some();
                    let digest = |field: &[u8]| value.with(|value| Digest::of((field, value, expires)));
                    sum.mix(&field.with(digest));
                }
            });
        }
        Type::Stream => sum = stream_digest(entry.view::<Stream>().expect(SEEN)),
    }
    Digest::of((entry.kind(), sum.0))
}

/// Entries in order, and what groups know, but for when consumers were seen.
fn stream_digest(stream: &Stream) -> Digest {
    let log = &stream.log;
    let mut sum = Digest::of((log.last_id(), log.max_deleted_id(), log.added()));
    log.iter().for_each(|entry| {
        sum = Digest::of((sum.0, entry.id));
        entry.for_each(|name, value| {
            sum = name.with(|name| value.with(|value| Digest::of((sum.0, name, value))));
        });
    });
    for (name, group) in stream.groups.iter() {
        sum = Digest::of((sum.0, name, group.last_id, group.entries_read));
        group.consumers().for_each(|consumer| sum = Digest::of((sum.0, consumer.name())));
        for (id, pending) in group.pending() {
            let owner = group.consumer(pending.consumer).name();
            sum = Digest::of((sum.0, id, owner, pending.delivered_ms, pending.deliveries));
        }
    }
    sum
}

fn string_digest(entry: &Entry) -> Digest {
    match entry.value() {
        Value::Int(value) => Digest::of(itoa::Buffer::new().format(value).as_bytes()),
        Value::Bytes(bytes) => Digest::of(bytes),
        Value::Object(_) => unreachable!("a string is bytes"),
    }
}

pub fn digest(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let mut sum = Digest::default();
    for shard in cx.shards() {
        for (number, db) in shard.dbs.iter().enumerate() {
            db.store.for_each(&mut |entry| {
                if entry.expiry().is_none_or(|at_ms| at_ms > due_ms) {
                    let value = value_digest(entry, due_ms);
                    sum.mix(&Digest::of((number, entry.key(), value.0, entry.expiry().is_some())));
                }
            });
        }
    }
    cx.out.simple(&sum.hex());
    Ok(())
}

pub fn digest_value(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let keys = args.from(2);
    cx.out.array(keys.len());
    for key in keys.iter() {
        let digest = cx.peek(key).map(|entry| value_digest(entry, due_ms)).unwrap_or_default();
        cx.out.simple(&digest.hex());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Digest, value_digest};
    use crate::shard::Store;
    use crate::types::hash::Lifetime;
    use crate::types::{Collection, Hash, Limits, List, Set, Zset, hasher};

    const NOW_MS: i64 = 1000;
    fn digest_of<T: Collection>(fill: impl Fn(&mut T, &Limits), limits: &Limits) -> String {
        let mut store = Store::new(hasher());
        let mut collection = T::new(Vec::new());
        fill(&mut collection, limits);
        store.add(store.hash(b"k"), b"k", collection, None, 0);
        value_digest(store.find(b"k").expect("it was added"), NOW_MS).hex()
    }

    /// The digest of a collection, the same for both encodings.
    fn digest<T: Collection>(fill: impl Fn(&mut T, &Limits)) -> String {
        let large = digest_of(&fill, &Limits::NONE_PACKED);
        assert_eq!(digest_of(&fill, &Limits::default()), large, "the encoding does not count");
        large
    }

    fn set(members: &[&str]) -> String {
        digest(|set: &mut Set, limits| members.iter().for_each(|it| _ = set.add(it.as_bytes(), limits)))
    }

    fn list(elements: &[&str]) -> String {
        digest(|list: &mut List, limits| {
            *list = List::from_elements(elements.iter().map(|it| it.as_bytes()), limits);
        })
    }

    fn zset(members: &[(&str, f64)]) -> String {
        digest(|zset: &mut Zset, limits| {
            members.iter().for_each(|(it, score)| zset.update(it.as_bytes(), limits, |_| Some(*score)));
        })
    }

    fn hash(fields: &[(&str, &str)]) -> String {
        digest(|hash: &mut Hash, limits| {
            fields.iter().for_each(|(field, value)| {
                hash.set(field.as_bytes(), value.as_bytes(), Lifetime::Forever, NOW_MS, limits);
            });
        })
    }

    #[test]
    fn digests_do_not_depend_on_order_or_encoding() {
        let sum = |keys: &[&str]| {
            let mut sum = Digest::default();
            keys.iter().for_each(|key| sum.mix(&Digest::of(key)));
            sum.hex()
        };
        assert_eq!(sum(&["a", "b"]), sum(&["b", "a"]));
        assert_ne!(sum(&["a", "b"]), sum(&["a", "c"]));
        assert_eq!(sum(&[]), "0".repeat(40));
        assert_eq!(set(&["a", "7", "b"]), set(&["b", "a", "7"]));
        assert_eq!(set(&["1", "7"]), set(&["7", "1"]));
        assert_eq!(hash(&[("a", "1"), ("b", "x")]), hash(&[("b", "x"), ("a", "1")]));
        assert_eq!(zset(&[("a", 1.5), ("b", 0.0)]), zset(&[("b", -0.0), ("a", 1.5)]));
    }

    #[test]
    fn digests_tell_values_apart() {
        assert_ne!(set(&["a"]), set(&["b"]));
        assert_ne!(list(&["a", "b"]), list(&["b", "a"]));
        assert_ne!(list(&["a", "b"]), list(&["ab"]));
        assert_ne!(list(&["a"]), set(&["a"]));
        assert_ne!(zset(&[("a", 1.0)]), zset(&[("a", 2.0)]));
        assert_ne!(hash(&[("a", "b")]), hash(&[("b", "a")]));
        assert_ne!(hash(&[("a", "1"), ("b", "2")]), hash(&[("a", "2"), ("b", "1")]));
    }

    #[test]
    fn fields_count_with_their_expiry() {
        let with = |expiry| {
            let fill = |hash: &mut Hash, limits: &Limits| {
                hash.set(b"f", b"v", Lifetime::Forever, NOW_MS, limits);
                hash.set(b"g", b"w", Lifetime::Forever, NOW_MS, limits);
                hash.set_expiry(b"g", expiry);
            };
            digest_of(fill, &Limits::NONE_PACKED)
        };
        assert_eq!(with(None), hash(&[("f", "v"), ("g", "w")]));
        assert_ne!(with(Some(NOW_MS + 1)), with(None));
        assert_eq!(with(Some(NOW_MS)), hash(&[("f", "v")]), "an overdue field is absent");
    }

    #[test]
    fn integers_are_strings() {
        let digest = |set: fn(&mut Store, u64)| {
            let mut store = Store::new(hasher());
            let hash = store.hash(b"k");
            set(&mut store, hash);
            value_digest(store.find(b"k").expect("it was set"), NOW_MS).hex()
        };
        let int = digest(|store, hash| _ = store.set_int(hash, b"k", 12, None, 0));
        let text = |store: &mut Store, hash| {
            store.set_string(hash, b"k", b"12", crate::shard::Encoding::Raw, None, 0);
        };
        assert_eq!(int, digest(text));
    }
}
