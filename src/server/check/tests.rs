//! Files that are checked, with what is said of them; Redis' own tools say the same.

use super::*;
use std::fs;

/// A directory of its own for each test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("ringfort-check-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a command line says and whether it finds nothing wrong; the directory is left out of the text.
fn say(scratch: &Scratch, program: &str, arguments: &[&str], answer: &str) -> (String, bool) {
    let arguments: Vec<String> = arguments.iter().map(|text| text.to_string()).collect();
    let task = task(program, &arguments).unwrap().unwrap();
    let mut out = Vec::new();
    let sound = run(&task, &mut answer.as_bytes(), &mut out).unwrap();
    (String::from_utf8(out).unwrap().replace(&format!("{}/", scratch.0.display()), ""), sound)
}

const RDB: &[u8] = b"REDIS0010\xfa\x09redis-ver\x057.0.0\xfe\x00\x00\x01k\x01v\xfc\x01\0\0\0\0\0\0\0\x00\x01l\x01v\xff\0\0\0\0\0\0\0\0";
const LOG: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
const RDB_SAID: &str = "\
[offset 26] AUX FIELD redis-ver = '7.0.0'
[offset 28] Selecting DB ID 0
[offset 56] RDB file was saved with checksum disabled: no check performed.
[offset 56] \\o/ RDB looks OK! \\o/
[info] 2 keys read
[info] 1 expires
[info] 1 already expired
";

