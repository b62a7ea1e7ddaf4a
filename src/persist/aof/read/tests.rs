//! Logs whole, in portions, cut and changed.

use super::*;
use crate::base::rng::Rng;

const LOG: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n#TS:1628217470\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nx\r\n\r\n\
    *1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n#TS:1628217471\r\n*1\r\n$4\r\nEXEC\r\n#\r\n*2\r\n$3\r\nDEL\r\n$0\r\n\r\n";

/// What a reader says of a log that comes in portions of that size, how it ends, how far it is good, and at which line.
fn read(bytes: &[u8], portion: usize) -> (Vec<String>, Result<(), Error>, u64, u64) {
    let mut reader = Reader::new(100);
    let mut portions = bytes.chunks(portion);
    let mut said = Vec::new();
    let end = loop {
        match reader.next() {
            Ok(Some(Event::Timestamp(seconds))) => said.push(format!("at {seconds}")),
            Ok(Some(Event::Command(command))) => {
                assert_eq!(command.bytes, &bytes[command.offset as usize - 100..][..command.bytes.len()]);
                let words: Vec<_> = command.args().map(|arg| arg.escape_ascii().to_string()).collect();
                assert_eq!(command.arg(0).escape_ascii().to_string(), words[0]);
                said.push(format!("{} {}", command.offset, words.join(" ")));
            }
            Ok(None) => match portions.next() {
                Some(portion) => reader.feed(portion),
                None => break reader.end(),
            },
            Err(error) => break Err(error),
        }
    };
    (said, end, reader.good(), reader.line())
}

#[test]
fn a_whole_log() {
    let expected = [
        "100 SELECT 0",
        "at 1628217470",
        "139 SET a x\\r\\n",
        "168 MULTI",
        "183 INCR n",
        "at 1628217471",
        "220 EXEC",
        "237 DEL ",
    ];
    for portion in [1, 2, 3, 10, 1000] {
        let (said, end, good, line) = read(LOG, portion);
        assert_eq!((said.as_slice(), end), (&expected.map(String::from)[..], Ok(())));
        assert_eq!((good, line), (100 + LOG.len() as u64, 32));
    }
}

#[test]
fn a_log_that_is_cut_anywhere() {
    let (whole, ..) = read(LOG, LOG.len());
    // Where commands end, and where an annotation does.
    let (multi, exec) = (168 - 100, 234 - 100);
    for length in 0..LOG.len() {
        let (said, end, good, _) = read(&LOG[..length], 7);
        assert_eq!(said, whole[..said.len()]);
        let good = good as usize - 100;
        assert!(good <= length);
        match end {
            Ok(()) => assert_eq!(good, length),
            Err(Error { offset, what: What::Cut }) => assert_eq!(offset as usize, length + 100),
            Err(error) => {
                assert_eq!((error.what, error.offset as usize), (What::OpenTransaction, length + 100));
                assert_eq!(good, multi);
            }
        }
        // What is good is a log.
        assert_eq!(read(&LOG[..good], 5).1, Ok(()), "{good} of {length}");
        assert!(
            (length < multi || length >= exec) || good <= multi,
            "half a transaction is not good: {good} of {length}"
        );
    }
}

#[test]
fn a_byte_that_is_changed_anywhere() {
    for at in 0..LOG.len() {
        for change in 1..=255 {
            let mut log = LOG.to_vec();
            log[at] ^= change;
            let (said, end, good, line) = read(&log, 1000);
            assert_eq!(read(&log, 3), (said, end.clone(), good, line));
            let good = good as usize - 100;
            assert!(good <= log.len());
            if let Err(error) = end {
                assert!((good + 100..=log.len() + 100).contains(&(error.offset as usize)), "{error}: {good}");
            }
            assert_eq!(read(&log[..good], 1000).1, Ok(()));
        }
    }
}

#[test]
fn changed_logs_never_do_harm() {
    let mut rng = Rng::seeded(21);
    let mut below = |bound: usize| rng.below(bound as u64) as usize;
    for _ in 0..50_000 {
        let mut log = LOG.to_vec();
        crate::persist::rdb::tests::mutate::mutate(&mut log, LOG, &mut below);
        let portion = 1 + below(50);
        assert_eq!(read(&log, portion), read(&log, log.len().max(1)));
    }
}

#[test]
fn errors_say_where() {
    let cases: [(&[u8], u64, &str); 13] = [
        (b"xyz", 0, "Expected a command, which begins with '*'"),
        (b"*1\r\n$4\r\nPING\r\nSET", 14, "Expected a command, which begins with '*'"),
        (b"*0\r\n", 4, "A command without arguments"),
        (b"*1\r\n*1\r\n", 4, "Expected an argument, which begins with '$'"),
        (b"*1\r\n$x\r\n", 5, "Expected a number and \\r\\n"),
        (b"*1\rx", 3, "Expected \\n"),
        (b"*1\n", 2, "Expected a number and \\r\\n"),
        (b"*-1\r\n", 1, "Expected a number and \\r\\n"),
        (b"*1111111111111111111\r\n", 19, "A number that is too large"),
        (b"*1\r\n$4\r\nPINGS\r\n", 12, "Expected \\r\\n behind an argument"),
        (b"*1\r\n$4\r\nPING\rS", 13, "Expected \\r\\n behind an argument"),
        (b"*1\r\n$4\r\nEXEC\r\n", 0, "Unexpected EXEC"),
        (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nmulti\r\n", 15, "Unexpected MULTI"),
    ];
    for (log, offset, text) in cases {
        let error = read(log, 1000).1.unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("0x{:16x}: {text}", offset + 100)),
            "{error} for {}",
            log.escape_ascii()
        );
        assert_eq!(read(log, 1).1.unwrap_err().offset, error.offset, "{}", log.escape_ascii());
    }
    let endless = [b"#", &b"x".repeat(2000)[..]].concat();
    assert_eq!(read(&endless, 10).1.unwrap_err().what, What::Format("An annotation without an end"));
}

#[test]
fn lengths_that_lie_take_no_memory() {
    for log in [&b"*999999999999999999\r\n$1\r\na\r\n"[..], b"*2\r\n$999999999999999999\r\nabc"] {
        let mut reader = Reader::new(0);
        reader.feed(log);
        assert!(matches!(reader.next(), Ok(None)));
        assert!(reader.buffer.capacity() < 100 && reader.spans.capacity() < 10);
        assert_eq!(reader.end().unwrap_err().what, What::Cut);
    }
}
