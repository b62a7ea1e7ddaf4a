//! Makes one log of the chunks of all cores.
//! In: chunks, of each core in the order in which it made them. Out: the bytes of the log, as far as it is complete.
//! Invariant M1: a unit is written when all with lower stamps are.

use std::collections::VecDeque;

use super::Chunk;
use super::unit::write_select;

/// Chunks kept to be filled again, and the largest that is worth keeping.
const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 1 << 20;

pub struct Merger {
    /// The stamp of the next unit to write.
    next: u64,
    /// For each core the chunks that wait, and the next unit of the first of them.
    cores: Vec<(VecDeque<Chunk>, usize)>,
    /// The database that the log's reader is in; None at the beginning of a file.
    db: Option<u16>,
    spares: Vec<Chunk>,
}

impl Merger {
    /// For a log that begins with the unit of stamp `next`.
    pub fn new(cores: usize, next: u64) -> Self {
        Self { next, cores: (0..cores).map(|_| (VecDeque::new(), 0)).collect(), db: None, spares: Vec::new() }
    }

    /// The stamp of the first unit that is not written yet.
    pub fn next_stamp(&self) -> u64 {
        self.next
    }

    /// A new file begins: its reader is in no database yet.
    pub fn begin_file(&mut self) {
        self.db = None;
    }

    /// An empty chunk, used before if there is one.
    pub fn spare(&mut self) -> Chunk {
        self.spares.pop().unwrap_or_default()
    }

    /// Takes a chunk of core `core`.
    pub fn add(&mut self, core: usize, chunk: Chunk) {
        if !chunk.is_empty() {
            self.cores[core].0.push_back(chunk);
        }
    }

    /// Appends to `out` what comes next in the log, up to the first unit that is not here yet.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        let mut idle = 0;
        // A core's units come in runs: goes on with one core as long as it has the next unit.
        for core in (0..self.cores.len()).cycle() {
            let written = self.drain_core(core, out);
            idle = if written { 0 } else { idle + 1 };
            if idle == self.cores.len() {
                return;
            }
        }
    }

    /// Writes the units of one core that are next. Whether there were any.
    fn drain_core(&mut self, core: usize, out: &mut Vec<u8>) -> bool {
        let Merger { next, cores, db, spares } = self;
        let (chunks, unit) = &mut cores[core];
        let begin = *next;
        while let Some(chunk) = chunks.front()
            && chunk.stamp(*unit) == Some(*next)
        {
            write_unit(chunk, *unit, db, out);
            *next += 1;
            *unit += 1;
            if chunk.stamp(*unit).is_none() {
                *unit = 0;
                let mut chunk = chunks.pop_front().expect("it was just there");
                if spares.len() < SPARES_MAX && chunk.bytes_len() <= SPARE_BYTES_MAX {
                    chunk.clear();
                    spares.push(chunk);
                }
            }
        }
        *next != begin
    }
}

/// Writes a unit: as it is if it is one command, between MULTI and EXEC if it is several.
fn write_unit(chunk: &Chunk, unit: usize, db: &mut Option<u16>, out: &mut Vec<u8>) {
    let records = chunk.records(unit);
    let several = records.len() > 1;
    for (at, (wanted, bytes)) in records.enumerate() {
        if *db != Some(wanted) {
            *db = Some(wanted);
            write_select(wanted, out);
        }
        if several && at == 0 {
            out.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
        }
        out.extend_from_slice(bytes);
    }
    if several {
        out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unit;
    use super::*;

    fn unit(commands: &[(u16, &str)]) -> Unit {
        let mut unit = Unit::default();
        for (db, text) in commands {
            let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            unit.push(*db, words.len(), words.iter().copied());
        }
        unit
    }

    /// The log as words, one command a line.
    fn lines(log: &[u8]) -> Vec<String> {
        let text = String::from_utf8(log.to_vec()).expect("the tests use text");
        let commands = text.split('*').skip(1);
        commands.map(|command| command.lines().skip(2).step_by(2).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn units_wait_for_those_before_them() {
        let mut merger = Merger::new(2, 5);
        let (mut a, mut b, mut c) = (Chunk::default(), Chunk::default(), Chunk::default());
        a.push(6, &unit(&[(0, "SET a 1")]));
        a.push(8, &unit(&[(0, "SET a 2")]));
        b.push(5, &unit(&[(0, "SET b 1")]));
        b.push(7, &unit(&[(3, "SET b 2"), (3, "DEL c")]));
        c.push(9, &unit(&[(3, "SET b 3"), (0, "DEL c")]));
        let mut log = Vec::new();
        merger.add(0, a);
        merger.drain(&mut log);
        assert!(log.is_empty());
        merger.add(1, b);
        merger.drain(&mut log);
        let first = ["SELECT 0", "SET b 1", "SET a 1", "SELECT 3", "MULTI", "SET b 2", "DEL c", "EXEC"];
        let all = [&first[..], &["SELECT 0", "SET a 2"]].concat();
        assert_eq!((lines(&log), merger.next_stamp()), (all.iter().map(|&line| line.into()).collect(), 9));
        log.clear();
        merger.begin_file();
        merger.add(1, c);
        merger.drain(&mut log);
        assert_eq!(lines(&log), ["SELECT 3", "MULTI", "SET b 3", "SELECT 0", "DEL c", "EXEC"]);
    }
}
