//! FCALL and FCALL_RO.

use super::eval::split_keys;
use super::run::{Ongoing, What, run};
use crate::client::Args;
use crate::commands::{Context, Error};
use crate::script::flags;

pub fn fcall(cx: &mut Context, args: Args) -> Result<(), Error> {
    call(cx, args, false)
}

pub fn fcall_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    call(cx, args, true)
}

fn call(cx: &mut Context, args: Args, read_only: bool) -> Result<(), Error> {
    let name = String::from_utf8_lossy(args.at(1)).into_owned();
    let libraries = cx.shared.scripts.libraries();
    let (library, function) = libraries.find(&name).ok_or(Error::NO_FUNCTION)?;
    let (keys, argv) = split_keys(args, Error::BAD_KEY_COUNT)?;
    let no_writes = function.flags & flags::NO_WRITES != 0;
    if read_only && !no_writes {
        return Err(Error::SCRIPT_WRITES);
    }
    if let Some(engine) = &mut cx.scripts {
        engine.forget_libraries(&libraries);
    }
    let ongoing =
        Ongoing::new(cx, What::Function(function.name.clone()), function.flags, read_only || no_writes);
    run(cx, args, ongoing, |engine, host| engine.call(library, &function.name, keys, argv, host))
}
