//! What scripts may see: globals that nobody can change, Lua's libraries without the dangerous parts.
//! In: a fresh state. Out: its three environments, for scripts, for functions, and for the loading of libraries.
//!
//! A protected table is an empty one in front of the real one: reading falls through to it, writing is refused. The
//! functions that would look at, or write to, a table without asking its metatable are replaced by ones that know. A
//! global that is missing is an error.

use super::api;
use super::lua::{Function, Kind, Lua, Raise};
use super::{bit, cjson, cmsgpack, random, structs};

/// Code that `load` collects before it gives up.
const CODE_BYTES_MAX: usize = 64 << 20;

const READONLY: &str = "Attempt to modify a readonly table";

/// Numbers under which the state keeps the tables that the engine needs.
pub struct Environments {
    /// The environment of scripts, protected, and the table behind it, which gets KEYS and ARGV.
    pub eval: i32,
    pub eval_globals: i32,
    /// The environment of functions, protected; its metatable, whose `__index` is one of the two tables that follow.
    pub function: i32,
    pub function_meta: i32,
    pub function_globals: i32,
    pub load_globals: i32,
    /// The handler of errors, which notes where they come from.
    pub handler: i32,
}

/// Lua's own functions that scripts may call as they are.
const BASE: &[&str] = &[
    "_VERSION",
    "assert",
    "collectgarbage",
    "error",
    "gcinfo",
    "ipairs",
    "rawequal",
    "select",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];

/// Those that are replaced.
const REPLACED: &[(&str, Function)] = &[
    ("getmetatable", get_metatable),
    ("load", load),
    ("loadstring", load_string),
    ("pcall", protected_call),
    ("rawget", raw_get),
    ("rawset", raw_set),
    ("setmetatable", set_metatable),
];

/// Makes the environments of a state whose libraries are open.
pub fn build(lua: Lua) -> Environments {
    let base = lua.top();
    // The metatables of protected tables, each with the real table behind it.
    lua.push_table(0, 32);
    let known = lua.top();
    // A prototype of the globals; copied for scripts and for functions.
    lua.push_table(0, 64);
    let globals = lua.top();
    for name in BASE {
        lua.get_field(super::lua::GLOBALS, name);
        lua.set_field(globals, name);
    }
    for (name, function) in REPLACED {
        set_function(lua, globals, known, name, *function);
    }
    // `next`, and `pairs`, which knows both ways to go on.
    lua.push_value(known);
    lua.get_field(super::lua::GLOBALS, "next");
    lua.push_closure(next, 2);
    lua.push_value(-1);
    lua.set_field(globals, "next");
    lua.push_value(known);
    lua.insert(-2);
    lua.get_field(super::lua::GLOBALS, "next");
    lua.push_closure(pairs, 3);
    lua.set_field(globals, "pairs");
    for name in ["string", "table", "math", "coroutine", "os"] {
        lua.get_field(super::lua::GLOBALS, name);
        adapt(lua, name);
        protect(lua, known);
        lua.set_field(globals, name);
    }
    type Open = fn(Lua);
    let libraries: [(&str, Open); 4] =
        [("bit", bit::open), ("cjson", cjson::open), ("cmsgpack", cmsgpack::open), ("struct", structs::open)];
    for (name, open) in libraries {
        open(lua);
        protect(lua, known);
        lua.set_field(globals, name);
    }
    lua.push_function(api::note_error);
    lua.push_value(-1);
    lua.set_field(globals, "__redis__err__handler");
    let handler = lua.keep();
    api::open(lua);
    protect(lua, known);
    for name in ["redis", "server"] {
        lua.push_value(-1);
        lua.set_field(globals, name);
    }
    lua.pop(1);
    protect_strings(lua, globals, known);
    let (eval, eval_globals, _) = environment(lua, globals, known);
    let (function, function_globals, function_meta) = environment(lua, globals, known);
    let load_globals = load_environment(lua, known);
    lua.set_top(base);
    Environments { eval, eval_globals, function, function_meta, function_globals, load_globals, handler }
}

