//! Libraries of functions: the name in their first line, and `redis.register_function`.
//! In: code, calls while it loads. Out: functions with descriptions and flags.

use super::api::failure;
use super::engine::run_of;
use super::lua::{Kind, Lua, Raise};
use super::table::{Function, flags};
use crate::base::clock::{ticks, ticks_to_ns};
use crate::base::quoted;

/// How long a library may take to load, as in Redis.
const LOAD_MS_MAX: u64 = 500;

/// What a library has registered so far.
pub struct Registration {
    functions: Vec<Function>,
    numbers: Vec<i32>,
    /// When it began, in ticks.
    start: u64,
}

impl Registration {
    pub fn begin() -> Self {
        Self { functions: Vec::new(), numbers: Vec::new(), start: ticks() }
    }

    pub fn takes_too_long(&self) -> bool {
        ticks_to_ns(ticks().wrapping_sub(self.start)) / 1_000_000 > LOAD_MS_MAX
    }

    /// Under which numbers the state keeps the functions.
    pub fn numbers(&self) -> &[i32] {
        &self.numbers
    }

    pub fn finish(self) -> (Vec<Function>, Vec<i32>) {
        (self.functions, self.numbers)
    }
}

/// The name that the first line of a library's code gives it. The error is for the client.
pub fn name_of(code: &[u8]) -> Result<String, Vec<u8>> {
    if !code.starts_with(b"#!") {
        return Err("Missing library metadata".into());
    }
    let Some(end) = memchr::memchr(b'\n', code) else { return Err("Invalid library metadata".into()) };
    let words = quoted::split(&code[..end]).ok_or("Invalid library metadata")?;
    let (engine, words) = words.split_first().expect("it begins with a mark");
    let engine = &engine[2..];
    let mut name = None;
    for word in words {
        match word.strip_prefix(b"name=") {
            Some(_) if name.is_some() => {
                return Err("Invalid metadata value, name argument was given multiple times".into());
            }
            Some(given) => name = Some(String::from_utf8_lossy(given).into_owned()),
            None => return Err([b"Invalid metadata value given: ", &word[..]].concat()),
        }
    }
    let Some(name) = name else { return Err("Library name was not given".into()) };
    if !is_name(&name) {
        return Err(
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
                .into(),
        );
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err([b"Engine '", engine, b"' not found"].concat());
    }
    Ok(name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `redis.register_function(name, callback)`, or with a table of named arguments.
pub fn register_function(lua: Lua) -> Result<i32, Raise> {
    let function = match lua.top() {
        1 => named_arguments(lua)?,
        2 => {
            let Some(name) = lua.bytes(1).map(|name| String::from_utf8_lossy(name).into_owned()) else {
                return Err(failure(lua, "first argument to redis.register_function must be a string"));
            };
            if lua.kind(2) != Kind::Function {
                return Err(failure(lua, "second argument to redis.register_function must be a function"));
            }
            Function { name, description: None, flags: 0 }
        }
        _ => return Err(failure(lua, "wrong number of arguments to redis.register_function")),
    };
    if !is_name(&function.name) {
        return Err(failure(
            lua,
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    let number = lua.keep();
    let Some(registration) = &mut run_of(lua).registration else {
        return Err(failure(lua, "redis.register_function can only be called on FUNCTION LOAD command"));
    };
    registration.numbers.push(number);
    if registration.functions.iter().any(|known| known.name == function.name) {
        return Err(failure(lua, "Function already exists in the library"));
    }
    registration.functions.push(function);
    Ok(0)
}

/// Reads the one argument, a table; leaves the callback on top.
fn named_arguments(lua: Lua) -> Result<Function, Raise> {
    if !lua.is_table(1) {
        return Err(failure(
            lua,
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ));
    }
    let mut function = Function { name: String::new(), description: None, flags: 0 };
    let (mut named, mut callback) = (false, false);
    // The callback's place on the stack.
    lua.push_nil();
    lua.push_nil();
    while lua.next(1) {
        // A number is no name of an argument.
        let key = if lua.kind(3) == Kind::String { lua.bytes(3).unwrap_or(b"") } else { b"" };
        match key.to_vec().as_slice() {
            b"function_name" => {
                let Some(name) = string_at(lua, 4) else {
                    return Err(failure(
                        lua,
                        "function_name argument given to redis.register_function must be a string",
                    ));
                };
                function.name = String::from_utf8_lossy(&name).into_owned();
                named = true;
            }
            b"description" => {
                let Some(text) = string_at(lua, 4) else {
                    return Err(failure(
                        lua,
                        "description argument given to redis.register_function must be a string",
                    ));
                };
                function.description = Some(text);
            }
            b"callback" => {
                if lua.kind(4) != Kind::Function {
                    return Err(failure(
                        lua,
                        "callback argument given to redis.register_function must be a function",
                    ));
                }
                lua.push_value(4);
                lua.replace(2);
                callback = true;
            }
            b"flags" => function.flags = read_flags(lua)?,
            _ => {
                return Err(failure(lua, "unknown argument given to redis.register_function"));
            }
        }
        lua.set_top(3);
    }
    if !named {
        return Err(failure(lua, "redis.register_function must get a function name argument"));
    }
    if !callback {
        return Err(failure(lua, "redis.register_function must get a callback argument"));
    }
    lua.set_top(2);
    Ok(function)
}

fn string_at(lua: Lua, at: i32) -> Option<Vec<u8>> {
    matches!(lua.kind(at), Kind::String | Kind::Number)
        .then(|| lua.bytes(at).expect("it is a string").to_vec())
}

/// The flags that the table at 4 lists.
fn read_flags(lua: Lua) -> Result<u32, Raise> {
    if !lua.is_table(4) {
        return Err(failure(
            lua,
            "flags argument to redis.register_function must be a table representing function flags",
        ));
    }
    let mut found = 0;
    for index in 1.. {
        lua.get_index(4, index);
        if lua.kind(-1) == Kind::Nil {
            lua.pop(1);
            break;
        }
        let name = string_at(lua, 5).map(|name| String::from_utf8_lossy(&name).into_owned());
        match name.and_then(|name| flags::find(&name)) {
            Some(bit) => found |= bit,
            None => return Err(failure(lua, "unknown flag given")),
        }
        lua.pop(1);
    }
    Ok(found)
}
