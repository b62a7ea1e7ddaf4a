//! DEBUG OBJECT, LISTPACK, QUICKLIST, HTSTATS, HTSTATS-KEY: how values lie in memory.
//! In: keys. Out: replies, and lines in the log where Redis writes to its standard output.
//! Absent: what OBJECT and MEMORY tell everybody.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::number::{parse_i64, parse_memory};
use crate::client::Args;
use crate::commands::{Context, Error};
use crate::persist::{self, object::Style};
use crate::shard::{Encoding, Entry, Value};
use crate::types::list::{Chunk, ListView};
use crate::types::listpack::{self, Element};
use crate::types::{Hash, List, Set, Type, Zset};

pub fn object(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (moment, style) = (cx.moment, Style::of(cx.config));
    let compressed_nodes = cx.config.list_compress_depth != 0;
    let fast = args.is(3, "fast");
    let db = cx.session.db as usize;
    // It tells of a key that is overdue, too, as long as it is there.
    let entry = cx.shard(args.at(2)).dbs[db].store.find(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    let mut text = format!(
        "Value at:{:p} refcount:1 encoding:{}",
        (&raw const *entry).cast::<u8>(),
        entry.encoding().name()
    );
    if !fast {
        let bytes = persist::object::saved_bytes(entry, style).map_err(|_| Error::BAD_FORMAT)?;
        _ = write!(text, " serializedlength:{bytes}");
    }
    let access = entry.access();
    _ = write!(text, " lru:{access} lru_seconds_idle:{}", moment.idle_s(access));
    if let Some(list @ ListView::Nodes(_)) = entry.view::<List>() {
        describe_nodes(list, compressed_nodes, fast, &mut text);
    }
    cx.out.simple(&text);
    Ok(())
}

/// What Redis adds for a quicklist. Nodes are never compressed here, whatever the option says.
fn describe_nodes(list: ListView, compressed: bool, fast: bool, text: &mut String) {
    let ListView::Nodes(nodes) = list else { return };
    let count = nodes.nodes().len();
    let average = nodes.len() as f64 / count as f64;
    _ = write!(
        text,
        " ql_nodes:{count} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:{}",
        nodes.fill().option(),
        compressed as u8
    );
    if !fast {
        let bytes: usize = list.chunks().map(|chunk| chunk_bytes(chunk).len()).sum();
        _ = write!(text, " ql_uncompressed_size:{bytes}");
    }
}

fn chunk_bytes(chunk: Chunk<'_>) -> &[u8] {
    match chunk {
        Chunk::Listpack(bytes) | Chunk::Plain(bytes) => bytes,
    }
}

/// The bytes of a value that is one listpack.
fn listpack_of(entry: &Entry) -> Option<&[u8]> {
    use crate::types::{hash::HashView, set::SetView, zset::ZsetView};
    match entry.kind() {
        Type::List => match entry.view::<List>()? {
            ListView::Packed(pack) => Some(pack),
            ListView::Nodes(_) => None,
        },
        Type::Set => match entry.view::<Set>()? {
            SetView::Packed(pack) => Some(pack),
            SetView::Ints(_) | SetView::Table(_) => None,
        },
        Type::Zset => match entry.view::<Zset>()? {
            ZsetView::Packed(pack) => Some(pack),
            ZsetView::Tree(_) => None,
        },
        Type::Hash => match entry.view::<Hash>()? {
            HashView::Packed(pack) => Some(pack),
            HashView::Table(_) => None,
        },
        Type::String | Type::Stream => None,
    }
}

pub fn listpack(cx: &mut Context, args: Args) -> Result<(), Error> {
    let entry = cx.peek(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    let pack = listpack_of(entry).ok_or(Error::new("ERR Not a listpack encoded object."))?;
    log_listpack(pack, true);
    cx.out.simple("Listpack structure printed on stdout");
    Ok(())
}

fn log_listpack(pack: &[u8], elements: bool) {
    crate::log::warning(format!("listpack: {} bytes, {} elements", pack.len(), listpack::len(pack)));
    if elements {
        listpack::iter(pack).enumerate().for_each(|(index, element)| log_element(index, element));
    }
}

fn log_element(index: usize, element: Element) {
    /// Of a long element only so much is shown.
    const SHOWN_BYTES: usize = 60;
    match element {
        Element::Int(value) => crate::log::warning(format!("  {index}: integer {value}")),
        Element::Bytes(bytes) => {
            let shown = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
            crate::log::warning(format!("  {index}: {} bytes \"{shown}\"", bytes.len()));
        }
    }
}

pub fn quicklist(cx: &mut Context, args: Args) -> Result<(), Error> {
    let elements = args.get(3).and_then(parse_i64).is_some_and(|detail| detail != 0);
    let entry = cx.peek(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    let Some(list @ ListView::Nodes(nodes)) = entry.view::<List>() else {
        return Err(Error::new("ERR Not a quicklist encoded object."));
    };
    crate::log::warning(format!("quicklist: {} nodes, {} elements", nodes.nodes().len(), nodes.len()));
    for chunk in list.chunks() {
        match chunk {
            Chunk::Listpack(pack) => log_listpack(pack, elements),
            Chunk::Plain(bytes) => log_element(0, Element::Bytes(bytes)),
        }
    }
    cx.out.simple("Quicklist structure printed on stdout");
    Ok(())
}

pub fn quicklist_packed_threshold(cx: &mut Context, args: Args) -> Result<(), Error> {
    const BYTES_MAX: u64 = (1 << 32) - (1 << 20);
    let bytes = parse_memory(args.at(2))
        .filter(|&bytes| bytes <= BYTES_MAX)
        .ok_or(Error::new("ERR argument must be a memory value bigger than 1 and smaller than 4gb"))?;
    cx.shared.list_large_bytes_min.store(bytes as u32, Relaxed);
    cx.out.ok();
    Ok(())
}

/// In the words of Redis 7.0: clients parse them.
pub fn sdslen(cx: &mut Context, args: Args) -> Result<(), Error> {
    let entry = cx.peek(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    let (len, capacity, bytes) = match entry.value() {
        Value::Bytes(value) if entry.kind() == Type::String => {
            (value.len(), entry.capacity(), entry.bytes_allocated())
        }
        _ => return Err(Error::new("ERR Not an sds encoded string.")),
    };
    let key = entry.key().len();
    // A key, and a short value, lie in the entry itself.
    let text = format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{len}, val_sds_avail:{}, val_zmalloc: {}",
        capacity - len,
        bytes - key
    );
    cx.out.simple(&text);
    Ok(())
}

pub fn htstats(cx: &mut Context, args: Args) -> Result<(), Error> {
    let db = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    if !(0..cx.config.databases as i64).contains(&db) {
        return Err(Error::new("ERR Out of range database"));
    }
    let stores = cx.shards().map(|shard| &shard.dbs[db as usize].store);
    let (keys, expires, shards) = stores
        .fold((0, 0, 0), |(keys, expires, n), store| (keys + store.len(), expires + store.expires(), n + 1));
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n number of tables: {shards}\n number of entries: \
         {keys}\n[Expires HT]\n number of entries: {expires}\n"
    );
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

pub fn htstats_key(cx: &mut Context, args: Args) -> Result<(), Error> {
    let entry = cx.peek(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    if !matches!(entry.encoding(), Encoding::Hashtable | Encoding::Skiplist) {
        return Err(Error::new(
            "ERR The value stored at the specified key is not represented using an hash table",
        ));
    }
    let elements = match entry.kind() {
        Type::Set => entry.view::<Set>().map_or(0, |set| set.len()),
        Type::Zset => entry.view::<Zset>().map_or(0, |zset| zset.len()),
        _ => entry.view::<Hash>().map_or(0, |hash| hash.len()),
    };
    let text = format!(
        "Hash table 0 stats (main hash table):\n number of elements: {elements}\n bytes: {}\n",
        entry.bytes_allocated()
    );
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::describe_nodes;
    use crate::types::{Collection, Limits, List};

    #[test]
    fn the_nodes_of_a_list_are_described() {
        let describe = |limits: &Limits, fast| {
            let elements = ["a", "b", "a longer one"].map(str::as_bytes);
            let mut text = String::new();
            describe_nodes(List::from_elements(elements, limits).view(), false, fast, &mut text);
            text
        };
        let twos = Limits { list_size_max: 2, ..Limits::default() };
        let text = " ql_nodes:2 ql_avg_node:1.50 ql_listpack_max:2 ql_compressed:0";
        assert_eq!(describe(&twos, true), text);
        assert_eq!(describe(&twos, false), format!("{text} ql_uncompressed_size:34"));
        assert_eq!(describe(&Limits::default(), false), "");
        // A long element by itself: only its bytes count.
        let apart = Limits { list_large_bytes_min: 10, ..twos };
        assert_eq!(describe(&apart, false), format!("{text} ql_uncompressed_size:25"));
    }
}
