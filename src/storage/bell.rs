//! Wakes the storage thread from another one.
//! In: rings by any core. Out: the waker that was left there is woken.
//!
//! The storage thread sleeps as a core does (see `mesh`, M2): it announces that it sleeps, looks at its rings once more, and
//! who sends to a sleeper wakes it. A core is woken through its ring; the storage thread's ring is glommio's, which is woken
//! by a task's waker.
//!
//! Invariant: the waker is left before the sleep is announced, so that who sees the announcement finds the waker.

use std::sync::{Arc, Mutex};
use std::task::Waker;

#[derive(Clone, Default)]
pub struct Bell(Arc<Mutex<Option<Waker>>>);

impl Bell {
    /// Leaves the waker of who is about to sleep.
    pub fn hang(&self, waker: &Waker) {
        let mut place = self.0.lock().expect("nobody panics at the bell");
        if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }

    pub fn ring(&self) {
        let waker = self.0.lock().expect("nobody panics at the bell").clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
