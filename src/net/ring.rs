//! One core's io_uring, with the buffers it receives into and the sockets it owns.
//!
//! Receiving is multishot into a ring of provided buffers; sending takes a buffer by value and gives it back when
//! all of it has left, one send at a time for each socket (two could be reordered). One `io_uring_enter` a turn
//! submits everything and collects everything.
//!
//! Small sends are promised: submitted so that they either take all bytes at once and complete without a word, or fail
//! and say so. A core need not wake up to learn that its replies left, which on most sockets happens while it submits.
//!
//! In: sockets by slot, buffers to send. Out: `Event`s.
//! Invariants: R1, a buffer lent to the kernel for sending is owned by its socket and not touched until its
//! completion; R2, a receive buffer is the kernel's from `give` until a completion names it, then ours until `give`;
//! R3, a socket is closed only when no operation on it is in flight, so a slot's completions are its own; R4, a promise is
//! kept if the kernel took its entry and, of all completions since, none is the promise's.
#![allow(unsafe_code)] // Submission entries and the buffer ring are memory shared with the kernel.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::base::memory::when_lockable;
use io_uring::types::{BufRingEntry, Fd, Fixed, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

#[cfg(test)]
mod tests;

/// Receive buffers of a ring, and the bytes of each. At first the kernel has a few of them, which it takes in turns, so that they
/// stay in the caches (GET took 1% less CPU at pipeline 16, with 16 or 64); it is given twice as many each time that it runs out.
const BUFFERS: u16 = 256;
const BUFFERS_AT_FIRST: u16 = 32;
const BUFFER_BYTES: usize = 16 * 1024;
const BUFFER_GROUP: u16 = 0;
const SQ_ENTRIES: u32 = 1024;
const CQ_ENTRIES: u32 = 8192;
const PAGE: usize = 4096;
/// Sends of up to so many bytes are promised; more seldom fits the socket at once.
const PROMISE_BYTES_MAX: usize = 64 * 1024;

/// Why no ring could be set up: one sentence for the operator.
#[derive(Debug)]
pub struct RingError(pub String);

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A listener (by its number) has a new socket.
    Accepted { listener: u32, fd: RawFd },
    /// Bytes are in a receive buffer: read them with `bytes`, then `give` the buffer back.
    Received { slot: u32, buffer: u16, len: usize },
    /// So many bytes left; the socket can take the next buffer when `idle`.
    Sent { slot: u32, bytes: usize, idle: bool },
    /// A promise was kept: the socket can take the next buffer.
    Kept { slot: u32 },
    /// A promise was broken: so many bytes are still to be sent, which `Sent` will tell of.
    Broken { slot: u32, rest: usize },
    /// The peer closed, or the socket failed.
    HungUp { slot: u32 },
    /// The socket is closed and its slot can be used again.
    Closed { slot: u32 },
    /// Nothing is in flight on a socket that was to be let go: `take` it.
    Idle { slot: u32 },
    /// Another core wrote to the mesh while this one slept.
    Woken,
    /// The timer ran out.
    Tick,
    /// The time of `alarm_in` has come.
    Alarm,
    /// A descriptor that was polled is readable.
    Readable,
}

/// What an operation is for; the low byte of its user data, with a slot above it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Op {
    Accept = 1,
    Receive,
    Send,
    Wake,
    Tick,
    Poll,
    Alarm,
    PromisedSend,
    Ignored,
}

impl Op {
    fn of(user_data: u64) -> Op {
        match user_data as u8 {
            1 => Op::Accept,
            2 => Op::Receive,
            3 => Op::Send,
            4 => Op::Wake,
            5 => Op::Tick,
            6 => Op::Poll,
            7 => Op::Alarm,
            8 => Op::PromisedSend,
            _ => Op::Ignored,
        }
    }

    fn data(self, slot: u32) -> u64 {
        self as u64 | (slot as u64) << 8
    }
}