#[test]
fn command_lines() {
    let task_of = |program: &str, arguments: &[&str]| {
        task(program, &arguments.iter().map(|text| text.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(task_of("ringfort", &["check", "a"]), Some(Ok(Task::Any("a".into()))));
    assert_eq!(task_of("/usr/bin/redis-check-rdb", &["a"]), Some(Ok(Task::Rdb("a".into()))));
    assert_eq!(task_of("redis-check-aof", &["--fix", "a"]), Some(Ok(Task::Aof("a".into(), Repair::Cut))));
    let until = ["--truncate-to-timestamp", "5", "a"];
    assert_eq!(task_of("redis-check-aof", &until), Some(Ok(Task::Aof("a".into(), Repair::CutAfter(5)))));
    for (program, arguments) in [
        ("ringfort", &["check"][..]),
        ("ringfort", &["check", "a", "b"]),
        ("redis-check-rdb", &[]),
        ("redis-check-aof", &[]),
        ("redis-check-aof", &["--fixx", "a"]),
        ("redis-check-aof", &["--truncate-to-timestamp", "x", "a"]),
    ] {
        assert!(matches!(task_of(program, arguments), Some(Err(_))), "{program} {arguments:?}");
    }
    assert_eq!(task_of("ringfort", &["a.conf"]), None);
    assert_eq!(task_of("redis-server", &[]), None);
}

#[test]
fn rdb_files() {
    let scratch = Scratch::new("rdb");
    for program in ["ringfort", "redis-check-rdb"] {
        let arguments = |path: &str| {
            if program == "ringfort" { vec!["check".into(), path.to_owned()] } else { vec![path.to_owned()] }
        };
        let check = |path: &str| {
            let arguments = arguments(path);
            say(&scratch, program, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")
        };
        let sound = scratch.write("a.rdb", RDB);
        assert_eq!(check(&sound), (format!("[offset 0] Checking RDB file a.rdb\n{RDB_SAID}"), true));
        let cut = scratch.write("b.rdb", &RDB[..31]);
        let (said, ok) = check(&cut);
        let expected = "--- RDB ERROR DETECTED ---\n[offset 31] unexpected end of file\n[additional info] Reading key 'k'\n[info] 0 keys read\n[info] 0 expires\n[info] 0 already expired\n";
        assert!(!ok && said.ends_with(expected), "{said}");
        let mut wrong = RDB.to_vec();
        wrong[48] = 1;
        let (said, ok) = check(&scratch.write("c.rdb", &wrong));
        assert!(!ok && said.contains("[offset 48] wrong checksum: the file says 0000000000000001"), "{said}");
        let ziplist = [&RDB[..47], b"\x0a\x01m\x02ab\xff\0\0\0\0\0\0\0\0"].concat();
        let (said, ok) = check(&scratch.write("d.rdb", &ziplist));
        assert!(
            !ok && said.contains(
                "[offset 50] ends too early (integrity check failed)\n[additional info] Reading key 'm'\n[info] 3 keys read"
            ),
            "{said}"
        );
        let more = [RDB, b"xx"].concat();
        let (said, ok) = check(&scratch.write("e.rdb", &more));
        assert!(!ok, "{said}");
    }
    let missing = scratch.0.join("f").to_str().unwrap().to_owned();
    assert_eq!(
        say(&scratch, "redis-check-rdb", &[&missing], ""),
        ("Cannot open file f: No such file or directory\n".into(), false)
    );
    let other = scratch.write("g.rdb", b"hello");
    assert!(say(&scratch, "redis-check-rdb", &[&other], "").0.contains("[offset 0] wrong signature"));
}

/// An empty file was taken for a log, whatever its name: the server refuses one as its RDB file, or as a manifest.
#[test]
fn empty_files() {
    let scratch = Scratch::new("empty");
    for (name, sound) in [
        ("dump.rdb", false),
        ("dump", false),
        ("appendonly.aof.manifest", false),
        ("appendonly.aof", true),
        ("appendonly.aof.1.incr.aof", true),
        ("appendonly.aof.1.base.rdb", true),
    ] {
        let (said, ok) = say(&scratch, "ringfort", &["check", &scratch.write(name, b"")], "");
        assert_eq!(ok, sound, "{name}: {said}");
    }
}

#[test]
fn a_log_of_one_file() {
    let scratch = Scratch::new("log");
    let check =
        |name: &str, bytes: &[u8]| say(&scratch, "redis-check-aof", &[&scratch.write(name, bytes)], "");
    let expected = "Start checking Old-Style AOF\nAOF analyzed: filename=a.aof, size=50, ok_up_to=50, ok_up_to_line=13, diff=0\nAOF a.aof is valid\n";
    // The name in the text has no directory here.
    assert_eq!(check("a.aof", LOG), (expected.into(), true));
    assert_eq!(check("f.aof", b""), ("Start checking Old-Style AOF\nAOF f.aof is empty\n".into(), true));
    let (said, ok) = check("b.aof", &LOG[..40]);
    let expected = "AOF analyzed: filename=b.aof, size=40, ok_up_to=23, ok_up_to_line=10, diff=17\nAOF b.aof is not valid. Use the --fix option to try fixing it.\n";
    assert!(!ok && said.ends_with(expected), "{said}");
    let open = [LOG, b"*1\r\n$5\r\nMULTI\r\n", LOG].concat();
    let (said, ok) = check("c.aof", &open);
    assert!(!ok && said.contains("0x              73: Reached EOF before reading EXEC for MULTI\nAOF analyzed: filename=c.aof, size=115, ok_up_to=50,"), "{said}");
    let (said, ok) = check("d.aof", b"*1\r\n$4\r\nEXEC\r\n");
    assert!(!ok && said.contains("Unexpected EXEC in AOF d.aof\n"), "{said}");
    let both = [RDB, LOG].concat();
    let (said, ok) = check("p.aof", &both);
    let expected = format!(
        "Start checking Old-Style AOF\n[offset 0] Checking RDB file p.aof\n{RDB_SAID}RDB preamble is OK, proceeding with AOF tail...\nAOF analyzed: filename=p.aof, size=106, ok_up_to=106, ok_up_to_line=13, diff=0\nAOF p.aof is valid\n"
    );
    assert_eq!((said.as_str(), ok), (expected.as_str(), true));
    let (said, ok) = say(&scratch, "ringfort", &["check", &scratch.write("p.aof", &both)], "");
    assert!(ok && said.ends_with("AOF p.aof is valid\n"), "{said}");
    let (said, ok) = check("q.aof", &both[..50]);
    assert!(!ok && said.ends_with("RDB preamble of AOF file is not sane, aborting.\n"), "{said}");
}

#[test]
fn logs_are_cut_off_if_the_user_agrees() {
    let scratch = Scratch::new("cut");
    let path = scratch.write("b.aof", &LOG[..40]);
    let (said, ok) = say(&scratch, "redis-check-aof", &["--fix", &path], "n\n");
    assert!(!ok && said.ends_with("This will shrink the AOF b.aof from 40 bytes, with 17 bytes, to 23 bytes\nContinue? [y/N]: Aborting...\n"), "{said}");
    assert_eq!(fs::read(&path).unwrap().len(), 40);
    let (said, ok) = say(&scratch, "redis-check-aof", &["--fix", &path], "y\n");
    assert!(ok && said.ends_with("Continue? [y/N]: Successfully truncated AOF b.aof\n"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), LOG[..23]);

    let times = [LOG, b"#TS:100\r\n", LOG, b"#TS:200\r\n", LOG].concat();
    let path = scratch.write("t.aof", &times);
    let until = |time: &str| say(&scratch, "redis-check-aof", &["--truncate-to-timestamp", time, &path], "");
    assert!(until("200").0.ends_with("AOF t.aof is valid\n"));
    let (said, ok) = until("150");
    assert!(ok && said.ends_with("Successfully truncated AOF t.aof to timestamp 150\n"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), times[..109]);
    let path = scratch.write("u.aof", &times[50..]);
    let (said, ok) = say(&scratch, "redis-check-aof", &["--truncate-to-timestamp", "50", &path], "");
    assert!(!ok && said.ends_with("AOF u.aof has nothing before timestamp 50, aborting...\n"), "{said}");
}

#[test]
fn a_log_of_several_files() {
    let scratch = Scratch::new("manifest");
    let manifest =
        b"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n";
    let path = scratch.write("a.manifest", manifest);
    scratch.write("a.1.base.rdb", RDB);
    scratch.write("a.1.incr.aof", LOG);
    scratch.write("a.2.incr.aof", LOG);
    let expected = format!(
        "\
        Start checking Multi Part AOF\nStart to check BASE AOF (RDB format).\n[offset 0] Checking RDB file a.1.base.rdb\n{RDB_SAID}\
        RDB preamble is OK, proceeding with AOF tail...\n\
        AOF analyzed: filename=a.1.base.rdb, size=56, ok_up_to=56, ok_up_to_line=1, diff=0\nBASE AOF a.1.base.rdb is valid\n\
        Start to check INCR files.\n\
        AOF analyzed: filename=a.1.incr.aof, size=50, ok_up_to=50, ok_up_to_line=13, diff=0\nINCR AOF a.1.incr.aof is valid\n\
        AOF analyzed: filename=a.2.incr.aof, size=50, ok_up_to=50, ok_up_to_line=13, diff=0\nINCR AOF a.2.incr.aof is valid\n\
        All AOF files and manifest are valid\n"
    );
    for (program, arguments) in [("redis-check-aof", vec![path.as_str()]), ("ringfort", vec!["check", &path])]
    {
        assert_eq!(say(&scratch, program, &arguments, ""), (expected.clone(), true));
    }
    scratch.write("a.1.incr.aof", &LOG[..40]);
    let (said, ok) = say(&scratch, "redis-check-aof", &["--fix", &path], "y\n");
    assert!(
        !ok && said.ends_with("Failed to truncate AOF a.1.incr.aof because it is not the last file\n"),
        "{said}"
    );
    scratch.write("a.1.incr.aof", LOG);
    scratch.write("a.2.incr.aof", &LOG[..40]);
    let (said, ok) = say(&scratch, "redis-check-aof", &["--fix", &path], "y\n");
    assert!(ok && said.contains("Successfully truncated AOF a.2.incr.aof\n"), "{said}");
    let resp = [b"#TS:100\r\n", LOG].concat();
    scratch.write("a.1.base.rdb", &resp);
    let (said, ok) = say(&scratch, "redis-check-aof", &[&path], "");
    assert!(ok && said.contains("Start to check BASE AOF (RESP format).\nAOF analyzed"), "{said}");
    let (said, ok) = say(&scratch, "redis-check-aof", &["--truncate-to-timestamp", "99", &path], "");
    assert!(
        !ok && said.ends_with("AOF a.1.base.rdb has nothing before timestamp 99, aborting...\n"),
        "{said}"
    );
    let (said, ok) =
        say(&scratch, "redis-check-aof", &[&scratch.write("a.manifest", b"file x seq 1 typ i\n")], "");
    assert!(
        !ok && said.ends_with("at line 1\n>>> 'file x seq 1 typ i'\nInvalid AOF manifest file format\n"),
        "{said}"
    );
    let (said, ok) =
        say(&scratch, "redis-check-aof", &[&scratch.write("a.manifest", b"file x seq 1 type i\n")], "");
    assert!(!ok && said.ends_with("Cannot open file x: No such file or directory\n"), "{said}");
}
