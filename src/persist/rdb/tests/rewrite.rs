//! Writes values that were read. Used here and by examples/fuzz_restore.rs, which have the same names at hand.

use super::{Dialect, Node, Part, Value, Writer};

/// Writes a value that was read, in the form that it has today.
pub fn rewrite(value: &Value, dialect: Dialect, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let writer = Writer::new(&mut out, compress);
    match value {
        Value::String(bytes) => writer.string(bytes),
        Value::List(nodes) => writer.list(nodes.len(), |each| {
            nodes.iter().for_each(|node| match node {
                Node::Pack(pack) => each(Part::Pack(pack)),
                Node::Plain(element) => each(Part::Plain(element)),
            });
        }),
        Value::SetInts(ints) => writer.set_ints(ints),
        Value::SetPack(pack) => writer.set_pack(pack),
        Value::Set(members) => {
            writer.set(members.len(), |each| members.iter().for_each(|member| each(member.element())));
        }
        Value::HashPack(pack) => writer.hash_pack(pack),
        Value::Hash(fields) => writer.hash(fields.len(), |each| {
            fields.iter().for_each(|(name, value)| each(name.element(), value.element()));
        }),
        Value::HashExpiring(fields) => writer.hash_expiring(dialect, fields.len(), |each| {
            fields
                .iter()
                .for_each(|field| each(field.name.element(), field.value.element(), field.expires_ms));
        }),
        Value::ZsetPack(pack) => writer.zset_pack(pack),
        Value::Zset(members) => writer.zset(members.len(), |each| {
            members.iter().for_each(|(member, score)| each(member.element(), *score));
        }),
        Value::Stream(stream) => writer.stream(stream),
    }
    out
}
