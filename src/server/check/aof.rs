//! Checks a file of a log: an RDB file at its beginning if there is one, then commands; cuts it off if told to.
//! In: a file. Out: how far it is good. Absent: what the commands do.

use super::{Check, Portions, Repair, error_text};
use crate::persist::aof::{Event, Reader, What, has_preamble};
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A file of a log.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub path: &'a Path,
    /// As it is called in messages.
    pub name: &'a str,
    /// What it is called before AOF, with a blank.
    pub kind: &'static str,
    /// No file of the log comes after it.
    pub last: bool,
}

/// How far a file is good.
struct Good {
    bytes: u64,
    line: u64,
    end: End,
}

enum End {
    Whole,
    Wrong,
    /// What follows is later than it should be.
    Later,
}

impl Check<'_> {
    /// Checks a file of a log; true: it is good, or is so now.
    pub fn log(&mut self, part: Part, repair: Repair) -> io::Result<bool> {
        let name = part.name;
        let mut portions = match Portions::open(part.path) {
            Ok(portions) => portions,
            Err(error) => {
                writeln!(self.out, "Cannot open file {name}: {}", error_text(&error))?;
                return Ok(false);
            }
        };
        if portions.bytes == 0 {
            writeln!(self.out, "AOF {name} is empty")?;
            return Ok(true);
        }
        let Some(from) = self.preamble(part, &mut portions)? else { return Ok(false) };
        let good = self.commands(&mut portions, from, repair, name)?;
        if matches!(good.end, End::Later) {
            return self.cut_after(part, repair, good.bytes);
        }
        let (size, diff) = (portions.bytes, portions.bytes - good.bytes);
        writeln!(
            self.out,
            "AOF analyzed: filename={name}, size={size}, ok_up_to={}, ok_up_to_line={}, diff={diff}",
            good.bytes, good.line
        )?;
        match (good.end, repair) {
            (End::Wrong, Repair::Cut) => self.cut(part, size, good.bytes),
            (End::Wrong, _) => {
                writeln!(self.out, "AOF {name} is not valid. Use the --fix option to try fixing it.")?;
                Ok(false)
            }
            _ => {
                writeln!(self.out, "{}AOF {name} is valid", part.kind)?;
                Ok(true)
            }
        }
    }

    /// Where the commands begin, behind an RDB file if there is one; None if that is not sound.
    fn preamble(&mut self, part: Part, portions: &mut Portions) -> io::Result<Option<u64>> {
        let mut begin = Vec::new();
        Read::by_ref(&mut portions.file).take(9).read_to_end(&mut begin)?;
        let from = if has_preamble(&begin) {
            let Some(behind) = self.rdb(part.path)? else {
                writeln!(self.out, "RDB preamble of AOF file is not sane, aborting.")?;
                return Ok(None);
            };
            writeln!(self.out, "RDB preamble is OK, proceeding with AOF tail...")?;
            behind.offset
        } else {
            0
        };
        portions.file.seek(SeekFrom::Start(from))?;
        Ok(Some(from))
    }

    /// Reads commands to the end, to what is wrong, or to what is too late.
    fn commands(
        &mut self,
        portions: &mut Portions,
        from: u64,
        repair: Repair,
        name: &str,
    ) -> io::Result<Good> {
        let mut reader = Reader::new(from);
        loop {
            let bytes = reader.good();
            let wrong = match reader.next() {
                Ok(Some(Event::Timestamp(seconds))) => {
                    if matches!(repair, Repair::CutAfter(last) if seconds > last) {
                        return Ok(Good { bytes, line: reader.line(), end: End::Later });
                    }
                    continue;
                }
                Ok(Some(Event::Command(_))) => continue,
                Ok(None) => match portions.next()? {
                    [] => match reader.end() {
                        Ok(()) => return Ok(Good { bytes, line: reader.line(), end: End::Whole }),
                        Err(error) => error,
                    },
                    portion => {
                        reader.feed(portion);
                        continue;
                    }
                },
                Err(error) => error,
            };
            match wrong.what {
                What::Multi | What::Exec => writeln!(self.out, "{wrong} in AOF {name}")?,
                _ => writeln!(self.out, "{wrong}")?,
            }
            return Ok(Good { bytes: reader.good(), line: reader.line(), end: End::Wrong });
        }
    }

    /// Cuts a file off where it is good, if the user agrees.
    fn cut(&mut self, part: Part, size: u64, good: u64) -> io::Result<bool> {
        let name = part.name;
        if !part.last {
            writeln!(self.out, "Failed to truncate AOF {name} because it is not the last file")?;
            return Ok(false);
        }
        let less = size - good;
        writeln!(
            self.out,
            "This will shrink the AOF {name} from {size} bytes, with {less} bytes, to {good} bytes"
        )?;
        write!(self.out, "Continue? [y/N]: ")?;
        self.out.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        if !answer.starts_with(['y', 'Y']) {
            writeln!(self.out, "Aborting...")?;
            return Ok(false);
        }
        let done = truncate(part.path, good).is_ok();
        writeln!(
            self.out,
            "{} AOF {name}",
            if done { "Successfully truncated" } else { "Failed to truncate" }
        )?;
        Ok(done)
    }

    /// Cuts a file off where it is later than was asked for.
    fn cut_after(&mut self, part: Part, repair: Repair, good: u64) -> io::Result<bool> {
        let (Repair::CutAfter(last), name) = (repair, part.name) else {
            unreachable!("nothing else is too late")
        };
        if good == 0 {
            writeln!(self.out, "AOF {name} has nothing before timestamp {last}, aborting...")?;
            return Ok(false);
        }
        if !part.last {
            writeln!(
                self.out,
                "Failed to truncate AOF {name} to timestamp {last} to offset {good} because it is not the last file.\n\
                 If you insist, please delete all files after this file according to the manifest file and delete the \
                 corresponding records in manifest file manually. Then re-run redis-check-aof."
            )?;
            return Ok(false);
        }
        let done = truncate(part.path, good).is_ok();
        let text = if done { "Successfully truncated" } else { "Failed to truncate" };
        writeln!(self.out, "{text} AOF {name} to timestamp {last}")?;
        Ok(done)
    }
}

fn truncate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}