/// Sets a field of a table to a function that knows the protected tables.
fn set_function(lua: Lua, table: i32, known: i32, name: &str, function: Function) {
    lua.push_value(known);
    lua.push_closure(function, 1);
    lua.set_field(table, name);
}

/// Makes a library, on top, fit for scripts.
fn adapt(lua: Lua, name: &str) {
    let table = lua.top();
    match name {
        "math" => {
            for (name, function) in [("random", random::random as Function), ("randomseed", random::seed)] {
                lua.push_function(function);
                lua.set_field(table, name);
            }
        }
        "string" => {
            ["find", "match", "gmatch", "gsub"].into_iter().for_each(|name| lua.guard_pattern(table, name));
        }
        "table" => {
            lua.push_function(insert);
            lua.set_field(table, "insert");
        }
        "os" => {
            lua.get_field(table, "clock");
            lua.push_table(0, 1);
            lua.insert(-2);
            lua.set_field(-2, "clock");
            lua.replace(table);
        }
        _ => {}
    }
}

/// Replaces the table on top by a protected one in front of it.
fn protect(lua: Lua, known: i32) {
    let real = lua.top();
    lua.push_table(0, 0);
    lua.push_table(0, 2);
    lua.push_value(real);
    lua.set_field(-2, "__index");
    lua.push_function(refuse_change);
    lua.set_field(-2, "__newindex");
    lua.push_value(-1);
    lua.push_value(real);
    lua.set(known);
    lua.set_metatable(-2);
    lua.replace(real);
}

/// The methods of strings are those of the library, and nobody replaces them.
fn protect_strings(lua: Lua, globals: i32, known: i32) {
    lua.push_str("");
    lua.push_table(0, 1);
    lua.get_field(globals, "string");
    lua.set_field(-2, "__index");
    lua.push_value(-1);
    lua.set_metatable(-3);
    // What `getmetatable("")` shows.
    protect(lua, known);
    lua.set_field(known, "strings");
    lua.pop(1);
}

/// Copies the table at `globals` and protects the copy: the numbers of the protected table, the copy, the metatable.
fn environment(lua: Lua, globals: i32, known: i32) -> (i32, i32, i32) {
    lua.push_table(0, 64);
    let copy = lua.top();
    lua.push_nil();
    while lua.next(globals) {
        lua.push_value(-2);
        lua.insert(-2);
        lua.set(copy);
    }
    fail_on_missing(lua, copy);
    lua.push_value(copy);
    protect(lua, known);
    let protected = lua.top();
    lua.push_value(protected);
    lua.set_field(copy, "_G");
    lua.get_metatable(protected);
    // What `getmetatable(_G)` shows.
    lua.push_table(0, 1);
    lua.push_function(missing);
    lua.set_field(-2, "__index");
    protect(lua, known);
    lua.set_field(-2, "__metatable");
    let meta = lua.keep();
    let protected = lua.keep();
    (protected, lua.keep(), meta)
}

/// What is there while a library loads.
fn load_environment(lua: Lua, known: i32) -> i32 {
    lua.push_table(0, 2);
    api::open_for_loading(lua);
    fail_on_missing(lua, lua.top());
    protect(lua, known);
    for name in ["redis", "server"] {
        lua.push_value(-1);
        lua.set_field(-3, name);
    }
    lua.pop(1);
    fail_on_missing(lua, lua.top());
    lua.keep()
}

/// Reading what the table at `at` has not becomes an error.
fn fail_on_missing(lua: Lua, at: i32) {
    lua.push_table(0, 1);
    lua.push_function(missing);
    lua.set_field(-2, "__index");
    lua.set_metatable(at);
}

fn missing(lua: Lua) -> Result<i32, Raise> {
    let name = lua.bytes(2).unwrap_or(b"?");
    let text = [b"Script attempted to access nonexistent global variable '", name, b"'"].concat();
    Err(lua.error(&text))
}

fn refuse_change(lua: Lua) -> Result<i32, Raise> {
    Err(lua.error(READONLY))
}

/// The same, from a function: Redis then names no place.
fn refuse(lua: Lua) -> Raise {
    lua.push_str(READONLY);
    Raise
}

