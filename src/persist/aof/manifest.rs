//! The manifest of a log: which files it consists of, in which order.
//! In: its text, or what becomes of the log. Out: the names of its files, its text.
//! Absent: files, and when it is written: under a temporary name, synchronised, then renamed, before a file of it is used.
//!
//! 1. At most one base; the numbers of increments ascend.
//! 2. A name is that of a file in the manifest's own directory.
//! 3. Numbers are not used twice: `base_seq` and `incr_seq` are the highest of those in the text.

use crate::base::quoted;
use std::fmt;

/// Redis reads no longer lines.
const LINE_BYTES_MAX: usize = 1024;

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub seq: i64,
}

/// The files of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<File>,
    /// No longer needed: to be deleted when the manifest without them is on disk.
    pub history: Vec<File>,
    /// In the order in which they were written; the last one grows.
    pub incr: Vec<File>,
    base_seq: i64,
    incr_seq: i64,
}

/// What is wrong with a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The number of a line, from 1, and the line, if it is one that is wrong.
    pub line: Option<(usize, String)>,
    pub what: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some((number, text)) = &self.line {
            write!(f, "Reading the manifest file, at line {number}\n>>> '{text}'\n")?;
        }
        f.write_str(self.what)
    }
}

const FORMAT: &str = "Invalid AOF manifest file format";

impl Manifest {
    pub fn parse(text: &[u8]) -> Result<Manifest, Error> {
        let mut manifest = Manifest::default();
        let mut number = 0;
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            number += 1;
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() >= LINE_BYTES_MAX || !line.ends_with(b"\n") {
                return Err(Error { line: None, what: "The AOF manifest file contains too long line" });
            }
            let line = line.trim_ascii();
            let shown = || Some((number, String::from_utf8_lossy(line).into_owned()));
            manifest.add(line).map_err(|what| Error { line: shown(), what })?;
        }
        if number == 0 {
            return Err(Error { line: None, what: "Found an empty AOF manifest" });
        }
        Ok(manifest)
    }

    /// The manifest of a log that was one file of this name.
    pub fn upgraded(name: &str) -> Manifest {
        Manifest { base: Some(File { name: name.into(), seq: 1 }), base_seq: 1, ..Manifest::default() }
    }

    fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (file, kind) = file(line)?;
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.base_seq = file.seq;
                self.base = Some(file);
            }
            b'h' => self.history.push(file),
            b'i' if file.seq <= self.incr_seq => return Err("Found a non-monotonic sequence number"),
            b'i' => {
                self.incr_seq = file.seq;
                self.incr.push(file);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// All files that hold data, in the order in which they are read.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.base.iter().chain(&self.incr)
    }

    /// Makes a new base, which the log is to have instead of all that it has; the name is its. The old base becomes history.
    pub fn new_base(&mut self, appendfilename: &str, rdb: bool) -> &str {
        self.history.extend(self.base.take());
        self.base_seq += 1;
        let name = base_name(appendfilename, self.base_seq, rdb);
        &self.base.insert(File { name, seq: self.base_seq }).name
    }

    /// Begins a new increment; the name is its.
    pub fn new_incr(&mut self, appendfilename: &str) -> &str {
        self.incr_seq += 1;
        let name = incr_name(appendfilename, self.incr_seq);
        self.incr.push(File { name, seq: self.incr_seq });
        &self.incr[self.incr.len() - 1].name
    }

    /// The first increments, up to the one of that number, become history: a base has what is in them.
    pub fn retire_incr(&mut self, seq_max: i64) {
        let count = self.incr.iter().take_while(|file| file.seq <= seq_max).count();
        self.history.extend(self.incr.drain(..count));
    }

    /// The text that is written.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let kinds = [(self.base.as_slice(), 'b'), (&self.history, 'h'), (&self.incr, 'i')];
        for (files, kind) in kinds {
            for file in files {
                text.extend_from_slice(b"file ");
                text.extend_from_slice(&shown(&file.name));
                text.extend_from_slice(format!(" seq {} type {kind}\n", file.seq).as_bytes());
            }
        }
        text
    }
}

/// The file of a line, and its type.
fn file(line: &[u8]) -> Result<(File, u8), &'static str> {
    const WORDS_MIN: usize = 6;
    let words = quoted::split(line).filter(|words| words.len() >= WORDS_MIN && words.len().is_multiple_of(2));
    let (mut name, mut seq, mut kind) = (None, 0, None);
    for pair in words.ok_or(FORMAT)?.chunks_exact(2) {
        let is = |word: &str| pair[0].eq_ignore_ascii_case(word.as_bytes());
        if is("file") {
            let text = String::from_utf8(pair[1].clone()).map_err(|_| FORMAT)?;
            if text.contains(['/', '\\']) {
                return Err("File can't be a path, just a filename");
            }
            name = Some(text);
        } else if is("seq") {
            seq = leading_number(&pair[1]);
        } else if is("type") {
            kind = pair[1].first().copied();
        }
    }
    match (name, kind) {
        (Some(name), Some(kind)) if seq != 0 => Ok((File { name, seq }, kind)),
        _ => Err(FORMAT),
    }
}

/// The number that a text begins with, or 0.
fn leading_number(text: &[u8]) -> i64 {
    let digits =
        text.iter().skip(usize::from(text.starts_with(b"-"))).take_while(|byte| byte.is_ascii_digit());
    let length = usize::from(text.starts_with(b"-")) + digits.count();
    std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A name as it stands in the text: quoted if it has to be.
fn shown(name: &str) -> Vec<u8> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'\'');
    if name.bytes().all(plain) && !name.is_empty() { name.into() } else { quoted::quote(name.as_bytes()) }
}

pub fn manifest_name(appendfilename: &str) -> String {
    format!("{appendfilename}.manifest")
}

/// The name under which a manifest or base is written before it is renamed.
pub fn temporary_name(name: &str) -> String {
    format!("temp-{name}")
}

fn base_name(appendfilename: &str, seq: i64, rdb: bool) -> String {
    format!("{appendfilename}.{seq}.base.{}", if rdb { "rdb" } else { "aof" })
}

fn incr_name(appendfilename: &str, seq: i64) -> String {
    format!("{appendfilename}.{seq}.incr.aof")
}

#[cfg(test)]
mod tests;