/// How far a promised send of a socket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    None,
    Made,
    /// Known to be kept; the event is still to come.
    Kept,
}

/// A socket of a connection.
struct Socket {
    fd: OwnedFd,
    /// Its place in the ring's table of registered files: operations on it skip the descriptor table.
    registered: bool,
    /// What is being sent, and how much of it has left.
    sending: Vec<u8>,
    sent: usize,
    in_flight: bool,
    promise: Promise,
    receiving: bool,
    paused: bool,
    cancelling: bool,
    closing: bool,
    /// Another ring is to have it.
    leaving: bool,
}

impl Socket {
    /// Whether another ring can have it.
    fn may_leave(&self) -> bool {
        self.leaving && !(self.closing || self.receiving || self.in_flight)
    }
}

pub struct Ring {
    uring: IoUring,
    buffers: BufferRing,
    sockets: Vec<Option<Socket>>,
    registered_files: u32,
    /// None: it listens no more.
    listeners: Vec<Option<Arc<OwnedFd>>>,
    /// Listeners whose accept ran out of descriptors or memory.
    deaf_listeners: Vec<u32>,
    /// Slots whose receive ended for want of buffers: armed again once buffers are back.
    starved: Vec<u32>,
    /// The kernel ran out of receive buffers.
    ran_out: bool,
    /// Whether this kernel tells of promised sends as it should.
    promises: bool,
    /// Slots whose promised sends are submitted by the next enter, or were and are not settled yet.
    promised: Vec<u32>,
    /// The last enter could not settle all promises: the next one must not sleep.
    unsettled: bool,
    /// Slots whose promises were kept.
    kept: Vec<u32>,
    /// Completions that were collected to settle promises.
    arrived: VecDeque<cqueue::Entry>,
    /// Send buffers of sockets that closed.
    pub unsent: Vec<Vec<u8>>,
    /// Slots closed while nothing was in flight.
    closed: Vec<u32>,
    /// Slots on their way out on which nothing was in flight.
    idle: Vec<u32>,
    /// The tick's length, where the kernel reads it.
    tick: Box<Timespec>,
    /// When the alarm goes off, if one is set.
    alarm_at: Option<Instant>,
    alarm: Box<Timespec>,
    ticking: bool,
}

