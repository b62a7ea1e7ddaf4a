//! LCS: the longest common subsequence of two strings, by the classic table.

use super::super::{Context, Error};
use super::{string, with_bytes};
use crate::base::number::parse_i64;
use crate::client::Args;

#[derive(Default)]
struct Options {
    len: bool,
    indexes: bool,
    lengths: bool,
    min_len: usize,
}

fn parse(args: Args) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut at = 0;
    while at < args.len() {
        match () {
            () if args.is(at, "idx") => options.indexes = true,
            () if args.is(at, "len") => options.len = true,
            () if args.is(at, "withmatchlen") => options.lengths = true,
            () if args.is(at, "minmatchlen") && at + 1 < args.len() => {
                at += 1;
                let min = parse_i64(args.at(at)).ok_or(Error::NOT_AN_INTEGER)?;
                options.min_len = min.max(0) as usize;
            }
            () => return Err(Error::SYNTAX),
        }
        at += 1;
    }
    if options.indexes && options.len {
        return Err(Error::new("ERR If you want both the length and indexes, please just use IDX."));
    }
    Ok(options)
}

fn bytes_of(cx: &mut Context, key: &[u8]) -> Result<Vec<u8>, Error> {
    match cx.read(key) {
        Some(entry) => match string(entry) {
            Ok(entry) => Ok(with_bytes(entry, <[u8]>::to_vec)),
            Err(_) => Err(Error::new("ERR The specified keys must contain string values")),
        },
        None => Ok(Vec::new()),
    }
}

pub fn lcs(cx: &mut Context, args: Args) -> Result<(), Error> {
    // Both are looked up before either is judged.
    let (a, b) = (bytes_of(cx, args.at(1)), bytes_of(cx, args.at(2)));
    let (a, b) = (a?, b?);
    let options = parse(args.from(3))?;
    let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
    if a.len() >= u32::MAX as usize || b.len() >= u32::MAX as usize {
        return Err(Error::new("ERR String too long for LCS"));
    }
    // Redis' table has four bytes a cell.
    if cells.saturating_mul(4) > cx.config.proto_max_bulk_len {
        return Err(Error::new(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let table = Table::fill(&a, &b);
    if options.len {
        cx.out.integer(table.at(a.len(), b.len()) as i64);
        return Ok(());
    }
    let (common, ranges) = table.trace(&a, &b);
    if !options.indexes {
        cx.out.bulk(&common);
        return Ok(());
    }
    cx.out.map(2);
    cx.out.bulk(b"matches");
    let shown: Vec<&Match> = ranges.iter().filter(|range| range.len >= options.min_len.max(1)).collect();
    cx.out.array(shown.len());
    for range in shown {
        cx.out.array(2 + options.lengths as usize);
        for from in [range.a, range.b] {
            cx.out.array(2);
            cx.out.integer(from as i64);
            cx.out.integer((from + range.len - 1) as i64);
        }
        if options.lengths {
            cx.out.integer(range.len as i64);
        }
    }
    cx.out.bulk(b"len");
    cx.out.integer(common.len() as i64);
    Ok(())
}

/// A run of equal bytes, by where it begins in both strings.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// Length of the common subsequence of every pair of prefixes.
struct Table {
    width: usize,
    cells: Vec<u32>,
}

impl Table {
    fn fill(a: &[u8], b: &[u8]) -> Self {
        let width = b.len() + 1;
        let mut table = Self { width, cells: vec![0; (a.len() + 1) * width] };
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                let value = if a[i - 1] == b[j - 1] {
                    table.at(i - 1, j - 1) + 1
                } else {
                    table.at(i - 1, j).max(table.at(i, j - 1))
                };
                table.cells[i * width + j] = value;
            }
        }
        table
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    /// Walks back from the end: the subsequence, and its runs, last one first.
    fn trace(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (a.len(), b.len());
        let (mut common, mut runs) = (Vec::new(), Vec::<Match>::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push(a[i]);
                match runs.last_mut() {
                    Some(run) if run.a == i + 1 && run.b == j + 1 => {
                        *run = Match { a: i, b: j, len: run.len + 1 };
                    }
                    _ => runs.push(Match { a: i, b: j, len: 1 }),
                }
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        common.reverse();
        (common, runs)
    }
}
