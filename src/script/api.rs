//! The `redis` table of scripts (`server` is another name of it).
//! In: calls from scripts. Out: commands run by the `Host`, replies as Lua values.

use super::convert;
use super::engine::{rest, run_of};
use super::host::Called;
use super::library;
use super::lua::{Ending, Function, Kind, Lua, Raise, write_g};
use crate::resp::Span;

/// The version that scripts are told, as INFO tells it.
const VERSION: &str = "8.0.0";
const VERSION_NUMBER: f64 = 0x0008_0000 as f64;

const ANYWHERE: &[(&str, Function)] = &[("log", log)];

const FUNCTIONS: &[(&str, Function)] = &[
    ("call", call),
    ("pcall", pcall),
    ("setresp", setresp),
    ("sha1hex", sha1hex),
    ("error_reply", error_reply),
    ("status_reply", status_reply),
    ("set_repl", set_repl),
    ("replicate_commands", replicate_commands),
    ("breakpoint", breakpoint),
    ("debug", debug),
    ("acl_check_cmd", acl_check_cmd),
];

const LEVELS: &[(&str, f64)] =
    &[("LOG_DEBUG", 0.0), ("LOG_VERBOSE", 1.0), ("LOG_NOTICE", 2.0), ("LOG_WARNING", 3.0)];

const REPLICATION: &[(&str, f64)] =
    &[("REPL_NONE", 0.0), ("REPL_AOF", 1.0), ("REPL_SLAVE", 2.0), ("REPL_REPLICA", 2.0), ("REPL_ALL", 3.0)];

/// Pushes the table as scripts and functions see it while they run.
pub fn open(lua: Lua) {
    lua.push_table(0, 32);
    fill(lua, FUNCTIONS, REPLICATION);
}

/// Pushes the table as libraries see it while they load.
pub fn open_for_loading(lua: Lua) {
    lua.push_table(0, 16);
    fill(lua, &[("register_function", library::register_function)], &[]);
}

/// Fills the table on top.
fn fill(lua: Lua, functions: &[(&str, Function)], numbers: &[(&str, f64)]) {
    for (name, function) in functions.iter().chain(ANYWHERE) {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
    for (name, number) in numbers.iter().chain(LEVELS) {
        lua.push_number(*number);
        lua.set_field(-2, name);
    }
    lua.push_str(VERSION);
    lua.set_field(-2, "REDIS_VERSION");
    lua.push_number(VERSION_NUMBER);
    lua.set_field(-2, "REDIS_VERSION_NUM");
}

/// Pushes an error as scripts see it: a table with its text, code first.
pub fn push_error(lua: Lua, text: &[u8]) {
    lua.push_table(0, 3);
    lua.push_bytes(text);
    lua.set_field(-2, "err");
}

/// An error of the library itself, to be raised.
pub fn failure(lua: Lua, text: &str) -> Raise {
    push_error(lua, format!("ERR {text}").as_bytes());
    Raise
}

fn call(lua: Lua) -> Result<i32, Raise> {
    run_command(lua)?;
    if lua.control().ending.is_none() && convert::is_error(lua) { Err(Raise) } else { Ok(1) }
}

/// `redis.pcall`: an error is returned instead of raised.
fn pcall(lua: Lua) -> Result<i32, Raise> {
    match run_command(lua) {
        Err(Raise) if lua.control().ending.is_none() => Ok(1),
        result => result.map(|()| 1),
    }
}

/// Runs the command that the arguments are, and pushes its reply.
fn run_command(lua: Lua) -> Result<(), Raise> {
    if let Some(ending) = lua.control().ending {
        return Err(lua.end(ending));
    }
    collect_arguments(lua)?;
    let run = run_of(lua);
    let mut reply = std::mem::take(&mut run.reply);
    reply.clear();
    let resp3 = run.resp3;
    let called = loop {
        match run_of(lua).ask_host(|host, args| host.call(args, resp3, &mut reply)) {
            Called::Asks => rest(lua),
            called => break called,
        }
    };
    let result = match called {
        Called::Replied => {
            convert::push_reply(lua, &reply);
            Ok(())
        }
        Called::Refused(text) => {
            push_error(lua, &text);
            lua.push_boolean(true);
            lua.set_field(-2, "ignore_error_stats_update");
            Err(Raise)
        }
        Called::OutOfReach => Err(lua.end(Ending::Widen)),
        Called::Asks => unreachable!("it was called until it had not to"),
    };
    const REPLY_BYTES_KEPT: usize = 1 << 20;
    if reply.capacity() <= REPLY_BYTES_KEPT {
        run_of(lua).reply = reply;
    }
    result
}

/// Copies the arguments of the running function as those of a command.
fn collect_arguments(lua: Lua) -> Result<(), Raise> {
    let count = lua.top();
    if count == 0 {
        return Err(failure(lua, "Please specify at least one argument for this redis lib call"));
    }
    let run = run_of(lua);
    run.buf.clear();
    run.spans.clear();
    for at in 1..=count {
        let start = run.buf.len() as u32;
        match lua.kind(at) {
            Kind::String => run.buf.extend_from_slice(lua.bytes(at).expect("it is a string")),
            Kind::Number => write_number(&mut run.buf, lua.number(at).expect("it is a number")),
            _ => return Err(failure(lua, "Lua redis lib command arguments must be strings or integers")),
        }
        if run.buf.len() > u32::MAX as usize / 2 {
            return Err(failure(lua, "Lua redis lib command arguments must be strings or integers"));
        }
        run.spans.push(Span { start, len: run.buf.len() as u32 - start });
    }
    Ok(())
}

/// A number as an argument: 17 digits, no more than it needs.
fn write_number(out: &mut Vec<u8>, value: f64) {
    const EXACT_MAX: f64 = 1e15;
    if value.fract() == 0.0 && value.abs() < EXACT_MAX && !(value == 0.0 && value.is_sign_negative()) {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        write_g(out, value, 17);
    }
}

/// `redis.log(level, message, …)`: the messages, joined by blanks.
fn log(lua: Lua) -> Result<i32, Raise> {
    if lua.top() < 2 {
        return Err(failure(lua, "redis.log() requires two arguments or more."));
    }
    if lua.kind(1) != Kind::Number {
        return Err(failure(lua, "First argument must be a number (log level)."));
    }
    let level = lua.number(1).expect("it is a number");
    if !(0.0..4.0).contains(&level) {
        return Err(failure(lua, "Invalid debug level."));
    }
    let texts: Vec<Vec<u8>> = (2..=lua.top()).filter_map(|at| lua.bytes(at).map(<[u8]>::to_vec)).collect();
    if let Some(host) = run_of(lua).host_if_any() {
        host.log(level as usize, &texts.join(&b' '));
    }
    Ok(0)
}

fn setresp(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(failure(lua, "redis.setresp() requires one argument."));
    }
    match lua.number(1) {
        Some(2.0) => run_of(lua).resp3 = false,
        Some(3.0) => run_of(lua).resp3 = true,
        _ => return Err(failure(lua, "RESP version must be 2 or 3.")),
    }
    Ok(0)
}

