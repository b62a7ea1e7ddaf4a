//! Checks an RDB file: every record, every value, the checksum.
//! In: a file. Out: what it holds or what is wrong, and what is behind its end. Absent: values of streams and modules, which are
//! measured and not looked into.

use super::{Check, Portions, error_text};
use crate::persist::rdb::file::{Checksum, Event, Raw, Reader};
use crate::persist::rdb::{self, Reader as Primitives};
use std::io;
use std::path::Path;

/// What is behind the end of a file.
#[derive(Debug)]
pub struct Behind {
    /// Where that begins.
    pub offset: u64,
    pub bytes: u64,
}

impl Behind {
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// What a file holds.
#[derive(Default)]
struct Tally {
    keys: u64,
    expires: u64,
    expired: u64,
    functions: u64,
    /// Values that were measured only.
    opaque: u64,
}

/// What to do with a record that was read.
enum Seen {
    Line(String),
    Nothing,
    End(Checksum),
}

impl Check<'_> {
    /// Checks the RDB file that a file is or begins with; None: it is not sound.
    pub fn rdb(&mut self, path: &Path) -> io::Result<Option<Behind>> {
        writeln!(self.out, "[offset 0] Checking RDB file {}", path.display())?;
        let mut tally = Tally::default();
        let wrong = match self.records(path, &mut tally) {
            Ok(Ok(behind)) => {
                writeln!(self.out, "[offset {}] \\o/ RDB looks OK! \\o/", behind.offset)?;
                self.say(&tally)?;
                return Ok(Some(behind));
            }
            Ok(Err(error)) => error,
            Err(error) => {
                writeln!(self.out, "Cannot read file {}: {}", path.display(), error_text(&error))?;
                return Ok(None);
            }
        };
        writeln!(self.out, "--- RDB ERROR DETECTED ---\n[offset {}] {}", wrong.offset, wrong.what)?;
        if let Some(key) = &wrong.key {
            writeln!(self.out, "[additional info] Reading key '{}'", key.escape_ascii())?;
        }
        self.say(&tally)?;
        Ok(None)
    }

    fn records(&mut self, path: &Path, tally: &mut Tally) -> io::Result<Result<Behind, rdb::file::Error>> {
        let mut portions = Portions::open(path)?;
        let mut reader = Reader::new(Some(portions.bytes));
        loop {
            let seen = match reader.next() {
                Ok(Some(event)) => look(event, tally, self.now_ms),
                Ok(None) => match portions.next()? {
                    [] => return Ok(Err(reader.cut())),
                    portion => {
                        reader.feed(portion);
                        continue;
                    }
                },
                Err(error) => return Ok(Err(error)),
            };
            let offset = reader.offset();
            match seen {
                Ok(Seen::Line(text)) => writeln!(self.out, "[offset {offset}] {text}")?,
                Ok(Seen::Nothing) => {}
                Ok(Seen::End(checksum)) => {
                    writeln!(
                        self.out,
                        "[offset {offset}] {}",
                        match checksum {
                            Checksum::Sound => "Checksum OK",
                            Checksum::Unchecked =>
                                "RDB file was saved with checksum disabled: no check performed.",
                        }
                    )?;
                    return Ok(Ok(Behind { offset, bytes: portions.bytes.saturating_sub(offset) }));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn say(&mut self, tally: &Tally) -> io::Result<()> {
        writeln!(self.out, "[info] {} keys read", tally.keys)?;
        writeln!(self.out, "[info] {} expires", tally.expires)?;
        writeln!(self.out, "[info] {} already expired", tally.expired)?;
        if tally.functions > 0 {
            writeln!(self.out, "[info] {} function libraries", tally.functions)?;
        }
        if tally.opaque > 0 {
            writeln!(
                self.out,
                "[info] {} values of streams or modules, whose contents were not checked",
                tally.opaque
            )?;
        }
        Ok(())
    }
}

fn look(event: Event, tally: &mut Tally, now_ms: i64) -> Result<Seen, rdb::file::Error> {
    Ok(match event {
        Event::Aux { key, value } => {
            Seen::Line(format!("AUX FIELD {} = '{}'", key.escape_ascii(), value.escape_ascii()))
        }
        Event::SelectDb(db) => Seen::Line(format!("Selecting DB ID {db}")),
        Event::ModuleAux { module } => Seen::Line(format!("MODULE AUX for: {module}")),
        Event::SlotImport { job } => {
            Seen::Line(format!("Slots that were being imported, job {}", job.escape_ascii()))
        }
        Event::Function(_) => {
            tally.functions += 1;
            Seen::Nothing
        }
        Event::Entry(raw) => {
            tally.keys += 1;
            tally.expires += u64::from(raw.expiry_ms.is_some());
            tally.expired += u64::from(raw.expiry_ms.is_some_and(|at_ms| at_ms < now_ms));
            if !is_decoded(&raw)? {
                tally.opaque += 1;
            }
            Seen::Nothing
        }
        Event::End(checksum) => Seen::End(checksum),
        Event::Version { .. } | Event::ResizeDb { .. } | Event::SlotInfo { .. } => Seen::Nothing,
    })
}

/// Whether a value is one that can be decoded, and is sound.
fn is_decoded(raw: &Raw) -> Result<bool, rdb::file::Error> {
    let mut body = Primitives::new(raw.body);
    match rdb::decode(raw.form, raw.dialect, &mut body).and_then(|_| raw.whole(&body)) {
        Ok(()) => Ok(true),
        Err(rdb::Error::Unsupported(_)) => Ok(false),
        Err(error) => Err(raw.error(&body, error)),
    }
}
