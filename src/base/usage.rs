//! What this process uses of the machine, as the kernel counts it.
#![allow(unsafe_code)] // getrusage is a plain system call without a safe wrapper.

use std::fs;
use std::mem::MaybeUninit;

/// Processor time in µs, spent in the kernel and outside it.
#[derive(Clone, Copy, Default, Debug)]
pub struct CpuTime {
    pub system_us: u64,
    pub user_us: u64,
}

/// Whose processor time.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Process,
    Children,
    /// The thread that asks.
    Thread,
}

pub fn cpu_time(who: Who) -> CpuTime {
    let who = match who {
        Who::Process => libc::RUSAGE_SELF,
        Who::Children => libc::RUSAGE_CHILDREN,
        Who::Thread => libc::RUSAGE_THREAD,
    };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes at most one `rusage`, which is plain integers, so zeroes are a value already.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    CpuTime { system_us: us(usage.ru_stime), user_us: us(usage.ru_utime) }
}

/// Bytes of memory that are resident now, and the most that ever were.
pub fn resident_bytes() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| kilobytes(&status, name).unwrap_or(0) * 1024;
    (field("VmRSS:"), field("VmHWM:"))
}

/// Bytes of memory that the machine has.
pub fn machine_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&info, "MemTotal:").unwrap_or(0) * 1024
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// System, release and architecture, as INFO shows them.
pub fn system() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {} {}", release.trim_end(), std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_something() {
        let (now, most) = resident_bytes();
        assert!(now > 0 && most >= now && machine_bytes() > most);
        let mut work = 0u64;
        while cpu_time(Who::Thread).user_us + cpu_time(Who::Thread).system_us == 0 {
            work = work.wrapping_add(1);
        }
        let process = cpu_time(Who::Process);
        assert!(process.user_us + process.system_us > 0, "{work}");
        assert!(system().starts_with("Linux ") && system().split(' ').count() == 3);
    }
}
