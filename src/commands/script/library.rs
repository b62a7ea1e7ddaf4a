//! FUNCTION and its subcommands, but for KILL.

use std::sync::Arc;

use crate::base::glob::matches;
use crate::client::Args;
use crate::commands::{Context, Error, help as lines};
use crate::persist::rdb;
use crate::resp::Out;
use crate::script::library::name_of;
use crate::script::{Engine, Libraries, Library, Scripts, flags};

/// The mark of a library in the value that DUMP returns, as in an RDB file.
const LIBRARY: u8 = 245;

/// Loads code into a core's engine: the library that it makes.
fn make(engine: &mut Engine, code: &[u8]) -> Result<Arc<Library>, Error> {
    let wrong = |why: Vec<u8>| Error::showing(&[b"ERR ", &why]);
    let name = name_of(code).map_err(wrong)?;
    let functions = engine.load(code).map_err(wrong)?;
    if functions.is_empty() {
        return Err(Error::NO_FUNCTIONS);
    }
    Ok(Arc::new(Library { name, code: code.into(), functions }))
}

fn engine<'a>(cx: &'a mut Context) -> &'a mut Engine {
    cx.scripts.as_mut().expect("a script runs inside no other")
}

/// Makes the libraries of a file. `merge`: they take the place of those that have their names. The error says why not.
pub fn load_saved(
    engine: &mut Engine,
    scripts: &Scripts,
    codes: &[Vec<u8>],
    merge: bool,
) -> Result<(), String> {
    for code in codes {
        let made = make(engine, code).and_then(|library| {
            scripts.change_libraries(|libraries| {
                if !merge && libraries.by_name.contains_key(&library.name) {
                    return Err(Error::new(format!("ERR Library '{}' already exists", library.name)));
                }
                add(libraries, &library)
            })
        });
        made.map_err(|Error(text)| {
            String::from_utf8_lossy(text.strip_prefix(b"ERR ").unwrap_or(&text)).into_owned()
        })?;
    }
    Ok(())
}

fn add(libraries: &mut Libraries, library: &Arc<Library>) -> Result<(), Error> {
    libraries.add(library.clone()).map_err(|name| Error::new(format!("ERR Function {name} already exists")))
}

pub fn load(cx: &mut Context, args: Args) -> Result<(), Error> {
    let replace = (2..args.len() - 1).try_fold(false, |_, at| match args.is(at, "REPLACE") {
        true => Ok(true),
        false => Err(Error::showing(&[b"ERR Unknown option given: ", args.at(at)])),
    })?;
    let code = args.at(args.len() - 1);
    let name = name_of(code).map_err(|why| Error::showing(&[b"ERR ", &why]))?;
    if !replace && cx.shared.scripts.libraries().by_name.contains_key(&name) {
        return Err(Error::new(format!("ERR Library '{name}' already exists")));
    }
    let library = make(engine(cx), code)?;
    cx.shared.scripts.change_libraries(|libraries| add(libraries, &library))?;
    cx.changed_as_a_whole();
    cx.out.bulk(name.as_bytes());
    Ok(())
}

pub fn delete(cx: &mut Context, args: Args) -> Result<(), Error> {
    let name = String::from_utf8_lossy(args.at(2)).into_owned();
    cx.shared.scripts.change_libraries(|libraries| libraries.remove(&name).ok_or(Error::NO_LIBRARY))?;
    cx.changed_as_a_whole();
    cx.out.ok();
    Ok(())
}

pub fn flush(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::subcommand_arity(args.at(1), "FUNCTION"));
    }
    if args.len() == 3 && !args.is(2, "SYNC") && !args.is(2, "ASYNC") {
        return Err(Error::FUNCTION_FLUSH_OPTION);
    }
    cx.shared.scripts.clear_libraries();
    cx.changed_as_a_whole();
    cx.out.ok();
    Ok(())
}

pub fn list(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (mut with_code, mut pattern) = (false, None);
    let mut at = 2;
    while let Some(word) = args.get(at) {
        at += 1;
        if !with_code && args.is(at - 1, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && args.is(at - 1, "LIBRARYNAME") {
            pattern = Some(args.get(at).ok_or(Error::NO_LIBRARY_NAME)?);
            at += 1;
        } else {
            return Err(Error::showing(&[b"ERR Unknown argument ", word]));
        }
    }
    let libraries = cx.shared.scripts.libraries();
    let wanted = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| matches(pattern, library.name.as_bytes(), true))
    };
    let shown: Vec<_> = libraries.by_name.values().filter(wanted).collect();
    cx.out.array(shown.len());
    shown.iter().for_each(|library| write_library(&mut cx.out, library, with_code));
    Ok(())
}

