//! Gives memory that was freed back to the system.
#![allow(unsafe_code)] // The allocator's own interface is C.

/// Returns what this thread and the process have freed. The allocator does so by itself only while it is used, so a
/// core that frees much and then goes to sleep asks for it. Takes up to some milliseconds.
pub fn give_back() {
    // SAFETY: no preconditions; it touches free memory only.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