impl Ring {
    /// Sets up the ring of the calling thread, which alone may use it. `sockets_max`: registered files.
    pub fn new(sockets_max: u32) -> Result<Self, RingError> {
        let mut uring = when_lockable(Self::open).map_err(explain)?;
        let promises = keeps_promises(&mut uring).unwrap_or(false);
        let buffers = BufferRing::new(BUFFERS, BUFFER_BYTES);
        // SAFETY: R2: the entries live as long as the ring, which is dropped first.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(buffers.entries as u64, BUFFERS, BUFFER_GROUP, 0)
        }
        .map_err(|error| {
            RingError(format!(
                "io_uring cannot register receive buffers ({error}): Linux 6.1 or newer is needed"
            ))
        })?;
        let registered_files = match uring.submitter().register_files_sparse(sockets_max) {
            Ok(()) => sockets_max,
            Err(_) => 0,
        };
        Ok(Self {
            uring,
            buffers,
            sockets: Vec::new(),
            registered_files,
            listeners: Vec::new(),
            deaf_listeners: Vec::new(),
            starved: Vec::new(),
            ran_out: false,
            promises,
            promised: Vec::new(),
            unsettled: false,
            kept: Vec::new(),
            arrived: VecDeque::new(),
            unsent: Vec::new(),
            closed: Vec::new(),
            idle: Vec::new(),
            tick: Box::new(Timespec::new()),
            alarm_at: None,
            alarm: Box::new(Timespec::new()),
            ticking: false,
        })
    }

    fn open() -> io::Result<IoUring> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .build(SQ_ENTRIES)?;
        // Saves a descriptor look-up for each enter; older kernels do without.
        let _ = uring.submitter().register_ring_fd();
        Ok(uring)
    }

    /// What was found, for the banner.
    pub fn features(&self) -> String {
        let files = if self.registered_files > 0 { ", registered files" } else { "" };
        let sends = if self.promises { ", sends that complete silently" } else { "" };
        format!(
            "single issuer, deferred task work, multishot accept and receive, provided buffers{files}{sends}"
        )
    }

    pub fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    // ---- submitting ----

    fn push(&mut self, entry: squeue::Entry) {
        loop {
            // SAFETY: R1 and R2: whatever the entry points to outlives its completion.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.enter(0);
        }
    }

    /// Takes a listening socket: its new connections come as `Accepted` with the listener's number.
    pub fn listen(&mut self, listener: Arc<OwnedFd>) {
        self.listeners.push(Some(listener));
        self.arm_accept(self.listeners.len() as u32 - 1);
    }

    fn arm_accept(&mut self, listener: u32) {
        let Some(fd) = &self.listeners[listener as usize] else { return };
        let fd = Fd(fd.as_raw_fd());
        let entry = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry.user_data(Op::Accept.data(listener)));
    }

    /// Takes a connected socket under `slot` and starts to receive.
    pub fn adopt(&mut self, slot: u32, fd: OwnedFd) {
        let place = slot as usize;
        if self.sockets.len() <= place {
            self.sockets.resize_with(place + 1, || None);
        }
        let registered = slot < self.registered_files
            && self.uring.submitter().register_files_update(slot, &[fd.as_raw_fd()]).is_ok();
        assert!(self.sockets[place].is_none(), "R3: the slot is free");
        self.sockets[place] = Some(Socket {
            fd,
            registered,
            sending: Vec::new(),
            sent: 0,
            in_flight: false,
            promise: Promise::None,
            receiving: false,
            paused: false,
            cancelling: false,
            closing: false,
            leaving: false,
        });
        self.arm_receive(slot);
    }

    fn socket(&mut self, slot: u32) -> &mut Socket {
        self.sockets[slot as usize].as_mut().expect("R3: the slot has a socket")
    }

    fn arm_receive(&mut self, slot: u32) {
        let socket = self.socket(slot);
        if socket.receiving || socket.paused || socket.closing || socket.leaving {
            return;
        }
        socket.receiving = true;
        let entry = if socket.registered {
            opcode::RecvMulti::new(Fixed(slot), BUFFER_GROUP).build()
        } else {
            opcode::RecvMulti::new(Fd(socket.fd.as_raw_fd()), BUFFER_GROUP).build()
        };
        self.push(entry.user_data(Op::Receive.data(slot)));
    }

    /// Whether there is a socket under `slot`.
    pub fn has(&self, slot: u32) -> bool {
        self.sockets.get(slot as usize).is_some_and(Option::is_some)
    }

    /// Whether the socket can take a buffer to send.
    pub fn can_send(&mut self, slot: u32) -> bool {
        let socket = self.socket(slot);
        !socket.in_flight && !socket.closing
    }

    /// Sends all of `bytes`. True: it is promised, and `Kept` follows by the next turn, or `Broken` if the socket took less.
    /// False: `Sent` events follow, the last one idle.
    pub fn send(&mut self, slot: u32, bytes: Vec<u8>) -> bool {
        let promises = self.promises && bytes.len() <= PROMISE_BYTES_MAX;
        let socket = self.socket(slot);
        assert!(!socket.in_flight, "R1: one send at a time");
        socket.sending = bytes;
        socket.sent = 0;
        socket.in_flight = true;
        if !promises {
            self.push_send(slot, libc::MSG_NOSIGNAL, Op::Send);
            return false;
        }
        socket.promise = Promise::Made;
        self.push_send(slot, PROMISED_SEND, Op::PromisedSend);
        self.promised.push(slot);
        true
    }

    fn push_send(&mut self, slot: u32, flags: i32, op: Op) {
        let socket = self.socket(slot);
        let rest = &socket.sending[socket.sent..];
        let (pointer, len) = (rest.as_ptr(), rest.len().min(1 << 30) as u32);
        let entry = if socket.registered {
            opcode::Send::new(Fixed(slot), pointer, len).flags(flags).build()
        } else {
            opcode::Send::new(Fd(socket.fd.as_raw_fd()), pointer, len).flags(flags).build()
        };
        let silence =
            if op == Op::PromisedSend { squeue::Flags::SKIP_SUCCESS } else { squeue::Flags::empty() };
        self.push(entry.flags(silence).user_data(op.data(slot)));
    }

    /// Whether a promised send keeps the socket busy: only an enter that does not sleep tells when it is free.
    pub fn is_promised(&mut self, slot: u32) -> bool {
        self.socket(slot).promise != Promise::None
    }

    /// Whether anything is being sent to a peer that may still read it.
    pub fn is_sending(&self) -> bool {
        self.sockets.iter().flatten().any(|socket| socket.in_flight && !socket.closing)
    }

    /// The empty buffer of a finished send, to be used again.
    pub fn take_sent_buffer(&mut self, slot: u32) -> Vec<u8> {
        let socket = self.socket(slot);
        assert!(!socket.in_flight, "R1: the kernel still reads it");
        let mut buffer = std::mem::take(&mut socket.sending);
        buffer.clear();
        buffer
    }

    /// Stops or restarts receiving on a socket.
    pub fn pause(&mut self, slot: u32, pause: bool) {
        let socket = self.socket(slot);
        socket.paused = pause;
        if !pause {
            return self.arm_receive(slot);
        }
        if socket.receiving && !socket.cancelling {
            socket.cancelling = true;
            let entry = opcode::AsyncCancel::new(Op::Receive.data(slot)).build();
            self.push(entry.user_data(Op::Ignored.data(0)));
        }
    }

    /// Closes a socket; `Closed` follows once the kernel is done with it.
    pub fn close(&mut self, slot: u32) {
        let Some(socket) = self.sockets[slot as usize].as_mut() else { return };
        if socket.closing {
            return;
        }
        socket.closing = true;
        // SAFETY: a plain system call on a descriptor that is ours.
        unsafe { libc::shutdown(socket.fd.as_raw_fd(), libc::SHUT_RDWR) };
        self.finish_closing(slot);
    }

    /// Closes the descriptor if nothing is in flight on it (R3).
    fn finish_closing(&mut self, slot: u32) {
        let socket = self.socket(slot);
        if !socket.closing || socket.receiving || socket.in_flight {
            return;
        }
        let socket = self.remove(slot);
        self.unsent.push(socket.sending);
        self.closed.push(slot);
        for listener in std::mem::take(&mut self.deaf_listeners) {
            self.arm_accept(listener);
        }
    }

    /// Stops receiving on a socket that another ring is to have; `Idle` follows once the kernel is done with it here.
    pub fn let_go(&mut self, slot: u32) {
        let Some(socket) = self.sockets[slot as usize].as_mut() else { return };
        socket.leaving = true;
        self.pause(slot, true);
        self.note_idle(slot);
    }

    fn note_idle(&mut self, slot: u32) {
        if self.sockets[slot as usize].as_ref().is_some_and(Socket::may_leave) {
            self.idle.push(slot);
        }
    }

    /// Takes an idle socket out of this ring (R3).
    pub fn take(&mut self, slot: u32) -> OwnedFd {
        assert!(self.socket(slot).may_leave(), "R3: something is in flight");
        let socket = self.remove(slot);
        self.unsent.push(socket.sending);
        socket.fd
    }

    /// The descriptor of a slot's socket.
    pub fn fd_of(&self, slot: u32) -> Option<RawFd> {
        self.sockets[slot as usize].as_ref().map(|socket| socket.fd.as_raw_fd())
    }

    fn remove(&mut self, slot: u32) -> Socket {
        let socket = self.sockets[slot as usize].take().expect("R3: the slot has a socket");
        if socket.registered {
            let _ = self.uring.submitter().register_files_update(slot, &[-1]);
        }
        socket
    }

    /// Wakes the core whose ring is `ring_fd`.
    pub fn wake(&mut self, ring_fd: RawFd) {
        let entry = opcode::MsgRingData::new(Fd(ring_fd), 0, Op::Wake.data(0), None).build();
        self.push(entry.user_data(Op::Ignored.data(0)));
    }

    /// Asks for one `Tick` in so many milliseconds, unless one is under way.
    pub fn tick_in(&mut self, ms: u64) {
        if self.ticking {
            return;
        }
        self.ticking = true;
        *self.tick = Timespec::new().sec(ms / 1000).nsec((ms % 1000) as u32 * 1_000_000);
        let entry = opcode::Timeout::new(&*self.tick).build();
        self.push(entry.user_data(Op::Tick.data(0)));
    }

    /// Asks for one `Alarm` in so many milliseconds, or earlier if one is asked for already.
    pub fn alarm_in(&mut self, ms: u64) {
        let at = Instant::now() + Duration::from_millis(ms);
        let pending = self.alarm_at;
        if pending.is_some_and(|pending| pending <= at) {
            return;
        }
        self.alarm_at = Some(at);
        *self.alarm = Timespec::new().sec(ms / 1000).nsec((ms % 1000) as u32 * 1_000_000);
        let data = Op::Alarm.data(0);
        let entry = match pending {
            // It may go off just now: then the update fails, and there is an alarm all the same.
            Some(_) => opcode::TimeoutUpdate::new(data, &*self.alarm).build().user_data(Op::Ignored.data(0)),
            None => opcode::Timeout::new(&*self.alarm).build().user_data(data),
        };
        self.push(entry);
    }

    /// Asks for one `Readable` when `fd` has something to read.
    pub fn poll_readable(&mut self, fd: RawFd) {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        self.push(entry.user_data(Op::Poll.data(0)));
    }

    // ---- completing ----

    /// Submits what was queued, and waits until at least `want` completions are there.
    pub fn enter(&mut self, want: usize) {
        let told = self.arrived.is_empty() && self.closed.is_empty() && self.idle.is_empty();
        let want = if told && !self.unsettled { want } else { 0 };
        if let Err(error) = self.uring.submitter().submit_and_wait(want) {
            // Interrupted, or the completion queue is full and has to be collected first.
            if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) {
                panic!("io_uring_enter failed: {error}");
            }
        }
        if !self.promised.is_empty() {
            self.settle_promises();
        }
    }

    /// Finds out which promised sends failed: those of which a completion tells (R4).
    fn settle_promises(&mut self) {
        let submission = self.uring.submission();
        self.unsettled = !submission.is_empty() || submission.cq_overflow();
        drop(submission);
        if self.unsettled {
            return;
        }
        for entry in self.uring.completion() {
            if Op::of(entry.user_data()) == Op::PromisedSend {
                let slot = (entry.user_data() >> 8) as usize;
                self.sockets[slot].as_mut().expect("R3: a send is in flight").promise = Promise::None;
            }
            self.arrived.push_back(entry);
        }
        for slot in self.promised.drain(..) {
            if let Some(socket) = &mut self.sockets[slot as usize]
                && socket.promise == Promise::Made
            {
                socket.promise = Promise::Kept;
                self.kept.push(slot);
            }
        }
    }

    /// Whether completions wait, without a system call. Kept promises are no news: nobody has to wake up for them.
    pub fn has_events(&mut self) -> bool {
        !self.closed.is_empty()
            || !self.idle.is_empty()
            || !self.arrived.is_empty()
            || !self.uring.completion().is_empty()
            || self.uring.submission().taskrun()
    }

    /// The next thing that happened, if any.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(slot) = self.closed.pop() {
                return Some(Event::Closed { slot });
            }
            if let Some(slot) = self.idle.pop() {
                // It may have been closed meanwhile, and its slot be another's.
                if self.sockets[slot as usize].as_ref().is_some_and(Socket::may_leave) {
                    return Some(Event::Idle { slot });
                }
                continue;
            }
            let event = if let Some(slot) = self.kept.pop() {
                self.promise_kept(slot)
            } else {
                let entry = self.arrived.pop_front().or_else(|| self.uring.completion().next())?;
                self.completed(entry)
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn completed(&mut self, entry: cqueue::Entry) -> Option<Event> {
        let slot = (entry.user_data() >> 8) as u32;
        match Op::of(entry.user_data()) {
            Op::Accept => self.accept_completed(slot, &entry),
            Op::Receive => self.receive_completed(slot, &entry),
            Op::Send => self.send_completed(slot, entry.result()),
            Op::PromisedSend => self.promise_broken(slot, entry.result()),
            Op::Wake => Some(Event::Woken),
            Op::Tick => {
                self.ticking = false;
                Some(Event::Tick)
            }
            Op::Alarm => {
                self.alarm_at = None;
                Some(Event::Alarm)
            }
            Op::Poll => Some(Event::Readable),
            Op::Ignored => None,
        }
    }

    fn accept_completed(&mut self, listener: u32, entry: &cqueue::Entry) -> Option<Event> {
        if !cqueue::more(entry.flags()) {
            match -entry.result() {
                // Trying again makes sense once a socket was closed.
                libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => {
                    self.deaf_listeners.push(listener)
                }
                // It was shut down.
                libc::EINVAL => self.listeners[listener as usize] = None,
                _ => self.arm_accept(listener),
            }
        }
        (entry.result() >= 0).then_some(Event::Accepted { listener, fd: entry.result() })
    }

    fn receive_completed(&mut self, slot: u32, entry: &cqueue::Entry) -> Option<Event> {
        let (result, flags) = (entry.result(), entry.flags());
        let ended = !cqueue::more(flags);
        let socket = self.socket(slot);
        if ended {
            socket.receiving = false;
            socket.cancelling = false;
        }
        let closing = socket.closing;
        let buffer = cqueue::buffer_select(flags);
        if closing {
            if let Some(buffer) = buffer {
                self.give(buffer);
            }
            self.finish_closing(slot);
            return None;
        }
        self.note_idle(slot);
        match (result, buffer) {
            (1.., Some(buffer)) => {
                if ended {
                    self.starved.push(slot);
                }
                Some(Event::Received { slot, buffer, len: result as usize })
            }
            (error, _) if error == -libc::ENOBUFS => {
                self.ran_out = true;
                self.starved.push(slot);
                None
            }
            (error, _) if error == -libc::ECANCELED => {
                self.arm_receive(slot);
                None
            }
            (_, buffer) => {
                if let Some(buffer) = buffer {
                    self.give(buffer);
                }
                Some(Event::HungUp { slot })
            }
        }
    }

    fn send_completed(&mut self, slot: u32, result: i32) -> Option<Event> {
        let socket = self.socket(slot);
        if result <= 0 {
            socket.in_flight = false;
            if socket.closing {
                self.finish_closing(slot);
                return None;
            }
            return Some(Event::HungUp { slot });
        }
        let bytes = result as usize;
        socket.sent += bytes;
        let idle = socket.sent == socket.sending.len();
        if idle || socket.closing {
            socket.in_flight = false;
        } else {
            self.push_send(slot, libc::MSG_NOSIGNAL, Op::Send);
        }
        if self.socket(slot).closing {
            self.finish_closing(slot);
            return None;
        }
        self.note_idle(slot);
        Some(Event::Sent { slot, bytes, idle })
    }

    fn promise_kept(&mut self, slot: u32) -> Option<Event> {
        let socket = self.socket(slot);
        socket.promise = Promise::None;
        socket.in_flight = false;
        if socket.closing {
            self.finish_closing(slot);
            return None;
        }
        self.note_idle(slot);
        Some(Event::Kept { slot })
    }

    /// The socket took `result` bytes, fewer than all, or none: what is left waits until there is room.
    fn promise_broken(&mut self, slot: u32, result: i32) -> Option<Event> {
        if self.unsettled {
            self.promised.retain(|&promised| promised != slot);
        }
        let socket = self.socket(slot);
        socket.promise = Promise::None;
        let full = result == -libc::EAGAIN;
        if (result < 0 && !full) || socket.closing {
            return self.send_completed(slot, result.min(0));
        }
        socket.sent = result.max(0) as usize;
        let rest = socket.sending.len() - socket.sent;
        self.push_send(slot, libc::MSG_NOSIGNAL, Op::Send);
        Some(Event::Broken { slot, rest })
    }

    /// The bytes of a receive buffer.
    pub fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        self.buffers.bytes(buffer, len)
    }

    /// Gives a receive buffer back to the kernel.
    pub fn give(&mut self, buffer: u16) {
        self.buffers.give(buffer);
    }

    /// Arms the receives that ended for want of buffers; call when the buffers of a turn are back.
    pub fn feed_starved(&mut self) {
        if std::mem::take(&mut self.ran_out) {
            self.buffers.use_more();
        }
        for slot in std::mem::take(&mut self.starved) {
            if self.sockets[slot as usize].is_some() {
                self.arm_receive(slot);
            }
        }
    }
}

