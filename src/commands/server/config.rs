//! CONFIG: looks at the configuration, changes it while the server runs, writes it back.

use std::sync::Arc;

use crate::client::{Args, flag};
use crate::commands::{Context, Error, Hold, Note, Signal};
use crate::config::{Change, Changed, Config, Opt, set_failed};
use crate::shared::Shared;
use crate::shared::listening::Listening;

/// CONFIG GET pattern [pattern ...]: what is in force now, also behind a CONFIG SET of the same pipeline.
pub fn get(cx: &mut Context, args: Args) -> Result<(), Error> {
    let patterns: Vec<&[u8]> = args.from(2).iter().collect();
    let found = cx.shared.config().get(&patterns);
    cx.out.map(found.len());
    for (name, value) in found {
        cx.out.bulk(&name);
        cx.out.bulk(&value);
    }
    Ok(())
}

pub fn set(cx: &mut Context, args: Args) -> Result<(), Error> {
    let pairs: Vec<&[u8]> = args.from(2).iter().collect();
    let local = is_local(cx);
    if cx.shared.is_loading() && pairs.iter().step_by(2).any(|name| Opt::is_settled(name)) {
        return Err(Error::LOADING);
    }
    let changed = change(cx.shared, cx.signals, |config| config.set(&pairs, local))
        .map_err(|text| Error::showing(&[&text]))?;
    if switches_log(cx, &changed) {
        cx.notes.push(Note::Hold(Hold::SwitchLog { changed }));
    } else {
        cx.out.ok();
    }
    Ok(())
}

/// A CONFIG SET that switched the log on failed: its options are as they were before, if nobody changed them since. Where
/// that cannot be for all at once, it is for those for which it can.
pub fn set_back(shared: &Shared, signals: &mut Vec<Signal>, changed: &[Changed]) {
    if change(shared, signals, |config| config.set_back(changed)).is_ok() {
        return;
    }
    for option in changed {
        let one = std::slice::from_ref(option);
        if let Err(text) = change(shared, signals, |config| config.set_back(one)) {
            let (name, before) = (option.name, option.before.escape_ascii());
            crate::log::warning(format!(
                "Failed restoring failed CONFIG SET command. Error setting {name} to '{before}': {}",
                text.escape_ascii()
            ));
        }
    }
}

/// Changes options, does what has to happen for it, and says which they are.
fn change(
    shared: &Shared,
    signals: &mut Vec<Signal>,
    set: impl FnOnce(&Config) -> Result<Change, Vec<u8>>,
) -> Result<Vec<Changed>, Vec<u8>> {
    let old = shared.config();
    let mut changed = Vec::new();
    let updated = shared.update_config(|config| {
        let next = set(config)?;
        carry_out(&shared.listening, config, &next.config)?;
        (*config, changed) = (next.config, next.changed);
        Ok::<(), Vec<u8>>(())
    });
    // Also if it failed: what was closed for it was opened anew.
    if shared.listening.has_new() {
        signals.push(Signal::Listen);
    }
    updated?;
    if settings_of_ticks(&old) != settings_of_ticks(&shared.config()) {
        // Cores that sleep without a tick have to look whether they need one now.
        signals.push(Signal::Resume);
    }
    if shared.config().maxmemory > 0 {
        signals.extend((0..shared.slots.shard_count()).map(|core| Signal::Evict { core }));
    }
    Ok(changed)
}

/// Whether the log is to begin or end here, before anything else runs: who names it has all shards. In a transaction the
/// core sees to it afterwards.
fn switches_log(cx: &Context, changed: &[Changed]) -> bool {
    let named = changed.iter().any(|option| option.name == "appendonly");
    let differs = || cx.shared.config().appendonly != cx.shared.is_logged();
    named && differs() && cx.shared.persistence.log.can_switch() && !cx.session.atomic
}

fn settings_of_ticks(config: &Arc<Config>) -> (u32, u32) {
    (config.timeout_s, config.hz)
}

/// Whether the client is on this host, which options that say `local` ask for.
pub fn is_local(cx: &Context) -> bool {
    cx.shared.clients.get(cx.session.id).is_some_and(|card| {
        let address = card.addr.parse::<std::net::SocketAddr>();
        card.has(flag::UNIX_SOCKET) || address.is_ok_and(|address| address.ip().to_canonical().is_loopback())
    })
}

/// Does what has to happen once when values change, or says why it cannot be.
fn carry_out(listening: &Listening, old: &Config, new: &Config) -> Result<(), String> {
    listening.change(old, new).map_err(|_| match new.port == old.port {
        true => set_failed("bind", "Failed to bind to specified addresses."),
        false => set_failed("port", "Unable to listen on this port. Check server logs."),
    })?;
    if new.dir != old.dir
        && let Err(error) = std::env::set_current_dir(&new.dir)
    {
        // What could be listened on a moment ago can be again, or the log says why not.
        let _ = listening.change(new, old);
        return Err(set_failed("dir", &crate::config::os_error_text(&error)));
    }
    if new.loglevel != old.loglevel {
        crate::log::set_level(new.loglevel);
    }
    Ok(())
}

/// Runs with every shard at hand: some of the counters are theirs.
pub fn resetstat(cx: &mut Context, _args: Args) -> Result<(), Error> {
    for shard in cx.shards() {
        shard.counters.reset();
    }
    cx.shared.metrics.iter().for_each(|core| core.reset());
    cx.shared.errors.lock().expect("nobody panics holding the error counts").clear();
    cx.shared.persistence.saves().count = 0;
    cx.shared.persistence.log.rewrites().count = 0;
    cx.shared.forget_rates();
    cx.out.ok();
    Ok(())
}

pub fn rewrite(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.shared.config().rewrite_file(None).map_err(Error::new)?;
    cx.out.ok();
    Ok(())
}
