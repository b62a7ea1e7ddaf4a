//! Bits of byte strings, numbered from the highest of the first byte on.
//! In: bytes. Out: counts, positions, fields, combined strings. Bits behind the end are zero.
//! Absent: commands and keys.

/// Set bits.
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as u64).sum();
    in_words + rest.iter().map(|byte| byte.count_ones() as u64).sum::<u64>()
}

/// Set bits from `first` to `last`, both included and inside `bytes`.
pub fn count_range(bytes: &[u8], first: usize, last: usize) -> u64 {
    let whole = count(&bytes[first / 8..=last / 8]);
    let before = bytes[first / 8] & !mask_from(first);
    let behind = bytes[last / 8] & !mask_to(last);
    whole - before.count_ones() as u64 - behind.count_ones() as u64
}

/// The first bit that is `wanted`, from `first` to `last`, both included and inside `bytes`.
pub fn position(bytes: &[u8], wanted: bool, first: usize, last: usize) -> Option<usize> {
    // What is looked for is made the set bits.
    let flip = if wanted { 0 } else { 0xff };
    let (from, to) = (first / 8, last / 8);
    let found_in = |at: usize, mask: u8| {
        let byte = (bytes[at] ^ flip) & mask;
        (byte != 0).then(|| at * 8 + byte.leading_zeros() as usize)
    };
    if from == to {
        return found_in(from, mask_from(first) & mask_to(last));
    }
    found_in(from, mask_from(first))
        .or_else(|| {
            let at = from + 1 + first_other(&bytes[from + 1..to], flip)?;
            found_in(at, 0xff)
        })
        .or_else(|| found_in(to, mask_to(last)))
}

/// The index of the first byte that is not `byte`.
fn first_other(bytes: &[u8], byte: u8) -> Option<usize> {
    let plain = u64::from_ne_bytes([byte; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    let skipped = words.iter().take_while(|word| u64::from_ne_bytes(**word) == plain).count() * 8;
    let tail = if skipped < words.len() * 8 { &bytes[skipped..skipped + 8] } else { rest };
    tail.iter().position(|&it| it != byte).map(|at| skipped + at)
}

/// The bits of the byte of `bit` from it on.
fn mask_from(bit: usize) -> u8 {
    0xff >> (bit % 8)
}

/// The bits of the byte of `bit` up to it.
fn mask_to(bit: usize) -> u8 {
    0xff << (7 - bit % 8)
}

pub fn get(bytes: &[u8], bit: usize) -> bool {
    bytes.get(bit / 8).is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1)
}

/// Sets a bit inside `bytes`; returns what it was.
pub fn set(bytes: &mut [u8], bit: usize, on: bool) -> bool {
    let (byte, mask) = (&mut bytes[bit / 8], 0x80 >> (bit % 8));
    let old = *byte & mask != 0;
    *byte = if on { *byte | mask } else { *byte & !mask };
    old
}

/// `width` (1 to 64) bits from `offset` on, as an unsigned number.
pub fn field(bytes: &[u8], offset: usize, width: u32) -> u64 {
    // A field touches nine bytes at most.
    let mut around = [0; 16];
    let from = (offset / 8).min(bytes.len());
    let there = &bytes[from..bytes.len().min(from + 9)];
    around[..there.len()].copy_from_slice(there);
    let high = u128::from_be_bytes(around) << (offset % 8);
    (high >> (128 - width)) as u64
}

/// Overwrites `width` bits from `offset` on, which are inside `bytes`, with the lowest of `value`.
pub fn set_field(bytes: &mut [u8], offset: usize, width: u32, value: u64) {
    let (from, last) = (offset / 8, (offset + width as usize - 1) / 8);
    let mut around = [0; 16];
    around[..=last - from].copy_from_slice(&bytes[from..=last]);
    let shift = 128 - width - (offset % 8) as u32;
    let mask = (u128::from(u64::MAX) >> (64 - width)) << shift;
    let whole = u128::from_be_bytes(around) & !mask | (u128::from(value) << shift) & mask;
    bytes[from..=last].copy_from_slice(&whole.to_be_bytes()[..=last - from]);
}

/// What BITOP makes of the bits at one place of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// In the first, and in no other.
    Diff,
    /// In another, but not in the first.
    Diff1,
    /// In the first and in another.
    AndOr,
    /// In exactly one.
    One,
}

impl Operation {
    pub const ALL: [(Operation, &'static str); 8] = [
        (Operation::And, "AND"),
        (Operation::Or, "OR"),
        (Operation::Xor, "XOR"),
        (Operation::Not, "NOT"),
        (Operation::Diff, "DIFF"),
        (Operation::Diff1, "DIFF1"),
        (Operation::AndOr, "ANDOR"),
        (Operation::One, "ONE"),
    ];
}

/// Combines strings, as if all were `len` bytes long, `len` being that of the longest. They come one after the other, so
/// that each can be borrowed for its turn alone.
pub struct Combiner {
    operation: Operation,
    /// The result so far; for the operations that set the first source against all others, the first.
    result: Vec<u8>,
    /// DIFF, DIFF1, ANDOR: what is in any of the others. ONE: what is in several.
    second: Vec<u8>,
    seen: usize,
}

impl Combiner {
    pub fn new(operation: Operation, len: usize) -> Self {
        use Operation::*;
        let needs_second = matches!(operation, Diff | Diff1 | AndOr | One);
        let second = if needs_second { vec![0; len] } else { Vec::new() };
        Self { operation, result: vec![0; len], second, seen: 0 }
    }

