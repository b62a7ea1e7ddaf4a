//! The clients subscribed to one name, by core.
//! A group is shared with the parcels that name it as their receivers; who subscribes meanwhile gets a copy.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::client::ConnectionId;

/// Listeners on one core, in order.
pub struct Group {
    pub core: u16,
    pub seats: Arc<Vec<ConnectionId>>,
}

#[derive(Default)]
pub struct Audience {
    groups: SmallVec<[Group; 1]>,
}

/// Where a listener stands in its group.
fn place(seats: &[ConnectionId], seat: ConnectionId) -> Result<usize, usize> {
    seats.binary_search_by_key(&(seat.slot, seat.generation), |other| (other.slot, other.generation))
}

impl Audience {
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.seats.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes in a listener that is not yet there.
    pub fn add(&mut self, seat: ConnectionId) {
        match self.groups.iter_mut().find(|group| group.core == seat.core) {
            Some(group) => {
                let seats = Arc::make_mut(&mut group.seats);
                let at = place(seats, seat).expect_err("the member knows what it is subscribed to");
                seats.insert(at, seat);
            }
            None => self.groups.push(Group { core: seat.core, seats: Arc::new(vec![seat]) }),
        }
    }

    /// Forgets a listener that is there.
    pub fn remove(&mut self, seat: ConnectionId) {
        let at = self.groups.iter().position(|group| group.core == seat.core).expect("it is there");
        let seats = Arc::make_mut(&mut self.groups[at].seats);
        seats.remove(place(seats, seat).expect("it is there"));
        if seats.is_empty() {
            self.groups.remove(at);
        }
    }
}
