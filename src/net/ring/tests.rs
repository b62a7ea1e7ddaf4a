//! Sends without completions: kept, short and broken promises, over real sockets.
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;

const SLOT: u32 = 3;

/// A ring that has one end of a pair under `SLOT`, and the other end. Its sockets take a few KiB.
fn ring_and_peer() -> (Ring, UnixStream) {
    let (ours, peer) = UnixStream::pair().expect("a pair");
    let size: libc::c_int = 4096;
    // SAFETY: a plain system call on a descriptor that is ours, with an option as large as it says.
    unsafe {
        let len = size_of_val(&size) as libc::socklen_t;
        libc::setsockopt(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, (&raw const size).cast(), len);
    }
    let mut ring = Ring::new(16).expect("a ring");
    ring.adopt(SLOT, ours.into());
    (ring, peer)
}

/// What happened after an enter that does not sleep.
fn events(ring: &mut Ring) -> Vec<Event> {
    ring.enter(0);
    std::iter::from_fn(|| ring.next_event()).collect()
}

/// Bytes that differ, so that a mistaken order shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 + i) as u8).collect()
}

/// Reads `len` bytes while the ring sends, and returns them with the number of bytes that `Sent` told of.
fn read_all(ring: &mut Ring, peer: &mut UnixStream, len: usize) -> (Vec<u8>, usize) {
    let (mut got, mut told) = (Vec::new(), 0);
    let mut portion = [0; 1024];
    loop {
        for event in events(ring) {
            let Event::Sent { slot: SLOT, bytes, .. } = event else { panic!("unexpected {event:?}") };
            told += bytes;
        }
        if got.len() == len {
            break;
        }
        let read = peer.read(&mut portion).expect("bytes");
        got.extend_from_slice(&portion[..read]);
    }
    (got, told)
}

#[test]
fn a_small_send_is_kept_without_a_completion() {
    let (mut ring, mut peer) = ring_and_peer();
    for round in 0..2000 {
        assert!(ring.send(SLOT, format!("{round:08}").into_bytes()), "this kernel keeps promises");
        assert!(!ring.can_send(SLOT) && ring.is_promised(SLOT));
        assert_eq!(events(&mut ring), [Event::Kept { slot: SLOT }]);
        assert!(ring.can_send(SLOT) && !ring.is_promised(SLOT) && !ring.is_sending());
        assert!(ring.take_sent_buffer(SLOT).capacity() >= 8);
        let mut got = [0; 8];
        peer.read_exact(&mut got).expect("8 bytes");
        assert_eq!(got, *format!("{round:08}").as_bytes());
    }
}

#[test]
fn a_promise_is_broken_when_only_part_fits() {
    let (mut ring, mut peer) = ring_and_peer();
    let all = pattern(PROMISE_BYTES_MAX);
    assert!(ring.send(SLOT, all.clone()));
    let [Event::Broken { slot: SLOT, rest }] = events(&mut ring)[..] else { panic!("it cannot fit") };
    assert!(rest > 0 && rest < all.len());
    assert!(!ring.can_send(SLOT) && !ring.is_promised(SLOT) && ring.is_sending());
    let (got, told) = read_all(&mut ring, &mut peer, all.len());
    assert!(got == all, "in order");
    assert_eq!(told, rest);
    assert!(ring.can_send(SLOT));
}

#[test]
fn a_promise_is_broken_when_nothing_fits() {
    let (mut ring, mut peer) = ring_and_peer();
    let mut sent = 0;
    let rest = loop {
        assert!(ring.send(SLOT, vec![b'x'; 512]));
        match events(&mut ring)[..] {
            [Event::Kept { .. }] => sent += 512,
            [Event::Broken { rest, .. }] => break rest,
            ref others => panic!("unexpected {others:?}"),
        }
    };
    assert_eq!(rest, 512, "the socket has no room");
    let (got, told) = read_all(&mut ring, &mut peer, sent + 512);
    assert_eq!((got.len(), told), (sent + 512, 512));
}

#[test]
fn a_large_send_is_not_promised() {
    let (mut ring, mut peer) = ring_and_peer();
    let all = pattern(PROMISE_BYTES_MAX + 1);
    assert!(!ring.send(SLOT, all.clone()));
    assert!(!ring.is_promised(SLOT));
    let (got, told) = read_all(&mut ring, &mut peer, all.len());
    assert!(got == all && told == all.len());
}

#[test]
fn a_promise_to_a_peer_that_left_hangs_up() {
    let (mut ring, peer) = ring_and_peer();
    drop(peer);
    assert!(ring.send(SLOT, b"too late".to_vec()));
    let happened = events(&mut ring);
    assert!(happened.contains(&Event::HungUp { slot: SLOT }), "{happened:?}");
    ring.close(SLOT);
    let closed = events(&mut ring);
    assert!(closed.contains(&Event::Closed { slot: SLOT }), "{closed:?}");
}

#[test]
fn a_socket_closes_although_its_send_is_promised() {
    for fits in [true, false] {
        let (mut ring, _peer) = ring_and_peer();
        assert!(ring.send(SLOT, vec![b'x'; if fits { 8 } else { PROMISE_BYTES_MAX }]));
        ring.close(SLOT);
        let mut happened = events(&mut ring);
        happened.extend(events(&mut ring));
        assert_eq!(happened, [Event::Closed { slot: SLOT }]);
        assert_eq!(ring.unsent.len(), 1);
    }
}