/// Wakes cores from a thread that has no ring of its own.
pub struct Bellboy(IoUring);

impl Bellboy {
    pub fn new() -> Result<Self, RingError> {
        when_lockable(|| IoUring::new(8)).map(Self).map_err(explain)
    }

    /// Wakes the core with this ring.
    pub fn wake(&mut self, ring_fd: RawFd) {
        let entry = opcode::MsgRingData::new(Fd(ring_fd), 0, Op::Wake.data(0), None).build();
        let flags = squeue::Flags::SKIP_SUCCESS;
        // SAFETY: the entry points to nothing.
        let pushed = unsafe { self.0.submission().push(&entry.flags(flags)) };
        pushed.expect("each entry is submitted at once");
        while let Err(error) = self.0.submit() {
            if error.raw_os_error() != Some(libc::EINTR) {
                // Only a ring that is gone refuses: its core needs no waking.
                break;
            }
        }
        self.0.completion().for_each(drop);
    }
}

/// Flags of a promised send: all bytes or a failure, and never wait.
const PROMISED_SEND: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL | libc::MSG_DONTWAIT;

/// Whether a promised send is silent when it took all bytes, and tells at once how many it took when they were fewer, or
/// that there was no room.
fn keeps_promises(uring: &mut IoUring) -> io::Result<bool> {
    let (ours, _peer) = UnixStream::pair()?;
    let small: libc::c_int = 4096;
    // SAFETY: a plain system call on a descriptor that is ours, with an option as large as it says.
    unsafe {
        let size = size_of_val(&small) as libc::socklen_t;
        libc::setsockopt(
            ours.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const small).cast(),
            size,
        );
    }
    let bytes = vec![0; 256 * 1024];
    let mut outcome = |len: usize| -> io::Result<Option<i32>> {
        let entry =
            opcode::Send::new(Fd(ours.as_raw_fd()), bytes.as_ptr(), len as u32).flags(PROMISED_SEND).build();
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(Op::Ignored.data(0));
        // SAFETY: the bytes outlive the send, which does not wait.
        unsafe { uring.submission().push(&entry) }.map_err(io::Error::other)?;
        uring.submit()?;
        Ok(uring.completion().next().map(|entry| entry.result()))
    };
    let fits = outcome(1)?;
    let in_part = outcome(bytes.len())?;
    let full = outcome(bytes.len())?;
    let is_in_part = in_part.is_some_and(|sent| sent > 0 && (sent as usize) < bytes.len());
    Ok(fits.is_none() && is_in_part && full == Some(-libc::EAGAIN))
}

