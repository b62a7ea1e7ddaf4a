//! Small files of every version, as servers of their time wrote them: the values that a version has, by type code, with
//! what may stand around them.
//! In: values (form and body), a checksum function. Out: files. Absent: the crate's own code, so that examples can use it.

/// A file, and its version: 1 to 12 of Redis, 80 of Valkey.
pub struct File {
    pub version: u16,
    pub bytes: Vec<u8>,
    /// How many entries it has.
    pub entries: usize,
}

pub const VERSIONS: [u16; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, VALKEY];
const VALKEY: u16 = 80;

/// The first version that has a form, and the last: from 22 on, Redis and Valkey have different ones.
fn versions_of(form: u8, valkey: bool) -> std::ops::RangeInclusive<u16> {
    match form {
        22 if valkey => VALKEY..=VALKEY,
        22..=25 => 12..=12,
        20..=21 => 11..=VALKEY,
        16..=19 => 10..=VALKEY,
        15 => 9..=VALKEY,
        5 => 8..=VALKEY,
        14 => 7..=VALKEY,
        13 => 4..=VALKEY,
        9..=12 => 2..=VALKEY,
        _ => 1..=VALKEY,
    }
}

/// Streams as they have been written since Redis 5.0, 7.0 and 7.2, with a group and a consumer; a node is a listpack of one
/// entry of one field.
fn streams() -> [Vec<u8>; 3] {
    let node: &[u8] = b"\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x1d\x1d\0\0\0\x0a\0\x01\x01\0\x01\x01\x01\x81f\x02\0\x01\x02\x01\0\x01\0\x01\x81v\x02\x04\x01\xff";
    let pending: &[u8] = b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x80\x01\0\0\x01";
    let own: &[u8] = b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0";
    let (seen, active) = (b"\x01\0\0\0\x80\x01\0\0", b"\x02\0\0\0\x80\x01\0\0");
    let head_1: &[u8] = b"\x01\x01\0";
    let head_2: &[u8] = b"\x01\x01\0\x01\0\0\0\x01";
    let stream = |form: u8, head: &[u8], group: &[u8], consumer: &[&[u8]]| {
        let parts = [
            &[form, 1],
            node,
            head,
            b"\x01\x01g\x01\0",
            group,
            pending,
            b"\x01\x01c",
            &consumer.concat(),
            own,
        ];
        parts.concat()
    };
    [
        stream(15, head_1, b"", &[seen]),
        stream(19, head_2, b"\x01", &[seen]),
        stream(21, head_2, b"\x01", &[seen, active]),
    ]
}

/// A file of each version. `values`: form and body, and whether it is Valkey's; `crc64`: the checksum.
pub fn files(values: &[(bool, Vec<u8>)], crc64: fn(&[u8]) -> u64) -> Vec<File> {
    let streams = streams().map(|stream| (false, stream));
    let values: Vec<_> = values.iter().chain(&streams).collect();
    VERSIONS.map(|version| file(version, &values, crc64)).into()
}

fn file(version: u16, values: &[&(bool, Vec<u8>)], crc64: fn(&[u8]) -> u64) -> File {
    let mut out =
        if version == VALKEY { b"VALKEY080".to_vec() } else { format!("REDIS{version:04}").into_bytes() };
    if version >= 7 {
        out.extend_from_slice(
            b"\xfa\x09redis-ver\x056.2.7\xfa\x0aredis-bits\xc0\x40\xfa\x05ctime\xc2\x59\x4d\xb6\x65",
        );
    }
    if version >= 10 {
        out.extend_from_slice(b"\xf5\x1c#!lua name=lib\nreturn redis.");
        // Data of a module: id, when, an integer, a float, a double, a string, the end.
        out.extend_from_slice(
            b"\xf7\x81\x12\x34\x56\x78\x9a\xbc\xde\xf0\x02\x02\x02\x05\x03abcd\x04abcdefgh\x05\x03abc\0",
        );
    }
    out.extend_from_slice(b"\xfe\x00");
    if version >= 7 {
        out.extend_from_slice(b"\xfb\x40\x50\x03");
    }
    if version == 12 || version == VALKEY {
        out.extend_from_slice(b"\xf4\x7f\xff\x0a\x01");
    }
    if version == VALKEY {
        out.extend_from_slice(b"\xf3\x03job\x02\x01\x05\x40\x64\x40\x65");
    }
    let mut entries = 0;
    for (valkey, value) in values.iter().copied() {
        if versions_of(value[0], *valkey).contains(&version) {
            entry(&mut out, version, entries, value);
            entries += 1;
        }
    }
    out.extend_from_slice(b"\xfe\x0f\0\x05other\xc0\x07\xff");
    if version >= 5 {
        let checksum = crc64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
    }
    File { version, bytes: out, entries: entries + 1 }
}

/// An entry; every third expires, every third has what its version knows of its use.
fn entry(out: &mut Vec<u8>, version: u16, number: usize, value: &[u8]) {
    match number % 3 {
        0 if version < 3 => out.extend_from_slice(b"\xfd\x59\x4d\xb6\x65"),
        0 => out.extend_from_slice(b"\xfc\x01\0\0\0\x80\x01\0\0"),
        1 if version >= 9 && number.is_multiple_of(2) => out.extend_from_slice(b"\xf8\x40\x64"),
        1 if version >= 9 => out.extend_from_slice(b"\xf9\x05"),
        _ => {}
    }
    let key = format!("key:{number}");
    out.extend_from_slice(&[value[0], key.len() as u8]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(&value[1..]);
}
