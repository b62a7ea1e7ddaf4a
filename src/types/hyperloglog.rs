//! HyperLogLog: how many different elements were seen, in at most 12 kB and within about 1%.
//! In: elements, and strings that clients may have written byte by byte. Out: the strings that Redis would have made.
//! Absent: keys and replies.
//!
//! ```text
//! "HYLL" | encoding: 0 dense, 1 sparse | 3 × 0 | last count, 8 bytes, lowest first; its highest bit: outdated | registers
//! ```
//!
//! An element's hash chooses one of 16384 registers and gives it the length of a run of zero bits; a register keeps the
//! longest. Dense registers have 6 bits, the lowest bits of a byte first. Sparse ones are runs:
//!
//! | bits | run |
//! |---|---|
//! | `00nnnnnn` | ZERO: n+1 registers of 0 |
//! | `01nnnnnn nnnnnnnn` | XZERO: n+1 registers of 0 |
//! | `1vvvvvnn` | VAL: n+1 registers of v+1 |
//!
//! The estimate is that of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017).

pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of the hash that make a register's value, which is at most one more.
const RUN_BITS: usize = 50;
const HEADER: usize = 16;
const DENSE_BYTES: usize = HEADER + REGISTERS * 6 / 8;
const ENCODING_AT: usize = 4;
const CACHE_AT: usize = 8;
const OUTDATED: u64 = 1 << 63;
const VALUE_MAX_SPARSE: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const ZERO_RUN_MAX: usize = 64;
const SEED: u64 = 0xadc8_3b19;

/// The registers do not add up.
#[derive(Debug, PartialEq, Eq)]
pub struct Corrupted;

/// The values of all registers.
pub type Registers = [u8; REGISTERS];

/// A run of sparse registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Zero(usize),
    LongZero(usize),
    Value(u8, usize),
}

impl Run {
    /// The run that begins at `at`, and where the next does. Stored lengths are one less.
    fn read(bytes: &[u8], at: usize) -> Option<(Run, usize)> {
        let first = *bytes.get(at)?;
        match first >> 6 {
            0 => Some((Run::Zero(first as usize + 1), at + 1)),
            1 => {
                let second = *bytes.get(at + 1)?;
                Some((Run::LongZero(((first as usize & 0x3f) << 8 | second as usize) + 1), at + 2))
            }
            _ => Some((Run::Value((first >> 2 & 0x1f) + 1, (first & 3) as usize + 1), at + 1)),
        }
    }

    fn zeros(len: usize) -> Run {
        if len > ZERO_RUN_MAX { Run::LongZero(len) } else { Run::Zero(len) }
    }

    fn write(self, into: &mut Vec<u8>) {
        match self {
            Run::Zero(len) => into.push((len - 1) as u8),
            Run::LongZero(len) => into.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
            Run::Value(value, len) => into.push(0x80 | (value - 1) << 2 | (len - 1) as u8),
        }
    }

    fn len(self) -> usize {
        match self {
            Run::Zero(len) | Run::LongZero(len) | Run::Value(_, len) => len,
        }
    }

    fn value(self) -> u8 {
        match self {
            Run::Value(value, _) => value,
            _ => 0,
        }
    }

    fn bytes(self) -> usize {
        if matches!(self, Run::LongZero(_)) { 2 } else { 1 }
    }
}

/// One that saw nothing.
pub fn empty() -> Vec<u8> {
    let mut bytes = b"HYLL\x01".to_vec();
    bytes.resize(HEADER, 0);
    Run::LongZero(REGISTERS).write(&mut bytes);
    bytes
}

/// Whether a string looks like one; its runs are seen to when they are used.
pub fn is_valid(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes.starts_with(b"HYLL")
        && match bytes[ENCODING_AT] {
            0 => bytes.len() == DENSE_BYTES,
            encoding => encoding == 1,
        }
}

pub fn is_dense(bytes: &[u8]) -> bool {
    bytes[ENCODING_AT] == 0
}

fn cache(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[CACHE_AT..HEADER].try_into().expect("eight bytes"))
}

/// The last count, if nothing changed since.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    Some(cache(bytes)).filter(|count| count & OUTDATED == 0)
}

pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[CACHE_AT..HEADER].copy_from_slice(&(count & !OUTDATED).to_le_bytes());
}

pub fn outdate(bytes: &mut [u8]) {
    bytes[HEADER - 1] |= 0x80;
}

/// The runs of a sparse one. They end early where a run is cut off.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let (run, next) = Run::read(bytes, at)?;
        at = next;
        Some(run)
    })
}

