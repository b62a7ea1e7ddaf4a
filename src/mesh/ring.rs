//! A lock-free ring for one producer and one consumer.
//!
//! ```text
//! slots   [ . . v v v v . . ]      head: next to take, written by the consumer only
//!               ^       ^          tail: next to fill, written by the producer only
//!             head     tail        both count up for ever; slot = count & mask
//! ```
//!
//! Each side keeps a copy of the other's counter and reads the real one only when the copy says full or empty, so a
//! busy ring moves one cache line per value, not three.
//! Invariants: I1, slots from head up to tail are filled, the others are not; I2, only the consumer empties a slot,
//! before it moves head (release); only the producer fills one, before it moves tail (release).
#![allow(unsafe_code)] // Slots are uninitialised while empty, and shared between two threads.

use std::mem::MaybeUninit;

use sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

/// The primitives, or loom's models of them.
pub mod sync {
    #[cfg(loom)]
    pub use loom::{
        cell::UnsafeCell,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    };
    #[cfg(not(loom))]
    pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

    pub use std::sync::Arc;

    /// `std`'s cell behind loom's interface.
    #[cfg(not(loom))]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        pub fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub fn with_mut<R>(&self, use_it: impl FnOnce(*mut T) -> R) -> R {
            use_it(self.0.get())
        }
    }
}

#[repr(align(128))]
struct Padded<T>(T);

struct Shared<T> {
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: I2: a slot is touched by one side at a time, and values of T may go to another thread.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    known_head: usize,
}

pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    known_tail: usize,
}

/// A ring of `capacity` slots, a power of two.
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity.is_power_of_two());
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let producer = Producer { shared: shared.clone(), tail: 0, known_head: 0 };
    (producer, Consumer { shared, head: 0, known_tail: 0 })
}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, count: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[count & (self.slots.len() - 1)]
    }
}

impl<T> Producer<T> {
    /// Appends a value, or gives it back if the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.shared.slots.len();
        if self.tail.wrapping_sub(self.known_head) == capacity {
            self.known_head = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.known_head) == capacity {
                return Err(value);
            }
        }
        // SAFETY: I1: the slot at tail is empty, since tail - head < capacity; I2: only this producer fills it.
        self.shared.slot(self.tail).with_mut(|slot| unsafe { (*slot).write(value) });
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.known_tail {
            self.known_tail = self.shared.tail.0.load(Ordering::Acquire);
            if self.head == self.known_tail {
                return None;
            }
        }
        // SAFETY: I1: slots from head up to tail are filled; I2: only this consumer empties them.
        let value = self.shared.slot(self.head).with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(value)
    }

    #[inline]
    pub fn has_input(&self) -> bool {
        self.head != self.known_tail || self.head != self.shared.tail.0.load(Ordering::Acquire)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.0.load(Ordering::Acquire), self.tail.0.load(Ordering::Acquire));
        while head != tail {
            // SAFETY: I1, and both sides are gone.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_like_a_bounded_queue(steps in prop::collection::vec(prop::option::of(any::<u16>()), 0..200)) {
            let (mut producer, mut consumer) = ring(8);
            let mut model = VecDeque::new();
            for step in steps {
                match step {
                    Some(value) if model.len() < 8 => {
                        model.push_back(value);
                        prop_assert_eq!(producer.push(value), Ok(()));
                    }
                    Some(value) => prop_assert_eq!(producer.push(value), Err(value)),
                    None => prop_assert_eq!(consumer.pop(), model.pop_front()),
                }
                prop_assert_eq!(consumer.has_input(), !model.is_empty());
            }
        }
    }

    #[test]
    fn what_is_left_is_dropped() {
        let counted = std::sync::Arc::new(());
        let (mut producer, mut consumer) = ring(4);
        (0..3).for_each(|_| producer.push(counted.clone()).unwrap());
        drop(consumer.pop());
        drop((producer, consumer));
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }
}