/// Pushes the real table behind the one at `at`, if that is protected.
fn push_real(lua: Lua, at: i32) -> bool {
    if !lua.is_table(at) || !lua.get_metatable(at) {
        return false;
    }
    lua.get(Lua::upvalue(2));
    let found = lua.is_table(-1);
    if !found {
        lua.pop(1);
    }
    found
}

fn is_protected(lua: Lua, at: i32) -> bool {
    let found = push_real(lua, at);
    if found {
        lua.pop(1);
    }
    found
}

fn check_table(lua: Lua, number: i32) -> Result<(), Raise> {
    if lua.is_table(number) { Ok(()) } else { Err(lua.wrong_type(number, "table")) }
}

fn get_metatable(lua: Lua) -> Result<i32, Raise> {
    if lua.top() == 0 {
        return Err(lua.bad_argument(1, "value expected"));
    }
    if lua.kind(1) == Kind::String {
        lua.get_field(Lua::upvalue(2), "strings");
        return Ok(1);
    }
    let protected = is_protected(lua, 1);
    if !lua.get_metatable(1) {
        lua.push_nil();
        return Ok(1);
    }
    lua.get_field(-1, "__metatable");
    if lua.kind(-1) == Kind::Nil && !protected {
        lua.pop(1);
    }
    Ok(1)
}

fn set_metatable(lua: Lua) -> Result<i32, Raise> {
    check_table(lua, 1)?;
    if !matches!(lua.kind(2), Kind::Nil | Kind::Table) {
        return Err(lua.bad_argument(2, "nil or table expected"));
    }
    if is_protected(lua, 1) {
        return Err(refuse(lua));
    }
    if lua.get_metatable(1) {
        lua.get_field(-1, "__metatable");
        if lua.kind(-1) != Kind::Nil {
            return Err(lua.error("cannot change a protected metatable"));
        }
    }
    lua.set_top(2);
    lua.set_metatable(1);
    Ok(1)
}

fn raw_get(lua: Lua) -> Result<i32, Raise> {
    check_table(lua, 1)?;
    if lua.top() < 2 {
        return Err(lua.bad_argument(2, "value expected"));
    }
    lua.set_top(2);
    let table = if push_real(lua, 1) { 3 } else { 1 };
    lua.push_value(2);
    lua.get(table);
    Ok(1)
}

fn raw_set(lua: Lua) -> Result<i32, Raise> {
    check_table(lua, 1)?;
    if lua.top() < 3 {
        return Err(lua.bad_argument(if lua.top() < 2 { 2 } else { 3 }, "value expected"));
    }
    if is_protected(lua, 1) {
        return Err(refuse(lua));
    }
    check_key(lua, 2)?;
    lua.set_top(3);
    lua.set(1);
    Ok(1)
}

/// Neither nil nor NaN can be a key.
fn check_key(lua: Lua, at: i32) -> Result<(), Raise> {
    match lua.kind(at) {
        Kind::Nil => Err(lua.error("table index is nil")),
        Kind::Number if lua.number(at).is_some_and(f64::is_nan) => Err(lua.error("table index is NaN")),
        _ => Ok(()),
    }
}

/// `next`: of a protected table, what is behind it; of others, Lua's own (upvalue 3).
fn next(lua: Lua) -> Result<i32, Raise> {
    check_table(lua, 1)?;
    lua.set_top(2);
    if push_real(lua, 1) {
        if lua.kind(2) != Kind::Nil && !lua.has_key(3, 2) {
            return Err(lua.error("invalid key to 'next'"));
        }
        lua.push_value(2);
        if !lua.next(3) {
            lua.push_nil();
            return Ok(1);
        }
        return Ok(2);
    }
    lua.push_value(Lua::upvalue(3));
    lua.insert(1);
    if lua.call(2, -1, 0) { Ok(lua.top()) } else { Err(Raise) }
}

