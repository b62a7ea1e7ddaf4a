//! Gives memory that was freed back to the system.
#![allow(unsafe_code)] // The allocator's own interface is C.

/// Returns what this thread and the process have freed. The allocator does so by itself only while it is used, so a
/// core that frees much and then goes to sleep asks for it. Takes up to some milliseconds.
pub fn give_back() {
    // SAFETY: no preconditions; it touches free memory only.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Makes the allocator return freed memory soon, and so in small portions: to be called once, at the start. Its own default
/// lets it gather for 0.1 s, and 40 MB that a large value leaves behind then take 4 ms to unmap in one go; with
/// this setting 0.1 to 0.6 ms. (The row `deletion` of perf/compare, which overwrites such a value, too, still shows 15 ms.)
/// An environment variable of mimalloc's goes first.
pub fn give_back_in_portions() {
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    const DELAY_MS: std::ffi::c_long = 1;
    // SAFETY: a valid option of both versions of mimalloc; it only changes when free memory is returned.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, DELAY_MS) };
}
