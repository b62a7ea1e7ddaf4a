//! Breaks bytes in the ways in which they break, and in those that an attacker would choose.
//! In: bytes, a source of chance. Out: other bytes. Absent: what is done with them (see `broken`, examples/fuzz_restore.rs).

/// Bytes that begin lengths, integers, ends and references in one of the formats.
const NOTABLE: [u8; 16] =
    [0, 1, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xBF, 0xC0, 0xC3, 0xE0, 0xF0, 0xF4, 0xFD, 0xFE, 0xFF];

/// Changes `bytes` in one to four places; `other` is where pieces come from. `below(n)` is a number from 0 to n - 1.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], below: &mut impl FnMut(usize) -> usize) {
    for _ in 0..=below(4) {
        let at = below(bytes.len() + 1);
        match (below(8), bytes.get_mut(at)) {
            (0..=1, Some(byte)) => *byte ^= 1u8 << below(8),
            (2..=3, Some(byte)) => *byte = NOTABLE[below(NOTABLE.len())],
            (4, Some(byte)) => *byte = byte.wrapping_add([1, 2, 254, 255][below(4)]),
            (5, _) if below(4) == 0 => bytes.truncate(at),
            (6, _) => {
                let end = at + below((bytes.len() - at).min(12) + 1);
                let from = below(other.len() + 1);
                let to = from + below((other.len() - from).min(12) + 1);
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            (7, _) => {
                let end = at + below((bytes.len() - at).min(12) + 1);
                bytes.extend_from_within(at..end);
                bytes[at..].rotate_right(end - at);
            }
            _ => {}
        }
    }
}

/// A pack with the length that it has, so that what is behind its head is looked at.
pub fn repair(pack: &mut [u8], below: &mut impl FnMut(usize) -> usize) {
    let total = (pack.len() as u32).to_le_bytes();
    if let Some(head) = pack.first_chunk_mut()
        && below(4) > 0
    {
        *head = total;
    }
    if let Some(count) = pack.get_mut(4..6)
        && below(2) > 0
    {
        count.fill(0xFF);
    }
    if let Some(end) = pack.last_mut()
        && below(4) > 0
    {
        *end = 0xFF;
    }
}