fn write_library(out: &mut Out, library: &Library, with_code: bool) {
    out.map(if with_code { 4 } else { 3 });
    for (name, value) in [("library_name", library.name.as_str()), ("engine", "LUA")] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"functions");
    out.array(library.functions.len());
    for function in &library.functions {
        out.map(3);
        out.bulk(b"name");
        out.bulk(function.name.as_bytes());
        out.bulk(b"description");
        match &function.description {
            Some(text) => out.bulk(text),
            None => out.null(),
        }
        out.bulk(b"flags");
        let set: Vec<_> = flags::NAMES.iter().filter(|(bit, _)| function.flags & bit != 0).collect();
        out.set(set.len());
        set.iter().for_each(|(_, name)| out.simple(name));
    }
    if with_code {
        out.bulk(b"library_code");
        out.bulk(&library.code);
    }
}

pub fn stats(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let libraries = cx.shared.scripts.libraries();
    let running = cx.shared.scripts.running().filter(|running| running.function.is_some());
    let now_ms = cx.shared.clock.unix_ms();
    let out = &mut cx.out;
    out.map(2);
    out.bulk(b"running_script");
    match running {
        None => out.null(),
        Some(running) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(running.function.as_deref().unwrap_or("").as_bytes());
            out.bulk(b"command");
            out.array(running.command.len());
            running.command.iter().for_each(|word| out.bulk(word));
            out.bulk(b"duration_ms");
            out.integer((now_ms - running.started_ms).max(0));
        }
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.integer(libraries.by_name.len() as i64);
    out.bulk(b"functions_count");
    out.integer(libraries.function_count() as i64);
    Ok(())
}

pub fn dump(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let mut payload = Vec::new();
    for library in cx.shared.scripts.libraries().by_name.values() {
        rdb::Writer::new(&mut payload, cx.config.rdbcompression).marked(LIBRARY, &library.code);
    }
    rdb::seal(&mut payload, rdb::VERSION);
    cx.out.bulk(&payload);
    Ok(())
}

/// What RESTORE does with libraries that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Append,
    Replace,
    Flush,
}

pub fn restore(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() > 4 {
        return Err(Error::subcommand_arity(args.at(1), "FUNCTION"));
    }
    let policy = match args.len() {
        3 => Policy::Append,
        _ if args.is(3, "APPEND") => Policy::Append,
        _ if args.is(3, "REPLACE") => Policy::Replace,
        _ if args.is(3, "FLUSH") => Policy::Flush,
        _ => return Err(Error::RESTORE_POLICY),
    };
    let (_, value) = rdb::open(args.at(2)).map_err(|_| Error::BAD_PAYLOAD)?;
    let mut made: Vec<Arc<Library>> = Vec::new();
    let mut reader = rdb::Reader::new(value);
    while !reader.rest().is_empty() {
        if reader.u8().map_err(|_| Error::NOT_A_FUNCTION)? != LIBRARY {
            return Err(Error::NOT_A_FUNCTION);
        }
        let code = reader.blob().map_err(|_| Error::BAD_FUNCTIONS)?;
        made.push(make(engine(cx), &code)?);
    }
    cx.shared.scripts.change_libraries(|libraries| {
        if policy == Policy::Flush {
            *libraries = Libraries::default();
        }
        for library in &made {
            if policy == Policy::Append && libraries.by_name.contains_key(&library.name) {
                return Err(Error::new(format!("ERR Library {} already exists", library.name)));
            }
            add(libraries, library)?;
        }
        Ok(())
    })?;
    cx.changed_as_a_whole();
    cx.out.ok();
    Ok(())
}

pub fn help(cx: &mut Context, _args: Args) -> Result<(), Error> {
    const LINES: &[&str] = &[
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance of failure",
        "      in case of functions name collision with another library).",
        "HELP",
        "    Prints this help.",
    ];
    lines::write(cx, "FUNCTION", LINES);
    Ok(())
}
