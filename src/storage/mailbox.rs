//! Jobs that wait for a task of the storage thread.
//! In: values. Out: the same, in order, to one task. Absent: other threads.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

pub struct Mailbox<T>(Rc<Inner<T>>);

struct Inner<T> {
    values: RefCell<VecDeque<T>>,
    /// The task that waits.
    reader: Cell<Option<Waker>>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self(Rc::new(Inner { values: RefCell::default(), reader: Cell::new(None) }))
    }
}

impl<T> Mailbox<T> {
    pub fn put(&self, value: T) {
        self.0.values.borrow_mut().push_back(value);
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }

    pub fn try_next(&self) -> Option<T> {
        self.0.values.borrow_mut().pop_front()
    }

    /// The next value, once there is one.
    pub async fn next(&self) -> T {
        poll_fn(|context| match self.try_next() {
            Some(value) => Poll::Ready(value),
            None => {
                self.0.reader.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
