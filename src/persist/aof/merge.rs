//! Makes one log of the chunks of all cores.
//! In: chunks, of each core in the order in which it made them. Out: the bytes of the log, as far as it is complete, and marks.
//! Invariant M1: a unit is written when all with lower stamps are.

use std::collections::VecDeque;

use super::unit::write_select;
use super::{Chunk, Mark};

pub struct Merger {
    /// The stamp of the next unit to write.
    next: u64,
    /// For each core the chunks that wait, and the next unit of the first of them.
    cores: Vec<(VecDeque<Chunk>, usize)>,
    /// The database that the log's reader is in; None at the beginning of a file.
    db: Option<u16>,
    /// When what was written last was said to be made, Unix seconds.
    time_s: i64,
}

impl Merger {
    /// For a log that begins with the unit of stamp `next`.
    pub fn new(cores: usize, next: u64) -> Self {
        Self { next, cores: (0..cores).map(|_| (VecDeque::new(), 0)).collect(), db: None, time_s: 0 }
    }

    /// The stamp of the first unit that is not written yet.
    pub fn next_stamp(&self) -> u64 {
        self.next
    }

    /// A new file begins: its reader is in no database yet.
    pub fn begin_file(&mut self) {
        self.db = None;
        self.time_s = 0;
    }

    /// Takes a chunk of core `core`.
    pub fn add(&mut self, core: usize, chunk: Chunk) {
        if !chunk.is_empty() {
            self.cores[core].0.push_back(chunk);
        }
    }

    /// Appends to `out` what comes next in the log, up to a mark or the first unit that is not here yet.
    pub fn drain(&mut self, out: &mut Vec<u8>) -> Option<Mark> {
        let mut idle = 0;
        // A core's units come in runs: goes on with one core as long as it has the next unit.
        for core in (0..self.cores.len()).cycle() {
            let begin = self.next;
            if let Some(mark) = self.drain_core(core, out) {
                return Some(mark);
            }
            idle = if self.next != begin { 0 } else { idle + 1 };
            if idle == self.cores.len() {
                break;
            }
        }
        None
    }

    /// Writes the units of one core that are next, up to a mark.
    fn drain_core(&mut self, core: usize, out: &mut Vec<u8>) -> Option<Mark> {
        let Merger { next, cores, db, time_s } = self;
        let (chunks, unit) = &mut cores[core];
        while let Some(chunk) = chunks.front_mut()
            && chunk.stamp(*unit) == Some(*next)
        {
            let mark = chunk.take_mark(*next);
            if mark.is_none() {
                write_time(chunk.time_s, time_s, out);
                write_unit(chunk, *unit, db, out);
            }
            *next += 1;
            *unit += 1;
            if chunk.stamp(*unit).is_none() {
                *unit = 0;
                chunks.pop_front();
            }
            if mark.is_some() {
                return mark;
            }
        }
        None
    }
}

/// Says when what follows was made, if that is wanted and not said yet.
fn write_time(made_s: Option<i64>, said_s: &mut i64, out: &mut Vec<u8>) {
    if let Some(made_s) = made_s.filter(|made_s| made_s > said_s) {
        *said_s = made_s;
        out.extend_from_slice(format!("#TS:{made_s}\r\n").as_bytes());
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

    #[test]
    fn a_mark_stops_the_log_at_its_place() {
        let mut merger = Merger::new(2, 0);
        let (mut a, mut b) = (Chunk::default(), Chunk::default());
        a.push(0, &unit(&[(0, "SET a 1")]));
        a.mark(2, Mark::End);
        a.push(3, &unit(&[(0, "SET a 2")]));
        b.push(1, &unit(&[(0, "SET b 1")]));
        merger.add(0, a);
        let mut log = Vec::new();
        assert!(merger.drain(&mut log).is_none());
        merger.add(1, b);
        assert!(matches!(merger.drain(&mut log), Some(Mark::End)));
        assert_eq!(lines(&log), ["SELECT 0", "SET a 1", "SET b 1"]);
        log.clear();
        assert!(merger.drain(&mut log).is_none());
        assert_eq!(lines(&log), ["SET a 2"]);
    }

    #[test]
    fn times_stand_before_units_and_never_go_back() {
        let mut merger = Merger::new(1, 0);
        let mut log = Vec::new();
        for (stamp, time_s) in [(0, Some(7)), (1, Some(7)), (2, Some(6)), (3, None), (4, Some(8))] {
            let mut chunk = Chunk::default();
            chunk.time_s = time_s;
            chunk.push(stamp, &unit(&[(0, "DEL a")]));
            merger.add(0, chunk);
        }
        merger.drain(&mut log);
        let text = String::from_utf8(log).unwrap();
        let times: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(times, ["#TS:7", "#TS:8"]);
        assert!(text.starts_with("#TS:7\r\n*2"));
    }
}
