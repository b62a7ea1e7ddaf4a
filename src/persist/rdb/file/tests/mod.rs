//! Files of every version, whole, in portions, cut and changed; records by hand; what the writer makes of any piece.

mod corpus;

use super::*;
use crate::base::crc::{Crc64, crc64};
use crate::base::rng::Rng;
use crate::persist::rdb::tests::{contents, samples, unhex};
use crate::persist::rdb::{self, Dialect, Reader as Primitives, open};
use corpus::{File, VERSIONS};

/// Values of all forms: form and body, and whether they are Valkey's.
fn values() -> Vec<(bool, Vec<u8>)> {
    let old = include_str!("../../tests/old.tsv").lines().map(|line| (false, unhex(line)));
    let new = samples().into_iter().map(|sample| {
        let (dialect, value) = open(&sample.payload).unwrap();
        (dialect == Dialect::Valkey, value.to_vec())
    });
    old.chain(new).collect()
}

fn files() -> Vec<File> {
    corpus::files(&values(), crc64)
}

fn newest() -> File {
    files().into_iter().find(|file| file.version == 11).unwrap()
}

/// What a reader says of a file that comes in portions of that size: its events, in words, and how it ends.
fn read(bytes: &[u8], portion: usize, total: Option<u64>) -> (Vec<String>, Result<Checksum, Error>) {
    let mut reader = Reader::new(total);
    let mut portions = bytes.chunks(portion);
    let mut said = Vec::new();
    loop {
        match reader.next() {
            Ok(None) => match portions.next() {
                Some(portion) => reader.feed(portion),
                None => return (said, Err(reader.cut())),
            },
            Ok(Some(Event::End(checksum))) => return (said, Ok(checksum)),
            Ok(Some(event)) => said.push(say(&event)),
            Err(error) => return (said, Err(error)),
        }
    }
}

