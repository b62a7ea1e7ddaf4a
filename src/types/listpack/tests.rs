//! Listpacks against vectors, and against bytes of a real server.

use super::*;
use proptest::prelude::*;

fn packed(elements: &[&[u8]]) -> Vec<u8> {
    let mut pack = empty();
    elements.iter().for_each(|element| push(&mut pack, element));
    pack
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(pack: &[u8]) -> Vec<Vec<u8>> {
    iter(pack).map(|element| element.to_vec()).collect()
}

/// Reads in each way there is; whatever `deep` validation lets through must bear it.
fn check(pack: &[u8], model: &[Vec<u8>]) {
    assert!(validate(pack, true), "{}", hex(pack));
    assert_eq!(texts(pack), model);
    assert_eq!((len(pack), iter(pack).len()), (model.len(), model.len()));
    assert_eq!(is_empty(pack), model.is_empty());
    assert!(iter(pack).rev().map(|element| element.to_vec()).eq(model.iter().rev().cloned()));
    assert_eq!((first(pack), last(pack)), (nth(pack, 0), nth(pack, -1)));
    let places: Vec<_> = std::iter::successors(first(pack), |&place| next(pack, place)).collect();
    assert_eq!(places.len(), model.len());
    for (i, &place) in places.iter().enumerate() {
        let (element, text) = (get(pack, place), &model[i]);
        assert_eq!((element.len(), element.is_empty()), (text.len(), text.is_empty()));
        assert_eq!(element.as_i64(), number::parse_i64(text));
        assert!(element.equals(text) && !element.equals(b"something else"));
        assert_eq!(prev(pack, place), i.checked_sub(1).map(|i| places[i]));
        assert_eq!(nth(pack, i as i64), Some(place));
        assert_eq!(nth(pack, i as i64 - model.len() as i64), Some(place));
        for step in 1..=2 {
            let found = (i % step..model.len()).step_by(step).find(|&at| model[at] == *text);
            assert_eq!(find(pack, places[i % step], step, text), found.map(|at| places[at]));
        }
    }
    for outside in [model.len() as i64, -1 - model.len() as i64, i64::MAX, i64::MIN] {
        assert_eq!(nth(pack, outside), None);
    }
}

/// Bytes that lie at the borders between encodings.
fn element() -> impl Strategy<Value = Vec<u8>> {
    let borders = vec![0i64, 127, 128, 4095, 4096, 0x7FFF, 0x8000, 0x7F_FFFF, 0x80_0000, 0x8000_0000];
    let near =
        (proptest::sample::select(borders), -1..=1i64, any::<bool>()).prop_map(|(border, off, negative)| {
            let value = border + off;
            (if negative { -value } else { value }).to_string().into_bytes()
        });
    prop_oneof![
        3 => "[a-c0-9+-]{0,3}".prop_map(String::into_bytes),
        2 => near,
        1 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 60..70),
        1 => (proptest::sample::select(vec![124, 4094, 16377]), 0..4usize)
            .prop_map(|(len, more)| vec![b'x'; len + more]),
    ]
}