/// One sentence: what is missing, and what to do.
fn explain(error: io::Error) -> RingError {
    let text = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring: Linux 6.1 or newer is needed".to_owned(),
        Some(libc::EPERM | libc::EACCES) => "io_uring is forbidden here: allow it (sysctl kernel.io_uring_disabled=0; in a container, a seccomp profile that permits io_uring_setup, io_uring_enter and io_uring_register)".to_owned(),
        Some(libc::EINVAL) => "io_uring of this kernel lacks single-issuer rings with deferred task work: Linux 6.1 or newer is needed".to_owned(),
        Some(libc::ENOMEM) => "io_uring may not lock enough memory: raise the memlock limit (ulimit -l, or LimitMEMLOCK= in the unit)".to_owned(),
        _ => format!("io_uring cannot be set up: {error}"),
    };
    RingError(text)
}

/// Receive buffers and the ring of entries through which they are given to the kernel.
struct BufferRing {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    count: u16,
    bytes_each: usize,
    tail: u16,
    /// How many of the buffers are in use: the first so many.
    in_use: u16,
}

impl BufferRing {
    fn new(count: u16, bytes_each: usize) -> Self {
        assert!(count.is_power_of_two());
        let allocate = |layout: Layout| {
            // SAFETY: the layout is not empty.
            let memory = unsafe { alloc_zeroed(layout) };
            if memory.is_null() { handle_alloc_error(layout) } else { memory }
        };
        let mut ring = Self {
            entries: allocate(Self::entries_layout(count)).cast(),
            memory: allocate(Self::memory_layout(count, bytes_each)),
            count,
            bytes_each,
            tail: 0,
            in_use: 0,
        };
        ring.use_more();
        ring
    }