    /// Takes the next source.
    pub fn add(&mut self, source: &[u8]) {
        use Operation::*;
        self.seen += 1;
        match self.operation {
            One => {
                each_word(&mut self.second, source, &self.result, |several, new, any| several | new & any);
                apply(&mut self.result, source, |any, new| any | new);
            }
            _ if self.seen == 1 => self.result[..source.len()].copy_from_slice(source),
            And => {
                self.result[source.len()..].fill(0);
                apply(&mut self.result, source, |a, b| a & b);
            }
            Or => apply(&mut self.result, source, |a, b| a | b),
            Xor => apply(&mut self.result, source, |a, b| a ^ b),
            Not => unreachable!("NOT has one source"),
            Diff | Diff1 | AndOr => apply(&mut self.second, source, |a, b| a | b),
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        use Operation::*;
        let (result, second) = (&mut self.result, &self.second);
        match self.operation {
            And | Or | Xor => {}
            Not => result.iter_mut().for_each(|byte| *byte = !*byte),
            Diff | One => apply(result, second, |a, b| a & !b),
            Diff1 => apply(result, second, |a, b| !a & b),
            AndOr => apply(result, second, |a, b| a & b),
        }
        self.result
    }
}

/// Combines the beginning of `into` with `from`, which is not longer, by words.
fn apply(into: &mut [u8], from: &[u8], combine: impl Fn(u64, u64) -> u64) {
    let (into, from_words) = (&mut into[..from.len()], from.as_chunks::<8>());
    let (words, rest) = into.as_chunks_mut::<8>();
    for (word, other) in words.iter_mut().zip(from_words.0) {
        *word = combine(u64::from_ne_bytes(*word), u64::from_ne_bytes(*other)).to_ne_bytes();
    }
    for (byte, other) in rest.iter_mut().zip(from_words.1) {
        *byte = combine(u64::from(*byte), u64::from(*other)) as u8;
    }
}

/// Combines the beginning of `into` with `from` and a third string that is as long as `into`.
fn each_word(into: &mut [u8], from: &[u8], third: &[u8], combine: impl Fn(u64, u64, u64) -> u64) {
    let (words, rest) = into[..from.len()].as_chunks_mut::<8>();
    let ((from, from_rest), (third, third_rest)) =
        (from.as_chunks::<8>(), third[..from.len()].as_chunks::<8>());
    for ((word, a), b) in words.iter_mut().zip(from).zip(third) {
        let [of, a, b] = [*word, *a, *b].map(u64::from_ne_bytes);
        *word = combine(of, a, b).to_ne_bytes();
    }
    for ((byte, a), b) in rest.iter_mut().zip(from_rest).zip(third_rest) {
        *byte = combine(u64::from(*byte), u64::from(*a), u64::from(*b)) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1)).collect()
    }

    /// Bytes with long runs, as sparse bitmaps have.
    fn runs() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(0u8), 3 => Just(255), 2 => any::<u8>()];
        prop::collection::vec((byte, 1..20usize), 1..6)
            .prop_map(|runs| runs.into_iter().flat_map(|(byte, times)| vec![byte; times]).collect())
    }

    proptest! {
        #[test]
        fn ranges_match_a_bit_vector(bytes in runs(), a: usize, b: usize, wanted: bool) {
            let (a, b) = (a % (bytes.len() * 8), b % (bytes.len() * 8));
            let (first, last) = (a.min(b), a.max(b));
            let bits = naive(&bytes);
            let inside = &bits[first..=last];
            prop_assert_eq!(count_range(&bytes, first, last), inside.iter().filter(|&&bit| bit).count() as u64);
            let at = inside.iter().position(|&bit| bit == wanted).map(|at| at + first);
            prop_assert_eq!(position(&bytes, wanted, first, last), at);
            prop_assert_eq!(get(&bytes, a), bits[a]);
        }

        #[test]
        fn fields_match_a_bit_vector(bytes in runs(), offset in 0..800usize, width in 1..=64u32, value: u64) {
            let mut bits = naive(&bytes);
            let number = |bits: &[bool]| (offset..offset + width as usize)
                .fold(0, |sum: u64, at| sum << 1 | bits.get(at).copied().unwrap_or(false) as u64);
            prop_assert_eq!(field(&bytes, offset, width), number(&bits));

            let mut bytes = bytes;
            bytes.resize(bytes.len().max((offset + width as usize).div_ceil(8)), 0);
            bits.resize(bytes.len() * 8, false);
            for at in 0..width as usize {
                bits[offset + at] = value >> (width as usize - 1 - at) & 1 == 1;
            }
            set_field(&mut bytes, offset, width, value);
            prop_assert_eq!(naive(&bytes), bits);
        }

        #[test]
        fn combinations_match_bit_by_bit(sources in prop::collection::vec(runs(), 1..5), which in 0..8usize) {
            let operation = Operation::ALL[which].0;
            let sources = if operation == Operation::Not { &sources[..1] } else { &sources[..] };
            let len = sources.iter().map(Vec::len).max().unwrap_or(0);
            let mut combiner = Combiner::new(operation, len);
            sources.iter().for_each(|source| combiner.add(source));
            let expected: Vec<bool> = (0..len * 8).map(|at| {
                let first = get(&sources[0], at);
                let set = sources.iter().filter(|source| get(source, at)).count();
                let others = set - first as usize;
                match operation {
                    Operation::And => set == sources.len(),
                    Operation::Or => set > 0,
                    Operation::Xor => set % 2 == 1,
                    Operation::Not => !first,
                    Operation::Diff => first && others == 0,
                    Operation::Diff1 => !first && others > 0,
                    Operation::AndOr => first && others > 0,
                    Operation::One => set == 1,
                }
            }).collect();
            prop_assert_eq!(naive(&combiner.finish()), expected);
        }
    }
}
