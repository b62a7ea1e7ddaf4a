//! Reads an RDB file into memory as the server does, and writes another one, or the base of a log that consists of commands:
//! tests/clients lets real servers compare them.
//! `cargo run --profile fast --example rewrite_rdb -- IN OUT [10|11|12|80|commands] [compress] [step bytes]`
//!
//! Values that the server has no type for are left out; how many is printed.

use ringfort::base::crc::Crc64;
use ringfort::persist::aof::base;
use ringfort::persist::rdb::Error;
use ringfort::persist::rdb::file::{Event, Reader, Usage, Version, What, Writer, trailer};
use ringfort::persist::{object, save};
use ringfort::types::store::Store;
use ringfort::types::{Limits, hasher};
use std::collections::BTreeMap;
use std::time::Instant;

struct Contents {
    dbs: BTreeMap<u64, Store>,
    functions: Vec<Vec<u8>>,
    left_out: usize,
}

fn read(bytes: &[u8]) -> Contents {
    const PORTION_BYTES: usize = 1 << 20;
    let limits = Limits::default();
    let mut contents = Contents { dbs: BTreeMap::new(), functions: Vec::new(), left_out: 0 };
    let mut reader = Reader::new(Some(bytes.len() as u64));
    let mut portions = bytes.chunks(PORTION_BYTES);
    loop {
        match reader.next().unwrap_or_else(|error| panic!("{error}")) {
            None => reader.feed(portions.next().expect("Event::End comes first")),
            Some(Event::Entry(raw)) => {
                let value = match object::load(&raw, &limits) {
                    Ok(value) => value,
                    Err(error) if matches!(error.what, What::Value(Error::Unsupported(_))) => {
                        contents.left_out += 1;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                let store = contents.dbs.entry(raw.db).or_insert_with(|| Store::new(hasher()));
                let old = store.put(store.hash(&raw.key), &raw.key, value, raw.expiry_ms, 0);
                assert!(old.is_none(), "a key twice");
            }
            Some(Event::Function(source)) => contents.functions.push(source.into_owned()),
            Some(Event::End(checksum)) => {
                println!("checksum: {checksum:?}");
                return contents;
            }
            Some(_) => {}
        }
    }
}

fn write(contents: &Contents, writer: Writer, step_bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    writer.header(&mut out);
    writer.aux(&mut out, "ringfort-ver", b"0");
    contents.functions.iter().for_each(|source| writer.function(&mut out, source));
    for (db, store) in &contents.dbs {
        writer.select_db(&mut out, *db);
        writer.resize_db(&mut out, store.len() as u64, store.expires() as u64);
        store.for_each(&mut |entry| {
            let rest = save::entry(writer, entry, Usage::Unknown, step_bytes, &mut out);
            if let Some(mut rest) = rest.expect("a value that can be written") {
                while !rest.step(writer, entry, step_bytes, &mut out) {}
            }
        });
    }
    let mut crc = Crc64::new();
    crc.update(&out);
    out.extend_from_slice(&trailer(Some(&crc)));
    out
}

fn write_commands(contents: &Contents, step_bytes: usize) -> Vec<u8> {
    let mut out = base::head(None, contents.functions.iter().map(Vec::as_slice));
    for (db, store) in &contents.dbs {
        base::select_db(&mut out, *db as u16);
        store.for_each(&mut |entry| {
            if let Some(mut rest) = base::entry(entry, step_bytes, &mut out) {
                while !rest.step(entry, step_bytes, &mut out) {}
            }
        });
    }
    out
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, default: &str| arguments.get(at).map_or(default.to_owned(), String::clone);
    let version = match argument(2, "11").as_str() {
        "10" => Version::V10,
        "11" => Version::V11,
        "12" => Version::Redis12,
        "80" => Version::Valkey80,
        "commands" => Version::V11,
        other => panic!("no version is {other}"),
    };
    let writer = Writer { version, compress: argument(3, "") == "compress" };
    let step_bytes = argument(4, "65536").parse().expect("a number of bytes");
    let bytes = std::fs::read(&arguments[0]).expect("a file to read");
    let start = Instant::now();
    let contents = read(&bytes);
    let read_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let written = match argument(2, "11").as_str() {
        "commands" => write_commands(&contents, step_bytes),
        _ => write(&contents, writer, step_bytes),
    };
    let write_s = start.elapsed().as_secs_f64();
    std::fs::write(&arguments[1], &written).expect("a file to write");
    let keys: usize = contents.dbs.values().map(Store::len).sum();
    println!(
        "{keys} keys, {} values left out; read {} bytes in {read_s:.3} s, wrote {} in {write_s:.3} s",
        contents.left_out,
        bytes.len(),
        written.len()
    );
}
