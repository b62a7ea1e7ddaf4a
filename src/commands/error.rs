//! Errors of clients, with Redis' exact texts, in one place. What they show of arguments they show byte for byte.

use std::borrow::Cow;
use std::fmt;

use crate::client::Args;
use crate::script::Running;

/// An error reply: its text with the code first, without the leading dash.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(pub Cow<'static, [u8]>);

/// Names the errors whose texts never vary.
macro_rules! fixed {
    ($($name:ident = $text:expr;)*) => {
        impl Error { $(pub const $name: Error = Error(Cow::Borrowed($text.as_bytes()));)* }
    };
}

fixed! {
    SYNTAX = "ERR syntax error";
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    NOT_AN_INTEGER = "ERR value is not an integer or out of range";
    NOT_A_FLOAT = "ERR value is not a valid float";
    OVERFLOW = "ERR increment or decrement would overflow";
    DECREMENT_OVERFLOW = "ERR decrement would overflow";
    NAN_OR_INFINITY = "ERR increment would produce NaN or Infinity";
    NO_SUCH_KEY = "ERR no such key";
    OUT_OF_RANGE = "ERR index out of range";
    OFFSET_OUT_OF_RANGE = "ERR offset is out of range";
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    SAME_OBJECT = "ERR source and destination objects are the same";
    DB_OUT_OF_RANGE = "ERR DB index is out of range";
    INT_OUT_OF_RANGE = "ERR value is out of range, value must between -2147483648 and 2147483647";
    VALUE_OUT_OF_RANGE = "ERR value is out of range";
    MUST_BE_POSITIVE = "ERR value is out of range, must be positive";
    BUSY_KEY = "BUSYKEY Target key name already exists.";
    BAD_PAYLOAD = "ERR DUMP payload version or checksum are wrong";
    BAD_FORMAT = "ERR Bad data format";
    INVALID_TTL = "ERR Invalid TTL value, must be >= 0";
    INVALID_IDLE_TIME = "ERR Invalid IDLETIME value, must be >= 0";
    INVALID_FREQUENCY = "ERR Invalid FREQ value, must be >= 0 and <= 255";
    MIGRATE_KEYS = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
    TARGET_CONNECTING = "IOERR error or timeout connecting to the client";
    TARGET_WRITING = "IOERR error or timeout writing to target instance";
    TARGET_READING = "IOERR error or timeout reading to target instance";
    INVALID_CURSOR = "ERR invalid cursor";
    NOAUTH = "NOAUTH Authentication required.";
    NOAUTH_HELLO = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
    WRONG_PASS = "WRONGPASS invalid username-password pair or user is disabled.";
    EXECABORT = "EXECABORT Transaction discarded because of previous errors.";
    NESTED_MULTI = "ERR MULTI calls can not be nested";
    EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI";
    DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI";
    WATCH_INSIDE_MULTI = "ERR WATCH inside MULTI is not allowed";
    NOT_IN_TRANSACTION = "ERR Command not allowed inside a transaction";
    UNDER_MONITOR = "ERR Replica can't interact with the keyspace";
    SAVE_RUNNING = "ERR Background save already in progress";
    LOADING = "LOADING Redis is loading the dataset in memory";
    REWRITE_RUNNING = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";
    UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
    NO_LOG_TO_WAIT_FOR = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    SHUTDOWN_FAILED = "ERR Errors trying to SHUTDOWN. Check logs.";
    SAVE_FAILED = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
    NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL.";
    NO_FUNCTION = "ERR Function not found";
    NO_FUNCTIONS = "ERR No functions registered";
    NO_LIBRARY = "ERR Library not found";
    NO_LIBRARY_NAME = "ERR library name argument was not given";
    TOO_MANY_KEYS = "ERR Number of keys can't be greater than number of args";
    NEGATIVE_KEYS = "ERR Number of keys can't be negative";
    BAD_KEY_COUNT = "ERR Bad number of keys provided";
    SCRIPT_WRITES = "ERR Can not execute a script with write flag using *_ro command.";
    SCRIPT_FLUSH_OPTION = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
    FUNCTION_FLUSH_OPTION = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
    SCRIPT_DEBUG_MODE = "ERR Use SCRIPT DEBUG YES/SYNC/NO";
    NO_DEBUGGER = "ERR This server has no script debugger";
    RESTORE_POLICY = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
    NOT_A_FUNCTION = "ERR given type is not a function";
    BAD_FUNCTIONS = "ERR failed loading functions from payload";
    NOT_BUSY = "NOTBUSY No scripts in execution right now.";
    UNKILLABLE = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";
    BUSY_SCRIPT = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    BUSY_FUNCTION = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    OOM = "OOM command not allowed when used memory > 'maxmemory'.";
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Error {
    /// An error with a text made up for the occasion, its code first.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Error(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// An error that shows arguments, which may be any bytes: its parts, one behind the other.
    pub fn showing(parts: &[&[u8]]) -> Self {
        Error(Cow::Owned(parts.concat()))
    }

    /// EXEC was refused before it ran, for the reason given.
    pub fn exec_refused(reason: &Error) -> Self {
        let reason = reason.0.strip_prefix(b"ERR ").unwrap_or(&reason.0);
        Error::showing(&[b"EXECABORT Transaction discarded because of: ", reason])
    }

    /// The server waits for that script.
    pub fn busy(running: &Running) -> Self {
        if running.function.is_some() { Error::BUSY_FUNCTION } else { Error::BUSY_SCRIPT }
    }

    pub fn arity(name: &str) -> Self {
        Error::new(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// The append-only file cannot be written, for this reason.
    pub fn log_failed(errno: i32) -> Self {
        let text = crate::config::os_error_text(&std::io::Error::from_raw_os_error(errno));
        Error::new(format!("MISCONF Errors writing to the AOF file: {text}"))
    }

    /// A RESP2 client with subscriptions may not run this command.
    pub fn subscribed(name: &str) -> Self {
        Error::new(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        ))
    }

    pub fn invalid_expire(name: &str) -> Self {
        Error::new(format!("ERR invalid expire time in '{name}' command"))
    }

    /// Redis shows the name (128 bytes at most) and as many arguments as fit in 128 bytes.
    pub fn unknown_command(args: Args) -> Self {
        let mut beginning = Vec::new();
        for arg in args.from(1).iter() {
            if beginning.len() >= SHOWN_MAX {
                break;
            }
            let text = shown(arg, SHOWN_MAX - beginning.len());
            beginning.extend_from_slice(&[b"'", text, b"' "].concat());
        }
        let name = shown(args.at(0), SHOWN_MAX);
        Error::showing(&[b"ERR unknown command '", name, b"', with args beginning with: ", &beginning])
    }

    /// A subcommand that is known, with arguments that do not fit it.
    pub fn subcommand_arity(sub: &[u8], container: &str) -> Self {
        let sub = shown(sub, SHOWN_MAX);
        let advice = format!("'. Try {container} HELP.");
        Error::showing(&[
            b"ERR unknown subcommand or wrong number of arguments for '",
            sub,
            advice.as_bytes(),
        ])
    }

    pub fn unknown_subcommand(sub: &[u8], container: &str) -> Self {
        let sub = shown(sub, SHOWN_MAX);
        let advice = format!("'. Try {container} HELP.");
        Error::showing(&[b"ERR unknown subcommand '", sub, advice.as_bytes()])
    }
}

/// Bytes of an argument that an error shows.
const SHOWN_MAX: usize = 128;

/// An argument as errors show it: it ends with a NUL byte or after `most` bytes.
pub fn shown(arg: &[u8], most: usize) -> &[u8] {
    let end = memchr::memchr(0, arg).unwrap_or(arg.len());
    &arg[..end.min(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_byte_for_byte() {
        let error = Error::unknown_subcommand(b"\xff\0x", "CLIENT");
        assert_eq!(&*error.0, b"ERR unknown subcommand '\xff'. Try CLIENT HELP.");
        let refused = Error::exec_refused(&error);
        let text = b"EXECABORT Transaction discarded because of: unknown subcommand '\xff'. Try CLIENT HELP.";
        assert_eq!(&*refused.0, text);
    }
}
