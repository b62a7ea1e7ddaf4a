//! What a script or a function says of itself before it runs.
//! In: EVAL, EVALSHA, FCALL and theirs. Out: its flags, and those that its command has because of them.

use super::reach::sha_of;
use crate::client::Args;
use crate::commands::{Command, Route, flags};
use crate::script::{Scripts, flags as script_flags, shebang};

/// The flags that the script declares. None: it declares none, is unknown or malformed.
fn declared(command: &Command, args: Args, scripts: &Scripts) -> Option<u32> {
    let found = match (command.route, command.name) {
        (Route::Function, _) => {
            let name = String::from_utf8_lossy(args.get(1)?);
            scripts.libraries().find(&name)?.1.flags
        }
        (_, "EVALSHA" | "EVALSHA_RO") => scripts.find(&sha_of(args)?)?.flags,
        _ => shebang(args.get(1)?).ok()?,
    };
    (found & script_flags::UNDECLARED == 0).then_some(found)
}

/// The flags of a command: a script that declares its own is known to write, or not to.
pub fn flags_of(command: &Command, args: Args, scripts: &Scripts) -> u32 {
    if !matches!(command.route, Route::Script | Route::Function) {
        return command.flags;
    }
    let Some(declared) = declared(command, args, scripts) else { return command.flags };
    let mut found = command.flags & !(flags::WRITE | flags::MAY_REPLICATE | flags::DENYOOM);
    if declared & script_flags::NO_WRITES == 0 {
        found |= flags::WRITE;
        if declared & script_flags::ALLOW_OOM == 0 {
            found |= flags::DENYOOM;
        }
    }
    found
}
