//! What a file has for each core, until it is worth sending.
//! In: the core that something is for. Out: cargo for that core, in order.

use crate::persist::Parcel;
use crate::storage::{Cargo, Commands};

/// Something that gathers what is for one core.
pub trait Piece: Default {
    /// It is worth sending when it has so many bytes.
    const FULL_BYTES: usize;

    /// Another one, which follows one that was sent while there was more to come.
    fn following() -> Self {
        Self::default()
    }

    fn is_empty(&self) -> bool;

    fn bytes(&self) -> usize;

    fn into_cargo(self) -> Cargo;
}

impl Piece for Commands {
    const FULL_BYTES: usize = 64 * 1024;

    fn is_empty(&self) -> bool {
        self.requests.list.is_empty()
    }

    fn bytes(&self) -> usize {
        self.buf.len()
    }

    fn into_cargo(self) -> Cargo {
        Cargo::Commands(Box::new(self))
    }
}

impl Piece for Parcel {
    const FULL_BYTES: usize = 256 * 1024;

    fn following() -> Self {
        Parcel::with_room(Self::FULL_BYTES)
    }

    fn is_empty(&self) -> bool {
        Parcel::is_empty(self)
    }

    fn bytes(&self) -> usize {
        Parcel::bytes(self)
    }

    fn into_cargo(self) -> Cargo {
        Cargo::Entries(self)
    }
}

/// One piece for each core, or for the one that gets all of it.
pub struct Parcels<P> {
    each: Vec<P>,
    sole: Option<usize>,
}

impl<P: Piece> Parcels<P> {
    pub fn new(cores: usize, sole: Option<usize>) -> Self {
        Self { each: (0..cores).map(|_| P::default()).collect(), sole }
    }

    /// The core that gets all of it, if one does.
    pub fn sole(&self) -> Option<usize> {
        self.sole
    }

    /// What is gathered for what this core owns.
    pub fn of(&mut self, core: usize) -> &mut P {
        &mut self.each[self.sole.unwrap_or(core)]
    }

    /// Those of all cores that get anything.
    pub fn all(&mut self) -> impl Iterator<Item = &mut P> {
        let sole = self.sole;
        let gets = move |core| sole.is_none_or(|sole| sole == core);
        self.each.iter_mut().enumerate().filter(move |(core, _)| gets(*core)).map(|(_, piece)| piece)
    }

    /// Sends what is gathered for what this core owns.
    pub fn send(&mut self, core: usize, out: &mut Vec<(usize, Cargo)>) {
        let receiver = self.sole.unwrap_or(core);
        Self::send_piece(receiver, &mut self.each[receiver], P::following, out);
    }

    /// The same if it is worth sending.
    pub fn send_full(&mut self, core: usize, out: &mut Vec<(usize, Cargo)>) {
        if self.of(core).bytes() >= P::FULL_BYTES {
            self.send(core, out);
        }
    }

    /// Sends all that is gathered.
    pub fn send_all(&mut self, out: &mut Vec<(usize, Cargo)>) {
        for (core, piece) in self.each.iter_mut().enumerate() {
            Self::send_piece(core, piece, P::default, out);
        }
    }

    fn send_piece(core: usize, piece: &mut P, following: fn() -> P, out: &mut Vec<(usize, Cargo)>) {
        if !piece.is_empty() {
            out.push((core, std::mem::replace(piece, following()).into_cargo()));
        }
    }
}