fn sha1hex(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(failure(lua, "wrong number of arguments"));
    }
    let digest = crate::base::sha1::sha1_hex(lua.bytes(1).unwrap_or(b""));
    lua.push_bytes(&digest);
    Ok(1)
}

/// Returns, rather than raises, an error about the arguments.
fn wrong_arguments(lua: Lua) -> Result<i32, Raise> {
    push_error(lua, b"ERR wrong number or type of arguments");
    Ok(1)
}

fn error_reply(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 || lua.kind(1) != Kind::String {
        return wrong_arguments(lua);
    }
    let text = lua.bytes(1).expect("it is a string");
    let text = convert::c_text(text);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match memchr::memchr(b' ', text) {
        Some(end) => {
            let message = convert::without_line_ends(&text[end + 1..]);
            push_error(lua, &[&text[..end], b" ", message].concat());
        }
        None => push_error(lua, &[b"ERR ", text].concat()),
    }
    Ok(1)
}

fn status_reply(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 || lua.kind(1) != Kind::String {
        return wrong_arguments(lua);
    }
    lua.push_table(0, 1);
    lua.push_value(1);
    lua.set_field(-2, "ok");
    Ok(1)
}

fn set_repl(lua: Lua) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(failure(lua, "redis.set_repl() requires two arguments."));
    }
    let flags = lua.number(1).unwrap_or(0.0) as i64;
    if flags & !3 != 0 {
        return Err(failure(
            lua,
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ));
    }
    run_of(lua).host().replicate_to(flags as u8);
    Ok(0)
}

/// Effects are what is replicated, always.
fn replicate_commands(lua: Lua) -> Result<i32, Raise> {
    lua.push_boolean(true);
    Ok(1)
}

/// Outside of the debugger there is nothing to stop at.
fn breakpoint(lua: Lua) -> Result<i32, Raise> {
    lua.push_boolean(false);
    Ok(1)
}

fn debug(_: Lua) -> Result<i32, Raise> {
    Ok(0)
}

fn acl_check_cmd(lua: Lua) -> Result<i32, Raise> {
    collect_arguments(lua)?;
    match run_of(lua).ask_host(|host, args| host.may_call(args)) {
        Some(may) => {
            lua.push_boolean(may);
            Ok(1)
        }
        None => Err(failure(lua, "Invalid command passed to redis.acl_check_cmd()")),
    }
}

/// The handler of errors: makes a table of what was raised, with the place where that was.
pub fn note_error(lua: Lua) -> Result<i32, Raise> {
    let place = match lua.place(1) {
        Some((_, true)) => lua.place(2),
        found => found,
    };
    lua.set_top(1);
    if !lua.is_table(1) {
        let text = match lua.kind(1) {
            Kind::String | Kind::Number => lua.bytes(1).expect("it is a string").to_vec(),
            Kind::Nil | Kind::None => b"nil".to_vec(),
            Kind::Boolean => lua.boolean(1).to_string().into_bytes(),
            _ if lua.pointer(1).is_null() => format!("{}: (nil)", lua.type_name(1)).into_bytes(),
            _ => format!("{}: {:?}", lua.type_name(1), lua.pointer(1)).into_bytes(),
        };
        push_error(lua, &[b"ERR ", text.as_slice()].concat());
        lua.replace(1);
    }
    if let Some((place, _)) = place {
        lua.push_bytes(&place.source);
        lua.set_field(1, "source");
        lua.push_number(place.line as f64);
        lua.set_field(1, "line");
    }
    Ok(1)
}