fn dense_register(bytes: &[u8], index: usize) -> u8 {
    let (at, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([bytes[at], next]) >> shift) as u8 & 63
}

/// Raises a dense register to `value`; false if it was there already.
pub fn raise_dense(bytes: &mut [u8], index: usize, value: u8) -> bool {
    if dense_register(bytes, index) >= value {
        return false;
    }
    let (at, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    let both = u16::from_le_bytes([bytes[at], next]) & !(63 << shift) | u16::from(value) << shift;
    let [low, high] = both.to_le_bytes();
    bytes[at] = low;
    if let Some(next) = bytes.get_mut(at + 1) {
        *next = high;
    }
    true
}

/// Raises each of `registers` to what it is in `bytes`.
pub fn merge(bytes: &[u8], registers: &mut Registers) -> Result<(), Corrupted> {
    if is_dense(bytes) {
        for (index, register) in registers.iter_mut().enumerate() {
            *register = (*register).max(dense_register(bytes, index));
        }
        return Ok(());
    }
    let mut rest = &mut registers[..];
    let mut at = HEADER;
    while at < bytes.len() {
        let (run, next) = Run::read(bytes, at).ok_or(Corrupted)?;
        let (part, others) = rest.split_at_mut_checked(run.len()).ok_or(Corrupted)?;
        part.iter_mut().for_each(|register| *register = (*register).max(run.value()));
        (rest, at) = (others, next);
    }
    if rest.is_empty() { Ok(()) } else { Err(Corrupted) }
}

pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupted> {
    if is_dense(bytes) {
        return Ok(());
    }
    let mut registers = [0; REGISTERS];
    merge(bytes, &mut registers)?;
    bytes.resize(HEADER, 0);
    bytes.resize(DENSE_BYTES, 0);
    bytes[ENCODING_AT] = 0;
    for (index, value) in registers.into_iter().enumerate() {
        raise_dense(bytes, index, value);
    }
    Ok(())
}

/// Raises a register, in either encoding; one that grows beyond `sparse_bytes_max` becomes dense. True: it changed.
pub fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    sparse_bytes_max: usize,
) -> Result<bool, Corrupted> {
    if is_dense(bytes) {
        return Ok(raise_dense(bytes, index, value));
    }
    if value <= VALUE_MAX_SPARSE
        && let Some(changed) = raise_sparse(bytes, index, value, sparse_bytes_max)?
    {
        return Ok(changed);
    }
    make_dense(bytes)?;
    Ok(raise_dense(bytes, index, value))
}

/// Raises a register of a sparse one. None: it would become too long.
fn raise_sparse(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    bytes_max: usize,
) -> Result<Option<bool>, Corrupted> {
    let (mut first, mut at, mut previous) = (0, HEADER, HEADER);
    let run = loop {
        let (run, next) = Run::read(bytes, at).ok_or(Corrupted)?;
        if index < first + run.len() {
            break run;
        }
        (previous, at, first) = (at, next, first + run.len());
    };
    if run.value() >= value {
        return Ok(Some(false));
    }
    let (before, behind) = (index - first, first + run.len() - 1 - index);
    let like_it = |len| match run {
        Run::Value(value, _) => Run::Value(value, len),
        _ => Run::zeros(len),
    };
    let mut parts = Vec::with_capacity(5);
    if before > 0 {
        like_it(before).write(&mut parts);
    }
    Run::Value(value, 1).write(&mut parts);
    if behind > 0 {
        like_it(behind).write(&mut parts);
    }
    if parts.len() > run.bytes() && bytes.len() + parts.len() - run.bytes() > bytes_max {
        return Ok(None);
    }
    bytes.splice(at..at + run.bytes(), parts);
    join_values(bytes, previous);
    outdate(bytes);
    Ok(Some(true))
}

/// Joins runs of the same value, from `at` on, in as many steps as a change can call for.
fn join_values(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        let Some((run, next)) = Run::read(bytes, at) else { return };
        if let (Run::Value(value, len), Some((Run::Value(other, more), _))) = (run, Run::read(bytes, next))
            && value == other
            && len + more <= VALUE_RUN_MAX
        {
            let mut joined = Vec::with_capacity(1);
            Run::Value(value, len + more).write(&mut joined);
            bytes.splice(at..next + 1, joined);
        } else {
            at = next;
        }
    }
}