#[test]
fn promises_hold_while_the_submission_queue_overflows() {
    let (mut ring, _peer) = ring_and_peer();
    let mut peers = Vec::new();
    let slots = 100..100 + SQ_ENTRIES + 50;
    for slot in slots.clone() {
        let (ours, peer) = UnixStream::pair().expect("a pair");
        ring.adopt(slot, ours.into());
        assert!(ring.send(slot, slot.to_le_bytes().to_vec()));
        peers.push(peer);
    }
    let mut kept: Vec<u32> = events(&mut ring)
        .into_iter()
        .map(|event| if let Event::Kept { slot } = event { slot } else { panic!("unexpected {event:?}") })
        .collect();
    kept.sort();
    assert!(kept.into_iter().eq(slots.clone()));
    for (slot, mut peer) in slots.zip(peers) {
        let mut got = [0; 4];
        peer.read_exact(&mut got).expect("4 bytes");
        assert_eq!(u32::from_le_bytes(got), slot);
    }
}

#[test]
fn completions_collected_with_promises_keep_a_core_awake() {
    let (mut ring, mut peer) = ring_and_peer();
    ring.enter(0);
    peer.write_all(b"one").expect("room");
    assert!(ring.send(SLOT, b"reply".to_vec()));
    ring.enter(1);
    // Nothing new will come: an enter that slept would never return.
    ring.enter(1);
    let happened: Vec<Event> = std::iter::from_fn(|| ring.next_event()).collect();
    assert!(matches!(happened[..], [Event::Kept { .. }, Event::Received { len: 3, .. }]), "{happened:?}");
}

/// The bytes that a ring receives in its next turns, and whether the socket became idle.
fn received(ring: &mut Ring) -> (Vec<u8>, bool) {
    let (mut bytes, mut idle) = (Vec::new(), false);
    for _ in 0..3 {
        for event in events(ring) {
            match event {
                Event::Received { slot: SLOT, buffer, len } => {
                    bytes.extend_from_slice(ring.bytes(buffer, len));
                    ring.give(buffer);
                }
                Event::Idle { slot: SLOT } => idle = true,
                Event::Kept { slot: SLOT } => drop(ring.take_sent_buffer(SLOT)),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    (bytes, idle)
}

#[test]
fn a_socket_that_is_let_go_loses_no_bytes() {
    let (mut old, mut peer) = ring_and_peer();
    let mut new = Ring::new(16).expect("a ring");
    for round in 0..100 {
        peer.write_all(b"one ").expect("room");
        let mut got = if round % 2 == 0 { received(&mut old).0 } else { Vec::new() };
        assert!(old.send(SLOT, b"reply".to_vec()));
        old.let_go(SLOT);
        peer.write_all(b"two ").expect("room");
        let (bytes, idle) = received(&mut old);
        got.extend(bytes);
        assert!(idle, "nothing is in flight any more");
        peer.write_all(b"three").expect("room");
        let socket = old.take(SLOT);
        assert!(received(&mut old).0.is_empty() && !old.is_sending());
        new.adopt(SLOT, socket);
        got.extend(received(&mut new).0);
        assert_eq!(String::from_utf8_lossy(&got), "one two three");
        let mut reply = [0; 5];
        peer.read_exact(&mut reply).expect("the reply");
        assert_eq!(&reply, b"reply");
        std::mem::swap(&mut old, &mut new);
    }
}

/// More sockets have something to read than the kernel has buffers, and none comes back meanwhile: it gets more.
#[test]
fn buffers_grow_with_what_is_to_be_received() {
    const SOCKETS: u32 = 3 * BUFFERS_AT_FIRST as u32;
    let mut ring = Ring::new(SOCKETS).expect("a ring");
    let mut peers = Vec::new();
    for slot in 0..SOCKETS {
        let (ours, mut peer) = UnixStream::pair().expect("a pair");
        peer.write_all(&slot.to_le_bytes()).expect("room for 4 bytes");
        ring.adopt(slot, ours.into());
        peers.push(peer);
    }
    assert_eq!(ring.buffers.in_use, BUFFERS_AT_FIRST);
    let mut taken = Vec::new();
    while taken.len() < SOCKETS as usize {
        for event in events(&mut ring) {
            let Event::Received { slot, buffer, len } = event else { panic!("unexpected {event:?}") };
            assert_eq!(ring.bytes(buffer, len), slot.to_le_bytes());
            taken.push(buffer);
        }
        ring.feed_starved();
    }
    taken.sort();
    assert!(taken.windows(2).all(|pair| pair[0] != pair[1]), "a buffer was lent twice: {taken:?}");
    assert_eq!(ring.buffers.in_use, 4 * BUFFERS_AT_FIRST);
    // They serve again.
    taken.into_iter().for_each(|buffer| ring.give(buffer));
    for (slot, peer) in peers.iter_mut().enumerate() {
        peer.write_all(b"again").expect("room for 5 bytes");
        let [Event::Received { slot: from, buffer, len }] = events(&mut ring)[..] else {
            panic!("one is there")
        };
        assert_eq!((from as usize, ring.bytes(buffer, len)), (slot, &b"again"[..]));
        ring.give(buffer);
    }
}
