//! The server: boot, the core and its drivers, the gates before a command, the ways of batches.

pub mod admission;
mod append;
pub mod asking;
pub mod batch;
pub mod boot;
pub mod check;
pub mod cli;
mod connections;
pub mod core;
mod courier;
pub mod dispatch;
pub mod driver;
mod effects;
mod holding;
#[cfg(test)]
pub mod inspect;
pub mod intake;
mod keep;
mod limits;
mod link;
mod log_intake;
mod mail;
pub mod monitor;
mod moving;
mod parcels;
pub mod parked;
mod persist;
pub mod process;
pub mod replay;
pub mod room;
pub mod route;
pub mod run;
mod signals;
pub mod tracking;
mod upkeep;
mod waiting;
pub mod walking;
