//! Forms made by hand: those of old servers and of Redis 8, each sound once and wrong in many ways; and what our own
//! writer makes of any value.

use super::*;
use proptest::prelude::*;

const CORRUPT: &str = "Corrupt";

fn redis(value: &[u8]) -> Result<Vec<Vec<u8>>> {
    read(Dialect::Redis, value).map(|value| contents(&value))
}

fn corrupt(value: &[u8]) {
    let result = redis(value);
    assert!(matches!(result, Err(Error::Corrupt(_))), "{CORRUPT}: {value:02x?} is {result:?}");
}

fn list_of(expected: &[&str]) -> Result<Vec<Vec<u8>>> {
    Ok(expected.iter().map(|text| text.as_bytes().to_vec()).collect())
}

/// A form whose body is one string.
fn blob(form: u8, bytes: &[u8]) -> Vec<u8> {
    [&[form, 0x80][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A ziplist of elements that are given as head and data; the sizes before them in five bytes if `wide`.
fn ziplist(elements: &[&[u8]], wide: bool) -> Vec<u8> {
    let (mut body, mut size, mut last) = (Vec::new(), 0usize, 10);
    for element in elements {
        last = 10 + body.len();
        if wide || size >= 254 {
            body.push(0xFE);
            body.extend_from_slice(&(size as u32).to_le_bytes());
        } else {
            body.push(size as u8);
        }
        body.extend_from_slice(element);
        size = 10 + body.len() - last;
    }
    let total = 10 + body.len() + 1;
    let mut bytes = [(total as u32).to_le_bytes(), (last as u32).to_le_bytes()].concat();
    bytes.extend_from_slice(&(elements.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes.push(0xFF);
    bytes
}

fn all_widths() -> (Vec<Vec<u8>>, Vec<String>) {
    let string = |head: &[u8], length: usize| [head, &b"s".repeat(length)].concat();
    let elements = vec![
        b"\x03abc".to_vec(),
        vec![0x00],
        vec![0xF1],
        vec![0xFD],
        vec![0xFE, 0x80],
        vec![0xFE, 13],
        vec![0xC0, 0x00, 0x80],
        vec![0xF0, 0x00, 0x00, 0x80],
        vec![0xF0, 0xFF, 0xFF, 0x7F],
        vec![0xD0, 0x00, 0x00, 0x00, 0x80],
        vec![0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80],
        b"\x0207".to_vec(),
        string(&[0x3F], 63),
        string(&[0x40, 64], 64),
        string(&[0x41, 0x00], 256),
        string(&[0x80, 0, 0, 0x40, 0], 16384),
        vec![0xF2],
    ];
    let mut texts: Vec<String> =
        ["abc", "", "0", "12", "-128", "13", "-32768", "-8388608", "8388607", "-2147483648"]
            .map(String::from)
            .into();
    texts.extend(["-9223372036854775808", "07"].map(String::from));
    texts.extend([63, 64, 256, 16384].map(|length| "s".repeat(length)));
    texts.push("1".to_owned());
    (elements, texts)
}

#[test]
fn ziplists_with_elements_of_all_widths() {
    let (elements, texts) = all_widths();
    let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for wide in [false, true] {
        let packed = ziplist(&elements, wide);
        assert_eq!(redis(&blob(form::LIST_ZIPLIST, &packed)), list_of(&texts));
        let nodes =
            [&[form::LIST_QUICKLIST, 2][..], &blob(0, &packed)[1..], b"\x0e", &ziplist(&[b"\x01z"], wide)];
        let end = nodes[3].len();
        let nodes = nodes.concat();
        // The small node is 14 bytes, or 18 with a wide size.
        let mut nodes = nodes;
        let at = nodes.len() - end - 1;
        nodes[at] = end as u8;
        let both: Vec<&str> = texts.iter().copied().chain(["z"]).collect();
        assert_eq!(redis(&nodes), list_of(&both));
    }
    let mut unknown = ziplist(&elements, false);
    unknown[8..10].fill(0xFF);
    assert_eq!(redis(&blob(form::LIST_ZIPLIST, &unknown)), list_of(&texts));
}

#[test]
fn ziplists_that_are_wrong_somewhere() {
    let sound = ziplist(&[b"\x01a", &[0xF3], b"\x02bc"], false);
    assert_eq!(redis(&blob(form::LIST_ZIPLIST, &sound)), list_of(&["a", "2", "bc"]));
    // Total, last place, count, the sizes before the second and the third, the end.
    for at in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 15, sound.len() - 1] {
        for wrong in [sound[at].wrapping_add(1), sound[at].wrapping_sub(1), 0xFE, 0xFF] {
            let mut bytes = sound.clone();
            bytes[at] = wrong;
            if bytes != sound {
                corrupt(&blob(form::LIST_ZIPLIST, &bytes));
            }
        }
    }
    for length in 0..sound.len() {
        corrupt(&blob(form::LIST_ZIPLIST, &sound[..length]));
    }
    for head in [0xFF, 0xC1, 0xEF, 0x05, 0x40, 0x80, 0xE0] {
        let mut bytes = sound.clone();
        bytes[14] = head;
        corrupt(&blob(form::LIST_ZIPLIST, &bytes));
    }
    corrupt(&blob(form::LIST_ZIPLIST, &ziplist(&[], false)));
    let mut more = sound.clone();
    more.push(0xFF);
    corrupt(&blob(form::LIST_ZIPLIST, &more));
}

#[test]
fn hashes_and_sorted_sets_in_ziplists() {
    let hash = |elements: &[&[u8]]| redis(&blob(form::HASH_ZIPLIST, &ziplist(elements, false)));
    assert_eq!(hash(&[b"\x01b", &[0xF2], b"\x01a", b"\x01x"]), list_of(&["a", "x", "b", "1"]));
    assert!(hash(&[b"\x01b", &[0xF2], b"\x01b", b"\x01x"]).is_err(), "twice");
    assert!(hash(&[&[0xF2], b"\x01b", b"\x011", b"\x01x"]).is_err(), "twice, written in two ways");
    assert!(hash(&[b"\x01b", &[0xF2], b"\x01a"]).is_err(), "without a value");
    assert!(hash(&[]).is_err());

    let zset = |elements: &[&[u8]]| redis(&blob(form::ZSET_ZIPLIST, &ziplist(elements, false)));
    let sound: [&[u8]; 6] =
        [b"\x01a", b"\x04-inf", b"\x01b", b"\x131.50000000000000000", b"\x01c", b"\x03inf"];
    assert_eq!(zset(&sound), list_of(&["a", "-inf", "b", "1.5", "c", "inf"]));
    assert!(zset(&[b"\x01a", b"\x03nan"]).is_err());
    assert!(zset(&[b"\x01a", b"\x01x"]).is_err());
    assert!(zset(&[b"\x01b", &[0xF2], b"\x01a", &[0xF2]]).is_err(), "members out of order");
    assert!(zset(&[b"\x01a", &[0xF3], b"\x01b", &[0xF2]]).is_err(), "scores out of order");
    assert!(zset(&[b"\x01a", &[0xF2], b"\x01b", &[0xF2]]).is_ok());
    assert!(zset(&[b"\x01a", &[0xF2], b"\x01a", &[0xF3]]).is_err(), "twice");
}

#[test]
fn zipmaps() {
    let sound = b"\x02\x03foo\x02\x01hi!\x03bar\xFE\x02\0\0\0\0ho\xFF";
    assert_eq!(redis(&blob(form::HASH_ZIPMAP, sound)), list_of(&["bar", "ho", "foo", "hi"]));
    // Not as a pack: a value may be too long for one, and that is for the limits to say.
    assert!(matches!(read(Dialect::Redis, &blob(form::HASH_ZIPMAP, sound)), Ok(Value::Hash(_))));
    let mut unknown = *sound;
    unknown[0] = 0xFE;
    assert!(redis(&blob(form::HASH_ZIPMAP, &unknown)).is_ok());
    for length in 0..sound.len() {
        corrupt(&blob(form::HASH_ZIPMAP, &sound[..length]));
    }
    for (at, wrong) in [(0, 1), (0, 3), (1, 0xFF), (1, 40), (5, 0xFF), (6, 0), (6, 40), (19, 9)] {
        let mut bytes = *sound;
        bytes[at] = wrong;
        corrupt(&blob(form::HASH_ZIPMAP, &bytes));
    }
    corrupt(&blob(form::HASH_ZIPMAP, b"\0\xFF"));
    corrupt(&blob(form::HASH_ZIPMAP, b"\x02\x01a\x01\0b\x01a\x01\0c\xFF"));
    corrupt(&blob(form::HASH_ZIPMAP, &[&sound[..], b"\xFF"].concat()));
}

#[test]
fn sequences() {
    assert_eq!(redis(b"\x01\x03\x01b\xC0\x05\x01b"), list_of(&["b", "5", "b"]));
    assert_eq!(redis(b"\x02\x02\x01b\xC1\x05\x01"), list_of(&["261", "b"]));
    assert_eq!(
        redis(b"\x03\x03\x01a\xFE\x01b\xFF\x01c\x031.5"),
        list_of(&["b", "-inf", "c", "1.5", "a", "inf"])
    );
    assert_eq!(redis(b"\x04\x01\x01a\xC0\xFF"), list_of(&["a", "-1"]));
    for empty in [1, 2, 3, 4, 5, 14, 18] {
        corrupt(&[empty, 0]);
    }
    for wrong in [
        &b"\x02\x02\x01b\x01b"[..],
        b"\x02\x02\xC0\x07\x017",
        b"\x02\x03\x01b\x01c",
        b"\x03\x01\x01a\xFD",
        b"\x03\x02\x01a\xFE\x01a\xFF",
        b"\x04\x02\x01a\x01x\x01a\x01y",
        b"\x05\x01\x01a\0\0\0\0\0\0\xF8\x7F",
        b"\x05\x01\x01a\0\0\0\0\0\0\xF8",
        b"\x12\x01\x01\0",
        b"\x12\x01\x03\x01a",
        b"\x12\x01\x02\x07\x07\0\0\0\0\0\xFF",
    ] {
        corrupt(wrong);
    }
    let empty_and_filled = b"\x12\x02\x02\x07\x07\0\0\0\0\0\xFF\x01\x01a";
    assert_eq!(redis(empty_and_filled), list_of(&["a"]));
}

#[test]
fn long_lists_become_nodes() {
    let large = "x".repeat(9000);
    let mut value = vec![form::LIST, 0x80, 0, 0, 0x27, 0x11];
    (0..10_000).for_each(|_| value.extend_from_slice(b"\x03abc"));
    value.extend_from_slice(&[0x40 | (9000u16 >> 8) as u8, 9000u16 as u8]);
    value.extend_from_slice(large.as_bytes());
    let Ok(Value::List(nodes)) = read(Dialect::Redis, &value) else { panic!("a list") };
    assert!(matches!(nodes.last(), Some(Node::Plain(element)) if **element == *large.as_bytes()));
    let packs = &nodes[..nodes.len() - 1];
    assert!(
        packs.iter().all(|node| matches!(node, Node::Pack(pack) if pack.len() < 8300)) && packs.len() > 5
    );
    assert_eq!(contents(&Value::List(nodes)).len(), 10_001);
}

#[test]
fn the_same_member_many_times_is_noticed_early() {
    let mut value = vec![form::SET, 0x80];
    value.extend_from_slice(&1_000_000u32.to_be_bytes());
    value.resize(value.len() + 1_000_000, 0);
    let mut reader = Reader::new(&value[1..]);
    assert!(decode(form::SET, Dialect::Redis, &mut reader).is_err());
    assert!(reader.rest().len() > 990_000);
}

#[test]
fn packs_that_are_wrong() {
    let pack = |elements: &[&str]| {
        let mut pack = listpack::empty();
        elements.iter().for_each(|element| listpack::push(&mut pack, element.as_bytes()));
        pack
    };
    for (form, wrong) in [
        (form::SET_LISTPACK, &["a", "b", "a"][..]),
        (form::SET_LISTPACK, &[]),
        (form::HASH_LISTPACK, &["a", "b", "c"]),
        (form::HASH_LISTPACK, &["a", "b", "a", "c"]),
        (form::HASH_LISTPACK, &[]),
        (form::ZSET_LISTPACK, &["a", "1", "b"]),
        (form::ZSET_LISTPACK, &["a", "x"]),
        (form::ZSET_LISTPACK, &["a", "2", "b", "1"]),
        (form::ZSET_LISTPACK, &["a", "1", "a", "2"]),
        (form::HASH_LISTPACK_EX_PRE_GA, &["a", "b"]),
        (form::HASH_LISTPACK_EX_PRE_GA, &["a", "b", "x"]),
        (form::HASH_LISTPACK_EX_PRE_GA, &["a", "b", "-1"]),
        (form::HASH_LISTPACK_EX_PRE_GA, &["a", "b", "281474976710656"]),
        (form::HASH_LISTPACK_EX_PRE_GA, &["a", "b", "1", "a", "c", "2"]),
    ] {
        corrupt(&blob(form, &pack(wrong)));
    }
    corrupt(&blob(form::SET_INTSET, &intset::empty()));
    corrupt(&blob(form::SET_INTSET, b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0"));
    corrupt(&blob(form::SET_INTSET, b"\x03\0\0\0\x01\0\0\0\x02\0\0"));
    let sound = blob(form::HASH_LISTPACK_EX_PRE_GA, &pack(&["a", "b", "281474976710655", "c", "d", "0"]));
    assert_eq!(redis(&sound), list_of(&["a", "b", "281474976710655", "c", "d", "-1"]));
    let [form, rest @ ..] = &sound[..] else { panic!() };
    let later = [&[form + 2][..], &1u64.to_le_bytes(), rest].concat();
    assert_eq!(redis(&later), redis(&sound));
}

#[test]
fn fields_that_expire() {
    let at = 1_795_485_868_451u64.to_le_bytes();
    let ga = [&b"\x18"[..], &at, b"\x03\x01\x01a\xC0\x01\0\x01b\xC0\x02\x03\x01c\x03foo"].concat();
    let expected = list_of(&["a", "1", "1795485868451", "b", "2", "-1", "c", "foo", "1795485868453"]);
    assert_eq!(redis(&ga), expected);
    let value = read(Dialect::Redis, &ga).unwrap();
    assert_eq!(rewrite(&value, Dialect::Redis, true), ga);
    let valkey = rewrite(&value, Dialect::Valkey, true);
    assert_eq!(read(Dialect::Valkey, &valkey).map(|value| contents(&value)), expected);

    assert_eq!(redis(b"\x16\x02\x05\x01a\x01x\0\x01b\x01y"), list_of(&["a", "x", "5", "b", "y", "-1"]));
    let plain = read(Dialect::Redis, b"\x16\x01\0\x01a\x01x").unwrap();
    assert!(matches!(plain, Value::Hash(fields) if fields.len() == 1));
    corrupt(&[&b"\x18"[..], &[0xFF; 8], b"\x01\x02\x01a\x01x"].concat());
    corrupt(&[&b"\x18"[..], &at, b"\x02\x01\x01a\x01x\x01\x01a\x01y"].concat());
    let before = [&b"\x16\x01\x01a\x01x"[..], &(-2i64).to_le_bytes()].concat();
    assert!(read(Dialect::Valkey, &before).is_err());
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-c]{0,3}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        (-40000..40000i64).prop_map(|value| value.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..100),
        (0..2000usize).prop_map(|length| b"ab".repeat(length)),
    ]
}

fn owned(bytes: &[u8]) -> Text<'static> {
    Text::Bytes(bytes.to_vec().into())
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let elements = || proptest::collection::vec(element(), 1..12);
    let members =
        || proptest::collection::btree_map(element(), (element(), any::<f64>(), any::<u32>()), 1..12);
    let score = |score: f64| if score.is_nan() { 0.5 } else { score };
    let pack = |elements: Vec<Vec<u8>>| {
        let mut pack = listpack::empty();
        elements.iter().for_each(|element| listpack::push(&mut pack, element));
        std::borrow::Cow::Owned(pack)
    };
    prop_oneof![
        element().prop_map(|bytes| Value::String(bytes.into())),
        proptest::collection::vec(elements(), 1..4).prop_map(move |nodes| {
            let node = |elements: Vec<Vec<u8>>| match &elements[..] {
                [one] if !one.is_empty() => Node::Plain(one.clone().into()),
                _ => Node::Pack(pack(elements)),
            };
            Value::List(nodes.into_iter().map(node).collect())
        }),
        members().prop_map(|map| Value::Set(map.keys().map(|key| owned(key)).collect())),
        members().prop_map(move |map| Value::SetPack(pack(map.into_keys().collect()))),
        members().prop_map(|map| Value::Hash(map.iter().map(|(k, v)| (owned(k), owned(&v.0))).collect())),
        members().prop_map(move |map| {
            Value::HashPack(pack(map.into_iter().flat_map(|(key, value)| [key, value.0]).collect()))
        }),
        members().prop_map(move |map| {
            Value::Zset(map.iter().map(|(key, value)| (owned(key), score(value.1))).collect())
        }),
        members().prop_map(|map| {
            let times = |time: u32| (!time.is_multiple_of(3)).then_some(i64::from(time));
            let field = |(key, value): (&Vec<u8>, &(Vec<u8>, f64, u32))| Field {
                name: owned(key),
                value: owned(&value.0),
                expires_ms: times(value.2),
            };
            let mut fields: Vec<Field> = map.iter().map(field).collect();
            fields[0].expires_ms = Some(1 << 40);
            Value::HashExpiring(fields)
        }),
        proptest::collection::vec(any::<i64>(), 1..20).prop_map(|ints| {
            let mut set = intset::empty();
            ints.into_iter().for_each(|int| _ = intset::add(&mut set, int));
            Value::SetInts(set.into())
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in value(), compress: bool, valkey: bool) {
        let dialect = if valkey { Dialect::Valkey } else { Dialect::Redis };
        let written = rewrite(&value, dialect, compress);
        let again = read(dialect, &written).unwrap();
        prop_assert_eq!(contents(&again), contents(&value));
        prop_assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&value));
    }
}
