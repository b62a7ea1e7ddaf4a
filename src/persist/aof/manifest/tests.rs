//! Manifests that Redis takes and refuses, with what it says; and what becomes of one.

use super::*;

fn error(text: &str) -> String {
    Manifest::parse(text.as_bytes()).unwrap_err().to_string()
}

fn file(name: &str, seq: i64) -> File {
    File { name: name.into(), seq }
}

#[test]
fn what_redis_refuses() {
    let at = |line: usize, text: &str, what: &str| {
        format!("Reading the manifest file, at line {line}\n>>> '{text}'\n{what}")
    };
    assert_eq!(error(""), "Found an empty AOF manifest");
    assert_eq!(error("\n"), at(1, "", FORMAT));
    assert_eq!(error("file a seq 1 type b"), "The AOF manifest file contains too long line");
    assert_eq!(
        error(&format!("file {} seq 1 type b\n", "a".repeat(1010))),
        "The AOF manifest file contains too long line"
    );
    for line in [
        "file a seq 1",
        "file a seq 0 type b",
        "file a seq x type b",
        "file \"a seq 1 type b",
        "fil a seq 1 type b",
        "file a seq 1 type \"\"",
        "file a seq 1 type b more",
    ] {
        assert_eq!(error(&format!("#\n{line}\r\n")), at(2, line, FORMAT));
    }
    let base = "file a seq 1 type b";
    assert_eq!(error(&format!("{base}\n{base}\n")), at(2, base, "Found duplicate base file information"));
    let path = "file a/b seq 1 type b";
    assert_eq!(error(&format!("{path}\n")), at(1, path, "File can't be a path, just a filename"));
    let unknown = "file a seq 1 type x";
    assert_eq!(error(&format!("{unknown}\n")), at(1, unknown, "Unknown AOF file type"));
    let again = "file b seq 1 type i";
    assert_eq!(
        error(&format!("file a seq 1 type i\n{again}\n")),
        at(2, again, "Found a non-monotonic sequence number")
    );
    let negative = "file b seq -1 type i";
    assert_eq!(error(&format!("{negative}\n")), at(1, negative, "Found a non-monotonic sequence number"));
}

#[test]
fn what_redis_takes() {
    assert_eq!(Manifest::parse(b"#x\n"), Ok(Manifest::default()));
    let text = "file a seq 2x type bcd foo bar\n  FILE \"h h\" SEQ 1 type h\nfile i1 seq 4 type i\n#\nfile i2 seq 7 type i\n";
    let mut manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.base, Some(file("a", 2)));
    assert_eq!(manifest.history, [file("h h", 1)]);
    assert_eq!(manifest.incr, [file("i1", 4), file("i2", 7)]);
    assert_eq!(manifest.files().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a", "i1", "i2"]);
    let written =
        "file a seq 2 type b\nfile \"h h\" seq 1 type h\nfile i1 seq 4 type i\nfile i2 seq 7 type i\n";
    assert_eq!(manifest.to_text(), written.as_bytes());
    assert_eq!(Manifest::parse(written.as_bytes()).as_ref(), Ok(&manifest));
    assert_eq!(manifest.new_incr("log"), "log.8.incr.aof");
    assert_eq!(manifest.new_base("log", false), "log.3.base.aof");
}

#[test]
fn a_log_that_is_rewritten() {
    let mut manifest = Manifest::default();
    assert_eq!(manifest.new_base("appendonly.aof", true), "appendonly.aof.1.base.rdb");
    assert_eq!(manifest.new_incr("appendonly.aof"), "appendonly.aof.1.incr.aof");
    assert_eq!(
        manifest.to_text(),
        b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    );
    // The rewrite begins: what comes next goes to a new increment.
    assert_eq!(manifest.new_incr("appendonly.aof"), "appendonly.aof.2.incr.aof");
    // It ends.
    manifest.new_base("appendonly.aof", true);
    manifest.retire_incr(1);
    let expected = "\
        file appendonly.aof.2.base.rdb seq 2 type b\n\
        file appendonly.aof.1.base.rdb seq 1 type h\n\
        file appendonly.aof.1.incr.aof seq 1 type h\n\
        file appendonly.aof.2.incr.aof seq 2 type i\n";
    assert_eq!(manifest.to_text(), expected.as_bytes());
    assert_eq!(Manifest::parse(expected.as_bytes()).as_ref(), Ok(&manifest));
    assert_eq!(
        (manifest_name("a"), temporary_name("a.manifest")),
        ("a.manifest".into(), "temp-a.manifest".into())
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "(file [a-z\"\\\\ ]{0,5} seq [0-9-]{0,3} type [bhix] ?\n?|[ -~]{0,20}\n|#x\n){0,5}") {
        if let Ok(manifest) = Manifest::parse(text.as_bytes()) {
            let written = manifest.to_text();
            if !written.is_empty() {
                proptest::prop_assert_eq!(Manifest::parse(&written), Ok(manifest));
            }
        }
    }
}