fn step(pack: &mut Vec<u8>, model: &mut Vec<Vec<u8>>, action: u8, at: usize, text: Vec<u8>) {
    let index = if model.is_empty() { 0 } else { at % model.len() };
    let place = nth(pack, index as i64);
    match (action, place) {
        (0, _) => {
            push_front(pack, &text);
            model.insert(0, text);
        }
        (1, Some(place)) => {
            insert(pack, place, &text);
            model.insert(index, text);
        }
        (2, Some(place)) => {
            replace(pack, place, &text);
            assert!(get(pack, place).equals(&text));
            model[index] = text;
        }
        (3, Some(place)) => {
            let count = (at % 4).min(model.len() - index);
            remove(pack, place, at % 4);
            model.drain(index..index + count);
            let behind = model.get(index);
            assert_eq!(place == end(pack), behind.is_none());
            assert!(behind.is_none_or(|text| get(pack, place).equals(text)));
        }
        (4, Some(place)) => {
            replace_int(pack, place, at as i64);
            model[index] = at.to_string().into_bytes();
        }
        (5, _) => {
            push_int(pack, -(at as i64));
            model.push((-(at as i64)).to_string().into_bytes());
        }
        (6, _) if at.is_multiple_of(8) => {
            clear(pack);
            model.clear();
        }
        (7, _) => {
            let mut appender = Appender::new(pack);
            appender.int(at as i64);
            appender.bytes(&text);
            appender.finish();
            model.extend([at.to_string().into_bytes(), text]);
        }
        _ => {
            let grown = pack.len() + encoded_bytes(&text);
            push(pack, &text);
            assert_eq!(pack.len(), grown);
            model.push(text);
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_vector(steps in proptest::collection::vec((0..10u8, 0..9999usize, element()), 0..40)) {
        let (mut pack, mut model) = (empty(), Vec::new());
        for (action, at, text) in steps {
            step(&mut pack, &mut model, action, at, text);
            check(&pack, &model);
        }
    }

    #[test]
    fn any_bytes_can_be_validated(mut pack in proptest::collection::vec(any::<u8>(), 0..60)) {
        validate(&pack, true);
        // The same with a head and an end that are right, so that the elements are looked at.
        if pack.len() >= EMPTY_BYTES {
            set_total(&mut pack);
            pack[4..HEAD_BYTES].fill(0xFF);
            *pack.last_mut().unwrap() = END;
            if validate(&pack, true) {
                check(&pack, &texts(&pack));
            }
        }
    }

    #[test]
    fn what_passes_with_a_flipped_bit_is_readable(
        elements in proptest::collection::vec(element(), 1..8), at: proptest::sample::Index, bit in 0..8u8,
    ) {
        let mut pack = packed(&elements.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let at = at.index(pack.len());
        pack[at] ^= 1u8 << bit;
        if validate(&pack, true) {
            check(&pack, &texts(&pack));
        }
    }
}

#[test]
fn bytes_of_a_real_server() {
    // DUMP of Redis 7.0, without what surrounds the listpack.
    let elements = [
        "a",
        "hello",
        "0",
        "127",
        "128",
        "-1",
        "4095",
        "-4096",
        "4096",
        "32767",
        "-32768",
        "32768",
        "-8388608",
        "8388608",
        "2147483648",
        "-9223372036854775808",
        "-0",
        "01",
        "",
    ];
    let pack = packed(&elements.map(str::as_bytes));
    let dumped = concat!(
        "5b00000013008161028568656c6c6f0600017f01c08002dfff02cfff02d00002f1001003f1ff7f03f1008003f2",
        "00800004f200008004f30000800005f4000000800000000009f4000000000000008009822d3003823031038001ff",
    );
    assert_eq!(hex(&pack), dumped);
}

#[test]
fn lengths_of_strings_of_a_real_server() {
    // DUMP of Redis 7.0: the bytes before and behind a string of that many x.
    for (len, head, tail) in [
        (63, "480000000100bf", "40ff"),
        (64, "4a0000000100e040", "42ff"),
        (126, "890000000100e07e", "0180ff"),
        (4095, "0a1000000100efff", "2081ff"),
        (4096, "0e1000000100f000100000", "2085ff"),
        (16377, "074000000100f0f93f0000", "7ffeff"),
        (16378, "094000000100f0fa3f0000", "00ffffff"),
        (16379, "0a4000000100f0fb3f0000", "018080ff"),
    ] {
        let pack = packed(&[&vec![b'x'; len]]);
        assert_eq!(hex(&pack), format!("{head}{}{tail}", "78".repeat(len)), "{len}");
        check(&pack, &[vec![b'x'; len]]);
    }
}

#[test]
fn wide_lengths_behind_an_element() {
    for size in [0, 127, 128, 0x3FFE, 0x3FFF, 0x1F_FFFE, 0x1F_FFFF, 0xFFF_FFFE, 0xFFF_FFFF, BYTES_MAX] {
        let back = Back::of(size);
        assert_eq!(Back::read(back.as_slice(), back.len), size);
    }
}

#[test]
fn digits_as_a_string_are_found_too() {
    // Another server may have written 7 as a string, and as an integer of 16 bits.
    let pack = [16, 0, 0, 0, 2, 0, 0x81, b'7', 2, INT_16, 7, 0, 3, 5, 1, END];
    assert!(!validate(&pack, true), "three elements are not two");
    let mut pack = pack;
    pack[4] = 3;
    check(&pack, &[b"7".to_vec(), b"7".to_vec(), b"5".to_vec()]);
    assert_eq!(find(&pack, Place(9), 1, b"7"), Some(Place(9)));
}

#[test]
fn the_count_gets_lost_and_returns() {
    let mut pack = empty();
    for i in 0..65_540 {
        push_int(&mut pack, i % 100);
    }
    assert_eq!(count(&pack), COUNT_UNKNOWN);
    assert!(validate(&pack, true));
    assert_eq!((len(&pack), iter(&pack).len()), (65_540, 65_540));
    assert_eq!(nth(&pack, 65_540), None);
    assert_eq!(nth(&pack, -65_541), None);
    assert_eq!(nth(&pack, -65_540), first(&pack));
    assert!(get(&pack, nth(&pack, 65_539).unwrap()).equals(b"39"));
    remove(&mut pack, Place(HEAD_BYTES), 10);
    assert_eq!((count(&pack), len(&pack)), (65_530, 65_530));
    assert!(validate(&pack, true));
}

#[test]
fn the_limit_counts_what_comes() {
    assert!(fits(&empty(), BYTES_MAX - EMPTY_BYTES));
    assert!(!fits(&empty(), BYTES_MAX - EMPTY_BYTES + 1));
    assert!(!fits(&empty(), usize::MAX));
}