fn say(event: &Event) -> String {
    let Event::Entry(raw) = event else { return format!("{event:?}") };
    let mut parts = Primitives::new(raw.body);
    let value = match rdb::decode(raw.form, raw.dialect, &mut parts) {
        Ok(value) => {
            assert!(parts.rest().is_empty(), "the body of {raw:?} is longer than its value");
            let contents = contents(&value);
            contents.iter().map(|text| text.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("{error:?}"),
    };
    format!("{} {} {:?} {:?}: {value}", raw.db, raw.key.escape_ascii(), raw.expiry_ms, raw.usage)
}

#[test]
fn files_of_every_version() {
    let files = files();
    assert_eq!(files.iter().map(|file| file.version).collect::<Vec<_>>(), VERSIONS);
    for File { version, bytes, entries } in files {
        let (said, end) = read(&bytes, bytes.len(), Some(bytes.len() as u64));
        let checksum = if version < 5 { Checksum::Unchecked } else { Checksum::Sound };
        assert_eq!(end, Ok(checksum), "{version}");
        let found = said.iter().filter(|text| text.starts_with(['0', '1'])).count();
        assert_eq!(found, entries, "{version}: {said:#?}");
        let bad: Vec<_> = said.iter().filter(|text| text.contains("Corrupt")).collect();
        assert!(bad.is_empty(), "{version}: {bad:#?}");
        assert!(said.last().unwrap().starts_with("15 other None Unknown: 7"), "{said:?}");
        for portion in [1, 2, 7, 100] {
            assert_eq!(read(&bytes, portion, None), (said.clone(), Ok(checksum)), "{version} by {portion}");
        }
    }
}

#[test]
fn what_stands_around_entries() {
    let valkey = files().into_iter().find(|file| file.version == 80).unwrap();
    let (said, _) = read(&valkey.bytes, 50, None);
    let expected = [
        "Version { dialect: Valkey, number: 80 }",
        "SlotInfo { slot: 16383, keys: 10, expiring: 1 }",
        "ResizeDb { keys: 80, expiring: 3 }",
        "ModuleAux { module: \"EjRWeJq83\" }",
    ];
    for line in expected {
        assert!(said.iter().any(|text| text == line), "{line}: {said:#?}");
    }
    assert!(said.iter().any(|text| text.starts_with("SlotImport")), "{said:#?}");
    let entries: Vec<_> = said.iter().filter(|text| text.contains(" key:")).collect();
    assert!(entries.iter().any(|text| text.contains("Some(1649267441665) Unknown")), "{entries:#?}");
    assert!(entries.iter().any(|text| text.contains("None Idle(100)")), "{entries:#?}");
    assert!(entries.iter().any(|text| text.contains("None Frequency(5)")), "{entries:#?}");
    let old = files().into_iter().find(|file| file.version == 2).unwrap();
    let (said, _) = read(&old.bytes, 50, None);
    assert!(said.iter().any(|text| text.contains("Some(1706446169000)")), "seconds become ms: {said:#?}");
}

#[test]
fn a_file_that_is_cut_anywhere() {
    for File { version, bytes, .. } in files().into_iter().filter(|file| [1, 11, 80].contains(&file.version))
    {
        let (whole, _) = read(&bytes, bytes.len(), None);
        for length in 0..bytes.len() {
            for total in [None, Some(length as u64)] {
                let (said, end) = read(&bytes[..length], 64, total);
                let error = end.unwrap_err();
                assert_eq!((error.what, error.offset), (What::Cut, length as u64), "{version}");
                assert_eq!(said, whole[..said.len()], "{version} {length}");
            }
        }
    }
}

#[test]
fn a_byte_that_is_changed_anywhere() {
    let File { bytes, .. } = newest();
    for at in 0..bytes.len() {
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let (_, end) = read(&changed, 4096, None);
            // A version that has no checksums leaves it behind the end.
            let older = (5..9).contains(&at) && end == Ok(Checksum::Unchecked);
            let error = if older { continue } else { end.expect_err("the checksum") };
            assert!(error.offset <= bytes.len() as u64, "{error}");
        }
    }
}

#[test]
fn changed_files_never_do_harm() {
    let files = files();
    let mut rng = Rng::seeded(17);
    let mut below = |bound: usize| rng.below(bound as u64) as usize;
    for _ in 0..5_000 {
        let (file, other) = (&files[below(files.len())], &files[below(files.len())]);
        let mut bytes = file.bytes.clone();
        crate::persist::rdb::tests::mutate::mutate(&mut bytes, &other.bytes, &mut below);
        let portion = 1 + below(bytes.len() + 1);
        let whole = read(&bytes, bytes.len().max(1), None);
        assert_eq!(read(&bytes, portion, None), whole);
    }
}

/// Reads records behind a header of version 11.
fn records(bytes: &[u8]) -> (Vec<String>, Result<Checksum, Error>) {
    let file = [b"REDIS0011", bytes].concat();
    let (said, end) = read(&file, file.len(), Some(file.len() as u64));
    (said[1..].to_vec(), end)
}

#[test]
fn errors_say_where() {
    let cases: [(&[u8], u64, Option<&str>, &str); 12] = [
        (b"\x08\x01k\x01v", 9, None, "unknown record or value type 8"),
        (b"\0\x01k\x01v\x63\x01a", 14, None, "unknown record or value type 99"),
        (b"\0\x01k\xC4v", 12, Some("k"), "not a length (integrity check failed)"),
        (
            b"\0\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff",
            12,
            Some("k"),
            "a length beyond all files (integrity check failed)",
        ),
        (b"\0\xC1\x39\x30\xC0", 14, Some("12345"), "unexpected end of file"),
        (b"\0\x05ke", 13, None, "unexpected end of file"),
        (b"\x02\x01k\x03\x01a\x01b", 17, Some("k"), "unexpected end of file"),
        (b"\x06\x01k", 9, None, "values of modules as only release candidates wrote them"),
        (b"\xf6\x01k", 9, None, "functions as only release candidates wrote them"),
        (b"\x07\x01k\x05\x06", 13, Some("k"), "an unknown part of a module's data"),
        (b"\0\xC3\x02\x05ab\x01v", 9, None, "not compressed by LZF, or to another length"),
        (
            b"\xff\x08\x07\x06\x05\x04\x03\x02\x01",
            10,
            None,
            "wrong checksum: the file says 0102030405060708, its bytes have ",
        ),
    ];
    for (bytes, offset, key, text) in cases {
        let (_, end) = records(bytes);
        let error = end.unwrap_err();
        assert!(error.what.to_string().starts_with(text), "{error} for {bytes:02x?}");
        assert_eq!((error.offset, error.key.as_deref()), (offset, key.map(str::as_bytes)), "{error}");
    }
    let with_key = records(b"\0\x02k\"\xC4v").1.unwrap_err();
    assert_eq!(with_key.to_string(), "offset 13, key \"k\\\"\": not a length (integrity check failed)");
}

#[test]
fn a_value_of_a_module_is_measured_and_named() {
    let file = b"REDIS0011\x07\x01m\x81\x12\x34\x56\x78\x9a\xbc\xde\xf0\x01\x05\x05\x03abc\0\0\x01k\x01v\xff\0\0\0\0\0\0\0\0";
    let mut reader = Reader::new(None);
    reader.feed(file);
    assert!(matches!(reader.next(), Ok(Some(Event::Version { .. }))));
    let Ok(Some(Event::Entry(raw))) = reader.next() else { panic!("an entry") };
    let error = crate::persist::object::load(&raw, &crate::types::Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "offset 12, key \"m\": data of the module 'EjRWeJq83', which is not here");
    assert!(matches!(reader.next(), Ok(Some(Event::Entry(raw))) if *raw.key == *b"k"));
}

#[test]
fn signatures_and_versions() {
    let error = |bytes: &[u8]| {
        let error = read(bytes, 4, None).1.unwrap_err();
        (error.offset, error.what)
    };
    for (bytes, version) in [
        ("REDIS0000", "0000"),
        ("REDIS0013", "0013"),
        ("REDIS0080", "0080"),
        ("REDIS00a1", "00a1"),
        ("REDIS+011", "+011"),
    ] {
        assert_eq!(error(bytes.as_bytes()), (5, What::Version(version.into())));
    }
    for (bytes, version) in [("VALKEY011", "011"), ("VALKEY079", "079"), ("VALKEY081", "081")] {
        assert_eq!(error(bytes.as_bytes()), (6, What::Version(version.into())));
    }
    for bytes in [&b"\0"[..], b"redis0011", b"REDIX0011", b"VALKEX080", b"*2\r\n$6\r\nSELECT\r\n"] {
        assert_eq!(error(bytes), (0, What::Signature));
    }
    for bytes in [&b""[..], b"R", b"REDIS001", b"VALKEY08", b"REDIS0011"] {
        assert_eq!(error(bytes), (bytes.len() as u64, What::Cut));
    }
}

#[test]
fn lengths_that_lie_take_no_memory() {
    for bytes in
        [&b"REDIS0011\0\x01k\x81\0\0\x40\0\0\0\0\0abc"[..], b"REDIS0011\x02\x01k\x81\0\0\x40\0\0\0\0\0\0\0\0"]
    {
        let mut reader = Reader::new(None);
        reader.feed(bytes);
        assert!(matches!(reader.next(), Ok(Some(Event::Version { .. }))));
        assert!(matches!(reader.next(), Ok(None)));
        assert!(reader.bytes_allocated() < 100);
        assert_eq!(reader.cut().what, What::Cut);
        // With the length of the file the lie is known at once.
        let mut reader = Reader::new(Some(1 << 20));
        reader.feed(bytes);
        let _ = reader.next();
        let noticed = matches!(reader.next(), Err(Error { what: What::Cut, .. }));
        assert_eq!(noticed, bytes[9] == 0, "a count of elements may be any");
    }
}

#[test]
fn a_large_value_in_small_portions_is_walked_through_once() {
    let mut bytes = b"REDIS0011\x02\x01k\x80\0\x0f\x42\x40".to_vec();
    (0..1_000_000u32).for_each(|i| bytes.extend_from_slice(&[2, i as u8, (i >> 8) as u8]));
    bytes.extend_from_slice(&trailer(None));
    let start = std::time::Instant::now();
    let mut reader = Reader::new(None);
    let mut entries = 0;
    for portion in bytes.chunks(16) {
        reader.feed(portion);
        while let Some(event) = reader.next().unwrap() {
            entries += usize::from(matches!(event, Event::Entry(raw) if raw.body.len() == 3_000_005));
        }
    }
    assert_eq!(entries, 1);
    // From the beginning for each portion it would take minutes.
    assert!(start.elapsed().as_secs() < 10);
}

#[test]
fn what_is_behind_a_file_stays() {
    let mut bytes = b"REDIS0011".to_vec();
    bytes.extend_from_slice(&trailer(None));
    let end = bytes.len() as u64;
    bytes.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let mut reader = Reader::new(None);
    reader.feed(&bytes);
    assert!(matches!(reader.next(), Ok(Some(Event::Version { .. }))));
    assert!(matches!(reader.next(), Ok(Some(Event::End(Checksum::Unchecked)))));
    assert!(matches!(reader.next(), Ok(None)));
    assert_eq!((reader.rest(), reader.offset()), (&b"*1\r\n$4\r\nPING\r\n"[..], end));
}

#[test]
fn pieces_that_are_written() {
    let writer = Writer { version: Version::Redis12, compress: true };
    let mut out = Vec::new();
    writer.header(&mut out);
    writer.aux(&mut out, "redis-ver", b"8.0.0");
    writer.aux(&mut out, "redis-bits", b"64");
    writer.function(&mut out, b"#!lua name=l\n");
    writer.select_db(&mut out, 3);
    writer.resize_db(&mut out, 100, 0);
    for (expiry_ms, usage) in
        [(Some(5), Usage::Idle(70)), (None, Usage::Frequency(9)), (Some(-1), Usage::Unknown)]
    {
        writer.entry_head(&mut out, expiry_ms, usage);
        out.extend_from_slice(b"\0\x01k\x01v");
    }
    assert_eq!(
        out,
        b"REDIS0012\xfa\x09redis-ver\x058.0.0\xfa\x0aredis-bits\xc0\x40\xf5\x0d#!lua name=l\n\xfe\x03\xfb\x40\x64\0\
          \xfc\x05\0\0\0\0\0\0\0\xf8\x40\x46\0\x01k\x01v\xf9\x09\0\x01k\x01v\xfc\xff\xff\xff\xff\xff\xff\xff\xff\0\x01k\x01v"
    );
    for checksum in [Checksum::Unchecked, Checksum::Sound] {
        let mut file = out.clone();
        let mut crc = Crc64::new();
        crc.update(&file);
        file.extend_from_slice(&trailer(Some(&crc).filter(|_| checksum == Checksum::Sound)));
        let (said, end) = read(&file, 10, Some(file.len() as u64));
        assert_eq!(end, Ok(checksum));
        let entries = ["3 k Some(5) Idle(70): v", "3 k None Frequency(9): v", "3 k Some(-1) Unknown: v"];
        assert_eq!(said[said.len() - 3..], entries);
    }
}

#[test]
fn without_a_checksum_any_is_taken() {
    let mut file = b"REDIS0011\xff".to_vec();
    file.extend_from_slice(&[1; 8]);
    let mut reader = Reader::new(None).without_checksum();
    reader.feed(&file);
    let _ = reader.next();
    assert!(matches!(reader.next(), Ok(Some(Event::End(Checksum::Unchecked)))));
}
