//! How memory that was freed goes back to the system: at once, and in portions that hold nobody up.
//!
//! Measured on a virtual machine, pages of 4 KiB: giving 64 KiB back takes 8 µs, 2 MiB 170 µs, 32 MiB 2.3 ms; and a first
//! touch takes 2 µs. A huge page takes 5 ms to be touched for the first time.
#![allow(unsafe_code)] // The allocator's own interface is C, and so is the kernel's.

use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

const PAGE_BYTES: usize = 4 << 10;
/// What is given back in one go.
const PORTION_BYTES: usize = 512 << 10;

/// Has the allocator return each run of memory as it becomes free: to be called once, at the start. Left to itself it lets them
/// gather for a while. But of a large collection that is freed element by element, in no order, nearly all runs become free
/// at the very end: of a set of 5 million, 250 MB, and some free or other then took 10 ms. An environment variable of
/// mimalloc's goes first.
pub fn give_back_at_once() {
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: a valid option of both versions of mimalloc; it only changes when free memory is returned.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 0) };
}

/// Has the kernel give this process no huge pages, whatever the system's setting. False: it cannot. The allocator asks for
/// them (its regions are advised so), and a large collection grows by a stall for each.
pub fn decline_huge_pages() -> bool {
    // SAFETY: a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 }
}

/// How long the kernel may take to free what a ring had locked that was closed just now, by a process that ended, say.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// Opens a ring; where memory that may be locked is short, waits for what others gave up a moment ago.
pub fn when_lockable<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + RELEASE_MAX;
    loop {
        match open() {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// What the allocator takes for so many bytes, as far as it is small: between two powers of two there are three steps.
#[inline]
pub fn allocated(bytes: usize) -> usize {
    match bytes {
        0..=8 => bytes.next_multiple_of(8),
        9..=64 => bytes.next_multiple_of(16),
        65..=0x10000 => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
        _ => bytes,
    }
}

/// Large buffers on their way out.
#[derive(Default)]
pub struct SpentBuffers {
    /// Each with the number of bytes, from its start, that are not given back yet.
    buffers: Vec<(Vec<u8>, usize)>,
}

impl SpentBuffers {
    /// Takes a buffer that nobody needs any more. False: it is small, and freed.
    pub fn throw(&mut self, mut buffer: Vec<u8>) -> bool {
        let large = buffer.capacity() > PORTION_BYTES;
        if large {
            buffer.clear();
            let bytes = buffer.capacity();
            self.buffers.push((buffer, bytes));
        }
        large
    }

    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Gives a portion back. True: it was the last of a buffer.
    pub fn free_portion(&mut self) -> bool {
        let Some((buffer, left)) = self.buffers.last_mut() else { return false };
        *left = give_back_last(buffer.spare_capacity_mut(), *left);
        let done = *left == 0;
        if done {
            self.buffers.pop();
        }
        done
    }
}

/// Gives the last whole pages of `memory[..end]` back to the system, a portion of them; what they hold is lost. Returns where
/// they began: 0 when no more is left than a portion.
fn give_back_last(memory: &mut [MaybeUninit<u8>], end: usize) -> usize {
    let start = memory.as_mut_ptr();
    let last = (start.addr() + end) / PAGE_BYTES * PAGE_BYTES;
    let first = start.addr().next_multiple_of(PAGE_BYTES).max(last.saturating_sub(PORTION_BYTES));
    if last <= first + PAGE_BYTES || end <= PORTION_BYTES {
        return 0;
    }
    let offset = first - start.addr();
    // SAFETY: whole pages within the slice, which is borrowed to be written; uninitialised bytes may become zeros.
    unsafe { libc::madvise(memory[offset..].as_mut_ptr().cast(), last - first, libc::MADV_DONTNEED) };
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_allocators() {
        for bytes in 1..=64 << 10 {
            // SAFETY: it only computes.
            assert_eq!(allocated(bytes), unsafe { libmimalloc_sys::mi_good_size(bytes) }, "{bytes}");
        }
    }

    #[test]
    fn large_buffers_go_in_portions() {
        let mut spent = SpentBuffers::default();
        assert!(!spent.throw(vec![1; 1000]) && spent.is_empty());
        let portions = 10;
        assert!(spent.throw(vec![1; portions * PORTION_BYTES]));
        assert!(spent.throw(vec![1; PORTION_BYTES + 1]));
        assert_eq!(spent.len(), 2);
        let steps = (1..).find(|_| {
            spent.free_portion();
            spent.is_empty()
        });
        // One portion for the small one, and the last may be cut by the start of a page.
        assert!((portions..=portions + 3).contains(&steps.unwrap()), "{steps:?}");
        assert!(!spent.free_portion());
    }

    /// What is not given back yet keeps its content.
    #[test]
    fn only_the_end_is_given_back() {
        let mut buffer = vec![7u8; 3 * PORTION_BYTES];
        let bytes = buffer.len();
        buffer.clear();
        let left = give_back_last(buffer.spare_capacity_mut(), bytes);
        assert!(left > PORTION_BYTES && left <= 2 * PORTION_BYTES, "{left}");
        // SAFETY: initialised above; what was given back reads as zeros.
        unsafe { buffer.set_len(bytes) };
        assert!(buffer[..left].iter().all(|&byte| byte == 7));
        assert!(buffer[left..left + PORTION_BYTES].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn memory_that_is_about_to_be_free_is_waited_for() {
        let outcome = |codes: &[i32]| {
            let mut codes = codes.iter();
            when_lockable(|| {
                codes.next().map_or(Ok(codes.len()), |&code| Err(io::Error::from_raw_os_error(code)))
            })
        };
        assert_eq!(outcome(&[libc::ENOMEM, libc::ENOMEM]).unwrap(), 0);
        assert_eq!(outcome(&[libc::ENOMEM, libc::EPERM]).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
