//! Parsing of requests and writing of replies. `cargo bench --bench resp`.

use criterion::{Criterion, criterion_group, criterion_main};
use ringfort::base::{crc, number};
use ringfort::resp::{Limits, Out, Parser, Step};
use std::hint::black_box;

const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true, inline_max: 64 << 10 };
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000001234\r\n";
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";

fn parse(c: &mut Criterion) {
    let set_64 =
        [&b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000001234\r\n$64\r\n"[..], &[b'v'; 64], b"\r\n"].concat();
    let mget = [&b"*101\r\n$4\r\nMGET\r\n"[..], &b"$16\r\nkey:000000001234\r\n".repeat(100)].concat();
    let pipeline = GET.repeat(16);
    for (name, bytes) in [
        ("GET", GET),
        ("SET key value", SET),
        ("SET of 64 bytes", &set_64),
        ("MGET of 100", &mget),
        ("16 GET", &pipeline),
    ] {
        let (mut parser, mut spans) = (Parser::default(), Vec::with_capacity(128));
        c.bench_function(&format!("parse {name}"), |b| {
            b.iter(|| {
                spans.clear();
                let bytes = black_box(bytes);
                let mut at = 0;
                while at < bytes.len() {
                    match parser.next(&bytes[at..], at as u32, &mut spans, &LIMITS) {
                        Ok(Step::Ready { consumed, .. }) => at += consumed,
                        other => panic!("{other:?}"),
                    }
                }
                black_box(&spans);
            })
        });
    }
}

fn write(c: &mut Criterion) {
    let mut buf = Vec::with_capacity(1 << 16);
    let mut bench = |name: &str, write: &dyn Fn(&mut Out)| {
        c.bench_function(&format!("write {name} x100"), |b| {
            b.iter(|| {
                buf.clear();
                let mut out = Out { buf: &mut buf, resp3: true };
                for _ in 0..100 {
                    write(black_box(&mut out));
                }
            })
        });
    };
    bench("OK", &|out| out.ok());
    bench("integer 7", &|out| out.integer(black_box(7)));
    bench("integer 123456", &|out| out.integer(black_box(123456)));
    bench("bulk of 5", &|out| out.bulk(black_box(b"value")));
    bench("bulk of 64", &|out| out.bulk(black_box(&[b'v'; 64])));
    bench("array header", &|out| out.array(black_box(12)));
    bench("double 3.25", &|out| out.double(black_box(3.25)));
    bench("double 0.1", &|out| out.double(black_box(0.1)));
}

fn base(c: &mut Criterion) {
    c.bench_function("slot of 16 bytes", |b| b.iter(|| crc::slot(black_box(b"key:000000001234"))));
    c.bench_function("slot of a tag", |b| b.iter(|| crc::slot(black_box(b"{user:1000}.followers"))));
    c.bench_function("parse_i64", |b| b.iter(|| number::parse_i64(black_box(b"123456"))));
    c.bench_function("LongDouble sum", |b| {
        b.iter(|| {
            let (x, y) =
                (number::LongDouble::parse(black_box(b"10.5")), number::LongDouble::parse(black_box(b"0.1")));
            (x.unwrap() + y.unwrap()).text()
        })
    });
}

criterion_group!(benches, parse, write, base);
criterion_main!(benches);
