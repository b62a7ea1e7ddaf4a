//! Values and whole databases on their way out.
//! In: objects and stores. Out: their memory, a slice at a time, so that no core is held up by a large value.
//! Absent: when there is time for a slice (see the core's turn).

use crate::types::Object;
use crate::types::store::Store;

#[derive(Default)]
pub struct Trash {
    stores: Vec<Store>,
    objects: Vec<Box<Object>>,
}

impl Trash {
    pub fn throw_store(&mut self, store: Store) {
        self.stores.push(store);
    }

    pub fn throw_object(&mut self, object: Box<Object>) {
        self.objects.push(object);
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.stores.is_empty()
    }

    /// Values waiting to be freed.
    pub fn len(&self) -> usize {
        self.objects.len() + self.stores.iter().map(Store::len).sum::<usize>()
    }

    /// Frees about so many entries and elements. Returns how many values are gone for good.
    pub fn free_slice(&mut self, entries_max: usize) -> u64 {
        let mut freed = 0;
        for _ in 0..entries_max {
            let Some(object) = self.objects.last_mut() else { break };
            if !object.free_slice(entries_max) {
                return freed;
            }
            self.objects.pop();
            freed += 1;
        }
        let Some(store) = self.stores.last_mut() else { return freed };
        let (before, waiting) = (store.len(), self.objects.len());
        let objects = &mut self.objects;
        let done = store.free_slice(entries_max, &mut |object| match *object {
            Object::Bytes(_) => drop(object),
            _ => objects.push(object),
        });
        let passed_on = self.objects.len() - waiting;
        freed += (before - store.len() - passed_on) as u64;
        if done {
            self.stores.pop();
        }
        freed
    }
}