/// The register that an element belongs to, and the value it calls for.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element);
    let run = hash >> INDEX_BITS | 1 << RUN_BITS;
    (hash as usize & (REGISTERS - 1), run.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A by Austin Appleby.
fn murmur64a(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word).wrapping_mul(M);
        hash = (hash ^ (word ^ word >> 47).wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(M);
    hash ^ hash >> 47
}

/// How many different elements made these registers, about.
pub fn estimate(registers: &Registers) -> u64 {
    // How often each value occurs; 6 bits can hold values that no hash calls for.
    let mut times = [0u32; 64];
    registers.iter().for_each(|&value| times[value as usize & 63] += 1);
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(times[RUN_BITS + 1])) / m);
    for value in (1..=RUN_BITS).rev() {
        z = (z + f64::from(times[value])) * 0.5;
    }
    z += m * sigma(f64::from(times[0]) / m);
    (0.721_347_520_444_481_7 * m * m / z).round() as u64
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_bytes_max: usize) -> Result<bool, Corrupted> {
        let (index, value) = place(element);
        raise(bytes, index, value, sparse_bytes_max)
    }

    #[test]
    fn estimates_are_near_the_truth() {
        let mut bytes = empty();
        for n in 1..=100_000u32 {
            add(&mut bytes, &n.to_le_bytes(), 3000).unwrap();
            if [1, 10, 100, 1000, 10_000, 100_000].contains(&n) {
                let mut registers = [0; REGISTERS];
                merge(&bytes, &mut registers).unwrap();
                let off = (estimate(&registers) as f64 - f64::from(n)).abs() / f64::from(n);
                assert!(off < 0.03, "{n} elements: off by {off}");
            }
        }
        assert!(is_dense(&bytes));
    }

    /// APPEND put half of a long run of zeros behind the last register, and nobody minded.
    #[test]
    fn nothing_follows_the_last_register() {
        let mut registers = [0; REGISTERS];
        for tail in [b"\x63".as_slice(), b"\x00", b"\x80", b"\x40\x00"] {
            let bytes = [&empty(), tail].concat();
            assert_eq!(merge(&bytes, &mut registers), Err(Corrupted), "{tail:?}");
        }
    }

    /// Lengths and hashes (FNV-1a) of what GET answered in Valkey 9.1 after PFADD of e0, e1 … one by one.
    #[test]
    fn the_bytes_are_those_of_a_real_server() {
        let fnv = |bytes: &[u8]| {
            let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
        };
        let mut bytes = empty();
        let mut added = 0;
        for (elements, len, hash) in [
            (100, 285, 0xb8de76dab4a4065e),
            (1000, 1906, 0x5935de0232806824),
            (5000, 12304, 0x805246753a1cdada),
        ] {
            for n in added..elements {
                add(&mut bytes, format!("e{n}").as_bytes(), 3000).unwrap();
            }
            added = elements;
            assert_eq!((bytes.len(), fnv(&bytes)), (len, hash), "{elements} elements");
        }
    }

    proptest! {
        #[test]
        fn sparse_and_dense_have_the_same_registers(
            raised in prop::collection::vec((0..60usize, 1..=51u8), 0..200),
            spread in 1..270usize,
            bytes_max in 0..300usize,
        ) {
            let (mut sparse, mut dense) = (empty(), empty());
            make_dense(&mut dense).unwrap();
            let mut model = [0u8; REGISTERS];
            for (index, value) in raised {
                let index = index * spread;
                let higher = model[index] < value;
                model[index] = model[index].max(value);
                prop_assert_eq!(raise(&mut sparse, index, value, bytes_max), Ok(higher));
                prop_assert_eq!(raise(&mut dense, index, value, bytes_max), Ok(higher));
            }
            for bytes in [sparse, dense] {
                let mut registers = [0; REGISTERS];
                merge(&bytes, &mut registers).unwrap();
                prop_assert!(registers == model);
            }
        }

        #[test]
        fn no_bytes_do_harm(dense: bool, tail: Vec<u8>, index in 0..REGISTERS, value in 1..=51u8, max in 0..100usize) {
            let mut bytes = empty();
            bytes.truncate(HEADER);
            bytes.extend(&tail);
            if dense {
                bytes[ENCODING_AT] = 0;
                bytes.resize(DENSE_BYTES, 0xff);
            }
            prop_assert!(is_valid(&bytes));
            let mut registers = [0; REGISTERS];
            if merge(&bytes, &mut registers).is_ok() {
                estimate(&registers);
            }
            runs(&bytes).count();
            let _ = raise(&mut bytes, index, value, max);
            let _ = make_dense(&mut bytes);
        }
    }
}
