//! Commands about the server itself: TIME, ROLE, MONITOR.

use std::sync::atomic::Ordering::Acquire;

use crate::client::{Args, flag};
use crate::commands::{Context, Error};
use crate::shared::gate;

pub fn time(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let now_us = cx.shared.clock.unix_us();
    cx.out.array(2);
    cx.out.bulk_int((now_us / 1_000_000) as i64);
    cx.out.bulk_int((now_us % 1_000_000) as i64);
    Ok(())
}

/// A master without replicas.
pub fn role(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.out.array(3);
    cx.out.bulk(b"master");
    cx.out.integer(0);
    cx.out.array(0);
    Ok(())
}

/// From now on the connection gets a line for every command of every client.
pub fn monitor(cx: &mut Context, _args: Args) -> Result<(), Error> {
    if cx.session.atomic {
        return Err(Error::new("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let id = cx.home().id;
    if !cx.card().has(flag::MONITOR) {
        cx.card().set_flag(flag::MONITOR, true);
        let mut monitors = cx.shared.monitors.lock().expect("nobody panics holding the monitors");
        monitors.push((id, cx.shared.monitor_next.load(Acquire)));
        cx.shared.set_gate(gate::MONITORED, true);
    }
    cx.out.ok();
    Ok(())
}
