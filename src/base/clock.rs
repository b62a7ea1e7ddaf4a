//! Time. All of it comes in through here, so that a simulator can hold it.
#![allow(unsafe_code)] // The cycle counter is read by an intrinsic.

use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    Real,
    /// Unix time in µs, set by a test.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Unix time, µs.
    #[inline]
    pub fn unix_us(&self) -> u64 {
        match self {
            Clock::Real => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
            }
            Clock::Manual(us) => us.load(Relaxed),
        }
    }

    /// Unix time, ms.
    #[inline]
    pub fn unix_ms(&self) -> i64 {
        (self.unix_us() / 1000) as i64
    }

    /// Stops this thread; a clock that is set by hand just goes on.
    pub fn sleep_us(&self, us: u64) {
        match self {
            Clock::Real => std::thread::sleep(Duration::from_micros(us)),
            Clock::Manual(now) => {
                now.fetch_add(us, Relaxed);
            }
        }
    }

    /// A time that only goes forward, µs.
    pub fn mono_us(&self) -> u64 {
        match self {
            Clock::Real => start().elapsed().as_micros() as u64,
            Clock::Manual(us) => us.load(Relaxed),
        }
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// A stamp for measuring short times: cheap, of no fixed unit, see `ticks_to_ns`.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reading the time stamp counter has no preconditions on processors that run Linux user space.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        start().elapsed().as_nanos() as u64
    }
}

/// Nanoseconds of a difference between two stamps.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    ((ticks as u128 * ns_per_tick_scaled() as u128) >> SCALE_BITS) as u64
}

const SCALE_BITS: u32 = 24;
/// How far apart two looks at the time may be to count as one.
const APART_MAX: Duration = Duration::from_micros(2);
const LOOKS: usize = 100;

#[inline]
fn ns_per_tick_scaled() -> u64 {
    static SCALED: AtomicU64 = AtomicU64::new(0);
    match SCALED.load(Relaxed) {
        0 => {
            let scaled = calibrate();
            SCALED.store(scaled, Relaxed);
            scaled
        }
        scaled => scaled,
    }
}

/// Compares the counter with the monotonic clock over two milliseconds.
#[cold]
fn calibrate() -> u64 {
    if !cfg!(target_arch = "x86_64") {
        return 1 << SCALE_BITS;
    }
    let (clock, counter) = moment(ticks);
    while clock.elapsed().as_millis() < 2 {
        std::hint::spin_loop();
    }
    let (end, count) = moment(ticks);
    let (ns, passed) = ((end - clock).as_nanos(), count.wrapping_sub(counter).max(1));
    ((ns << SCALE_BITS) / passed as u128) as u64
}

/// The clock and the counter at one time. A thread that loses its CPU between the two looks again.
fn moment(mut counter: impl FnMut() -> u64) -> (Instant, u64) {
    let mut look = || {
        let clock = Instant::now();
        let count = counter();
        (clock.elapsed(), (clock, count))
    };
    let mut best = look();
    for _ in 0..LOOKS {
        if best.0 <= APART_MAX {
            break;
        }
        let next = look();
        if next.0 < best.0 {
            best = next;
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_measure_nanoseconds() {
        let (clock, stamp) = moment(ticks);
        std::thread::sleep(Duration::from_millis(5));
        let (end, count) = moment(ticks);
        let (ns, real) = (ticks_to_ns(count - stamp) as f64, (end - clock).as_nanos() as f64);
        assert!((0.98..1.02).contains(&(ns / real)), "{ns} of {real}");
    }

    /// The scale was wrong for as long as the process lived.
    #[test]
    fn a_thread_that_loses_its_cpu_looks_again() {
        let mut looks = 0;
        let (_, count) = moment(|| {
            looks += 1;
            if looks < 3 {
                std::thread::sleep(Duration::from_millis(5));
            }
            looks
        });
        assert!(count >= 3);
    }
}