    /// Gives the kernel more buffers: a few at first, then twice as many, up to all.
    fn use_more(&mut self) {
        let before = self.in_use;
        self.in_use = (before * 2).clamp(BUFFERS_AT_FIRST.min(self.count), self.count);
        (before..self.in_use).for_each(|buffer| self.give(buffer));
    }

    fn entries_layout(count: u16) -> Layout {
        Layout::from_size_align(count as usize * size_of::<BufRingEntry>(), PAGE).expect("a small ring")
    }

    fn memory_layout(count: u16, bytes_each: usize) -> Layout {
        Layout::from_size_align(count as usize * bytes_each, PAGE).expect("a few MiB")
    }

    fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(buffer < self.count && len <= self.bytes_each);
        // SAFETY: R2: a completion named the buffer, so the kernel does not write it until `give`, which needs `&mut`.
        unsafe { std::slice::from_raw_parts(self.memory.add(buffer as usize * self.bytes_each), len) }
    }

    fn give(&mut self, buffer: u16) {
        assert!(buffer < self.count);
        let index = (self.tail & (self.count - 1)) as usize;
        // SAFETY: R2: the entry at the tail is ours until the tail passes it; the tail lies in the first entry.
        unsafe {
            let entry = &mut *self.entries.add(index);
            entry.set_addr(self.memory.add(buffer as usize * self.bytes_each) as u64);
            entry.set_len(self.bytes_each as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these layouts; the ring that used them is gone (`Ring` drops it first).
        unsafe {
            dealloc(self.entries.cast(), Self::entries_layout(self.count));
            dealloc(self.memory, Self::memory_layout(self.count, self.bytes_each));
        }
    }
}

/// Takes over a descriptor that an `Accepted` event named.
pub fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made it for us, and each event is taken over once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