/// `pairs`: goes on with the `next` above (upvalue 3) over a protected table, with Lua's own (upvalue 4) over others.
fn pairs(lua: Lua) -> Result<i32, Raise> {
    check_table(lua, 1)?;
    lua.push_value(Lua::upvalue(if is_protected(lua, 1) { 3 } else { 4 }));
    lua.push_value(1);
    lua.push_nil();
    Ok(3)
}

/// `pcall`: an error that Redis raised is seen as its text.
fn protected_call(lua: Lua) -> Result<i32, Raise> {
    if lua.top() == 0 {
        return Err(lua.bad_argument(1, "value expected"));
    }
    if lua.call(lua.top() - 1, -1, 0) {
        // As many results as there were leave no room for one more.
        if !lua.reserve(1) {
            return Err(lua.error("stack overflow"));
        }
        lua.push_boolean(true);
        lua.insert(1);
        return Ok(lua.top());
    }
    if lua.is_table(-1) {
        lua.get_field(-1, "err");
        if matches!(lua.kind(-1), Kind::String | Kind::Number) {
            lua.remove(-2);
        } else {
            lua.pop(1);
        }
    }
    lua.push_boolean(false);
    lua.insert(-2);
    Ok(2)
}

fn load_string(lua: Lua) -> Result<i32, Raise> {
    let code = lua.check_bytes(1)?.to_vec();
    let name = match lua.top() >= 2 && lua.kind(2) != Kind::Nil {
        true => lua.check_bytes(2)?.to_vec(),
        false => code.clone(),
    };
    Ok(loaded(lua, &code, name))
}

/// `load`: collects what a function returns, piece by piece.
fn load(lua: Lua) -> Result<i32, Raise> {
    if lua.kind(1) != Kind::Function {
        return Err(lua.wrong_type(1, "function"));
    }
    let name = match lua.top() >= 2 && lua.kind(2) != Kind::Nil {
        true => lua.check_bytes(2)?.to_vec(),
        false => b"=(load)".to_vec(),
    };
    let mut code = Vec::new();
    loop {
        lua.set_top(1);
        lua.push_value(1);
        if !lua.call(0, 1, 0) {
            lua.push_nil();
            lua.insert(-2);
            return Ok(2);
        }
        match lua.kind(-1) {
            Kind::Nil => break,
            Kind::String | Kind::Number => {
                let piece = lua.bytes(-1).expect("it is a string");
                if piece.is_empty() {
                    break;
                }
                code.extend_from_slice(piece);
            }
            _ => {
                lua.push_nil();
                lua.push_str("reader function must return a string");
                return Ok(2);
            }
        }
        if code.len() > CODE_BYTES_MAX {
            return Err(lua.error("not enough memory"));
        }
    }
    Ok(loaded(lua, &code, name))
}

/// Pushes the function that the code is, or nil and the error.
fn loaded(lua: Lua, code: &[u8], name: Vec<u8>) -> i32 {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = std::ffi::CString::new(&name[..end]).expect("cut at its first NUL");
    if lua.load(code, &name) {
        return 1;
    }
    lua.push_nil();
    lua.insert(-2);
    2
}

/// `table.insert`, which refuses protected tables.
fn insert(lua: Lua) -> Result<i32, Raise> {
    check_table(lua, 1)?;
    if lua.get_metatable(1) {
        lua.get_field(-1, "__newindex");
        lua.push_function(refuse_change);
        // Protected tables alone have that function there; closures differ, what they run does not.
        let protected = lua.same_function(-1, -2);
        lua.pop(3);
        if protected {
            return Err(refuse(lua));
        }
    }
    let end = lua.len(1) as i64 + 1;
    match lua.top() {
        2 => {
            if end > i32::MAX as i64 {
                return Err(lua.error("table overflow"));
            }
            lua.set_index(1, end as i32);
        }
        3 => {
            let at = lua.check_integer(2)? as i32 as i64;
            let end = end.max(at);
            for index in (at.saturating_add(1)..=end).rev() {
                lua.get_index(1, (index - 1) as i32);
                lua.set_index(1, index as i32);
            }
            lua.set_index(1, at as i32);
        }
        _ => return Err(lua.error("wrong number of arguments to 'insert'")),
    }
    Ok(0)
}
