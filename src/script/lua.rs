//! Lua 5.1 for the rest of this folder: its stack, functions written in Rust, a bounded allocator.
//! In: a state made by `new_state`. Out: values on its stack; no other file here touches the C interface.
//!
//! Invariants: L1, a `Lua` lives no longer than the engine that made its state. L2, nothing that a Rust function calls
//! through `Lua` may raise: tables are accessed raw, and memory is granted beyond the limit while Rust runs (the script
//! is refused the next that it wants), so that no Rust frame is jumped over. Where Lua code is called, it is called
//! protected. L3, bytes and pointers from a stack slot are used before the slot changes.
//! Absent: what scripts may do (`sandbox`), what their values mean (`convert`).

// Lua is a C library, and its interface has no safe form: it jumps over frames, and its values live on its stack.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua_sys as ffi;

/// Marks of repetition in a pattern. The library matches each by recursion: more than a million would need 64 MiB of stack.
const REPETITIONS_MAX: usize = 200_000;

/// A Lua thread of some engine (L1), and the values on its stack.
#[derive(Clone, Copy)]
pub struct Lua(*mut ffi::lua_State);

/// The value on top of the stack is an error, to be raised.
#[derive(Debug)]
pub struct Raise;

/// A function for scripts: its arguments are all that is on the stack; it answers with how many values on top it returns.
pub type Function = fn(Lua) -> Result<i32, Raise>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

/// Where a function stands: its chunk and line.
pub struct Place {
    pub source: Vec<u8>,
    pub line: i32,
}

/// The environment of what is loaded and of what runs on the main thread.
pub const GLOBALS: i32 = ffi::LUA_GLOBALSINDEX;
pub const REGISTRY: i32 = ffi::LUA_REGISTRYINDEX;

/// Instructions between two looks at the clock.
const HOOK_INSTRUCTIONS: c_int = 100_000;

/// What the allocator and the hook know; Lua's allocator carries its address, so every `Lua` finds it.
pub struct Control {
    /// Bytes that Lua holds.
    pub bytes: usize,
    /// Bytes from which on a script is ended.
    pub bytes_max: usize,
    /// Rust code runs on behalf of a script: memory must not fail (L2).
    in_rust: bool,
    /// The script must end, whatever it catches.
    pub ending: Option<Ending>,
    /// Called every so often while a script runs.
    pub on_hook: fn(&mut Control) -> Option<Ending>,
    /// What the engine hangs here.
    pub engine: *mut c_void,
}

/// Why a script ends before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// SCRIPT KILL.
    Killed,
    /// It is a library, and takes too long to load.
    Slow,
    /// It reached for a shard that is not at hand: it is to run again, with all of them.
    Widen,
}

impl Control {
    pub fn new(
        bytes_max: usize,
        on_hook: fn(&mut Control) -> Option<Ending>,
        engine: *mut c_void,
    ) -> Box<Self> {
        Box::new(Self { bytes: 0, bytes_max, in_rust: false, ending: None, on_hook, engine })
    }
}

unsafe extern "C" fn allocate(ud: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: `ud` is the control that `new_state` gave to Lua, which outlives the state (L1); Lua passes blocks that
    // came from here, with their sizes.
    unsafe {
        let control = &mut *ud.cast::<Control>();
        if new == 0 {
            control.bytes -= old;
            libmimalloc_sys::mi_free(block);
            return std::ptr::null_mut();
        }
        let total = control.bytes - old + new;
        if new > old && total > control.bytes_max && !control.in_rust {
            // Lua makes an error of it.
            return std::ptr::null_mut();
        }
        let moved = libmimalloc_sys::mi_realloc(block, new);
        if !moved.is_null() {
            control.bytes = total;
        } else if control.in_rust {
            // L2: no frame of Rust may be jumped over, and there is no memory at all.
            std::process::abort();
        }
        moved
    }
}

unsafe extern "C-unwind" fn trampoline(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: upvalue 1 was made from a `Function` by `push_function`. `lua_error` jumps over this frame only, which
    // holds nothing that must be dropped (L2).
    unsafe {
        let lua = Lua(state);
        let function = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        let function = std::mem::transmute::<*mut c_void, Function>(function);
        let control = lua.control();
        let outer = std::mem::replace(&mut control.in_rust, true);
        // Room for 20 values is there always; with thousands of arguments there may be no more.
        ffi::lua_checkstack(state, 40);
        let result = function(lua);
        lua.control().in_rust = outer;
        match result {
            Ok(count) => count,
            Err(Raise) => ffi::lua_error(state),
        }
    }
}

/// Runs the function of the string library that upvalue 1 is, unless the pattern, its second argument, would take more stack
/// than there is. Upvalue 2: a fourth argument may say that it is no pattern.
unsafe extern "C-unwind" fn match_pattern(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: upvalue 1 was made from a function by `guard_pattern`; it finds its arguments where it would without this
    // frame, which holds nothing that must be dropped (L2).
    unsafe {
        let plain = ffi::lua_toboolean(state, ffi::lua_upvalueindex(2)) & ffi::lua_toboolean(state, 4) != 0;
        if !plain && ffi::lua_type(state, 2) == ffi::LUA_TSTRING {
            let mut len = 0;
            let pattern = ffi::lua_tolstring(state, 2, &mut len);
            let pattern = std::slice::from_raw_parts(pattern.cast::<u8>(), len);
            let repeats = |byte: &&u8| b"?*+-".contains(*byte);
            if len > REPETITIONS_MAX && pattern.iter().filter(repeats).count() > REPETITIONS_MAX {
                ffi::luaL_where(state, 1);
                ffi::lua_pushstring(state, c"pattern too complex".as_ptr());
                ffi::lua_concat(state, 2);
                ffi::lua_error(state);
            }
        }
        let library = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        std::mem::transmute::<*mut c_void, ffi::lua_CFunction>(library)(state)
    }
}

unsafe extern "C-unwind" fn hook(state: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: as in `trampoline`.
    unsafe {
        let lua = Lua(state);
        let control = lua.control();
        let ending = control.ending.or_else(|| (control.on_hook)(control));
        if let Some(ending) = ending {
            control.in_rust = true;
            lua.end(ending);
            lua.control().in_rust = false;
            ffi::lua_error(state);
        }
    }
}

/// A state without any library. Close it with `close`.
pub fn new_state(control: &mut Control) -> Lua {
    control.in_rust = true;
    // SAFETY: the control outlives the state (L1).
    let state = unsafe { ffi::lua_newstate(allocate, (&raw mut *control).cast()) };
    assert!(!state.is_null(), "memory for Lua");
    control.in_rust = false;
    Lua(state)
}

impl Lua {
    pub fn close(self) {
        // SAFETY: L1: nobody uses the state any more.
        unsafe { ffi::lua_close(self.0) }
    }

    /// What allocator and hook know.
    #[allow(clippy::mut_from_ref)]
    pub fn control(&self) -> &mut Control {
        let mut ud = std::ptr::null_mut();
        // SAFETY: every state is made by `new_state`, whose control outlives it; references to it are short-lived and
        // never held across a call into Lua.
        unsafe {
            ffi::lua_getallocf(self.0, &mut ud);
            &mut *ud.cast::<Control>()
        }
    }

    /// Opens Lua's own libraries: base, table, string, math and os, as they come.
    pub fn open_libraries(self) {
        type Open = unsafe extern "C-unwind" fn(*mut ffi::lua_State) -> c_int;
        let libraries: [(&CStr, Open); 5] = [
            (c"", ffi::luaopen_base),
            (c"table", ffi::luaopen_table),
            (c"string", ffi::luaopen_string),
            (c"math", ffi::luaopen_math),
            (c"os", ffi::luaopen_os),
        ];
        for (name, open) in libraries {
            // SAFETY: what lua.h asks for: the library is opened by a call, with its name.
            unsafe {
                ffi::lua_pushcclosure(self.0, open, 0);
                ffi::lua_pushstring_(self.0, name.as_ptr());
                ffi::lua_call(self.0, 1, 0);
            }
        }
    }

    /// Runs `body` as Rust code that must not be jumped over (L2).
    pub fn in_rust<R>(self, body: impl FnOnce() -> R) -> R {
        let outer = std::mem::replace(&mut self.control().in_rust, true);
        let result = body();
        self.control().in_rust = outer;
        result
    }

    // ---- the stack ----

    pub fn top(self) -> i32 {
        // SAFETY: L1; so below, where nothing else is said.
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub fn set_top(self, top: i32) {
        unsafe { ffi::lua_settop(self.0, top) } // SAFETY: L1
    }

    pub fn pop(self, count: i32) {
        self.set_top(-count - 1);
    }

    pub fn push_value(self, at: i32) {
        unsafe { ffi::lua_pushvalue(self.0, at) } // SAFETY: L1
    }

    pub fn insert(self, at: i32) {
        unsafe { ffi::lua_insert(self.0, at) } // SAFETY: L1
    }

    pub fn remove(self, at: i32) {
        unsafe { ffi::lua_remove(self.0, at) } // SAFETY: L1
    }

    pub fn replace(self, at: i32) {
        unsafe { ffi::lua_replace(self.0, at) } // SAFETY: L1
    }

    /// Makes room for so many more values. False: there are too many.
    pub fn reserve(self, count: i32) -> bool {
        unsafe { ffi::lua_checkstack(self.0, count) != 0 } // SAFETY: L1
    }

    pub fn kind(self, at: i32) -> Kind {
        // SAFETY: L1
        match unsafe { ffi::lua_type(self.0, at) } {
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            ffi::LUA_TTHREAD => Kind::Thread,
            _ => Kind::None,
        }
    }

    pub fn is_table(self, at: i32) -> bool {
        self.kind(at) == Kind::Table
    }

    /// The name of the value's type, as errors show it.
    pub fn type_name(self, at: i32) -> &'static str {
        match self.kind(at) {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::LightUserdata | Kind::Userdata => "userdata",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Thread => "thread",
        }
    }

    pub fn boolean(self, at: i32) -> bool {
        unsafe { ffi::lua_toboolean(self.0, at) != 0 } // SAFETY: L1
    }

    /// The number, of a number or of a text that reads as one.
    pub fn number(self, at: i32) -> Option<f64> {
        // SAFETY: L1
        unsafe { (ffi::lua_isnumber(self.0, at) != 0).then(|| ffi::lua_tonumber(self.0, at)) }
    }

    /// The bytes of a string; a number becomes one where it lies (L3).
    pub fn bytes(&self, at: i32) -> Option<&[u8]> {
        let mut len = 0;
        // SAFETY: L1, L3: the bytes belong to the value on the stack.
        unsafe {
            let text = ffi::lua_tolstring(self.0, at, &mut len);
            (!text.is_null()).then(|| std::slice::from_raw_parts(text.cast(), len))
        }
    }

    pub fn is_nothing(self, at: i32) -> bool {
        matches!(self.kind(at), Kind::Nil | Kind::None)
    }

    pub fn pointer(self, at: i32) -> *const c_void {
        unsafe { ffi::lua_topointer(self.0, at) } // SAFETY: L1
    }

    /// Length of a table or a string.
    pub fn len(self, at: i32) -> usize {
        unsafe { ffi::lua_objlen(self.0, at) } // SAFETY: L1
    }

    pub fn raw_equal(self, a: i32, b: i32) -> bool {
        unsafe { ffi::lua_rawequal(self.0, a, b) != 0 } // SAFETY: L1
    }

    // ---- pushing ----

    pub fn push_nil(self) {
        unsafe { ffi::lua_pushnil(self.0) } // SAFETY: L1
    }

    pub fn push_boolean(self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.0, value as c_int) } // SAFETY: L1
    }

    pub fn push_number(self, value: f64) {
        unsafe { ffi::lua_pushnumber(self.0, value) } // SAFETY: L1
    }

    pub fn push_bytes(self, bytes: &[u8]) {
        // SAFETY: L1; Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn push_str(self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// The light userdata that stands for null.
    pub fn push_null(self) {
        unsafe { ffi::lua_pushlightuserdata(self.0, std::ptr::null_mut()) } // SAFETY: L1
    }

    pub fn is_null(self, at: i32) -> bool {
        // SAFETY: L1
        self.kind(at) == Kind::LightUserdata && unsafe { ffi::lua_touserdata(self.0, at).is_null() }
    }

    pub fn push_table(self, array: usize, fields: usize) {
        // SAFETY: L1; the sizes are hints.
        unsafe { ffi::lua_createtable(self.0, array.min(1 << 20) as c_int, fields.min(1 << 20) as c_int) }
    }

    /// A function with the `upvalues` values on top of the stack as upvalues; the first of them is number 2.
    pub fn push_closure(self, function: Function, upvalues: i32) {
        // SAFETY: L1; the trampoline takes upvalue 1 for what it is.
        unsafe {
            ffi::lua_pushlightuserdata(self.0, function as *mut c_void);
            ffi::lua_insert(self.0, -upvalues - 1);
            ffi::lua_pushcclosure(self.0, trampoline, upvalues + 1);
        }
    }

    pub fn push_function(self, function: Function) {
        self.push_closure(function, 0);
    }

    /// Puts a guard before a field of a table, which is a function of the string library that takes a pattern.
    pub fn guard_pattern(self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.get_field(table, name);
        // SAFETY: L1; the guard takes its upvalues for what they are.
        unsafe {
            let library = ffi::lua_tocfunction(self.0, -1).expect("the library is of C");
            ffi::lua_pop(self.0, 1);
            ffi::lua_pushlightuserdata(self.0, library as *mut c_void);
            ffi::lua_pushboolean(self.0, (name == "find") as c_int);
            ffi::lua_pushcclosure(self.0, match_pattern, 2);
        }
        self.set_field(table, name);
    }

    /// Where upvalue `number` of the running function lies; 1 is its own.
    pub fn upvalue(number: i32) -> i32 {
        ffi::lua_upvalueindex(number)
    }

    // ---- tables, raw (L2) ----

    /// Replaces the key on top by its value.
    pub fn get(self, table: i32) {
        unsafe { ffi::lua_rawget_(self.0, table) } // SAFETY: L1
    }

    pub fn get_index(self, table: i32, index: i32) {
        unsafe { ffi::lua_rawgeti_(self.0, table, index) } // SAFETY: L1
    }

    /// Pushes the field of that name.
    pub fn get_field(self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_str(name);
        self.get(table);
    }

    /// Sets the key below the top to the value on top, and pops both.
    pub fn set(self, table: i32) {
        unsafe { ffi::lua_rawset(self.0, table) } // SAFETY: L1
    }

    pub fn set_index(self, table: i32, index: i32) {
        unsafe { ffi::lua_rawseti_(self.0, table, index) } // SAFETY: L1
    }

    /// Sets a field to the value on top, which is popped.
    pub fn set_field(self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_str(name);
        self.insert(-2);
        self.set(table);
    }

    fn absolute(self, at: i32) -> i32 {
        if at < 0 && at > REGISTRY { self.top() + at + 1 } else { at }
    }

    /// Replaces the key on top by the next pair. False: there is none, and the key is popped.
    pub fn next(self, table: i32) -> bool {
        unsafe { ffi::lua_next(self.0, table) != 0 } // SAFETY: L1; the key came from the last call
    }

    /// Whether a key on the stack is in the table: only then may `next` be asked for what follows it.
    pub fn has_key(self, table: i32, key: i32) -> bool {
        self.push_value(key);
        self.get(table);
        let has = self.kind(-1) != Kind::Nil;
        self.pop(1);
        has
    }

    /// Sets the metatable of the value at `at` to the table on top.
    pub fn set_metatable(self, at: i32) {
        unsafe { ffi::lua_setmetatable(self.0, at) }; // SAFETY: L1
    }

    pub fn get_metatable(self, at: i32) -> bool {
        unsafe { ffi::lua_getmetatable(self.0, at) != 0 } // SAFETY: L1
    }

    /// Keeps the value on top under a number.
    pub fn keep(self) -> i32 {
        unsafe { ffi::luaL_ref(self.0, REGISTRY) } // SAFETY: L1
    }

    pub fn push_kept(self, number: i32) {
        self.get_index(REGISTRY, number);
    }

    pub fn let_go(self, number: i32) {
        unsafe { ffi::luaL_unref(self.0, REGISTRY, number) } // SAFETY: L1
    }

    /// The table on top becomes the environment of what is loaded from now on; it is popped.
    pub fn set_globals(self) {
        self.replace(GLOBALS);
    }

    // ---- code ----

    /// Compiles a chunk of text and pushes its function, or the error.
    pub fn load(self, code: &[u8], name: &CStr) -> bool {
        let text: &[u8] = match code.first() {
            // Never as byte code, which could do anything.
            Some(0x1b) => &[b" ", code].concat(),
            _ => code,
        };
        // SAFETY: L1; loading is protected by Lua itself.
        unsafe { ffi::luaL_loadbuffer(self.0, text.as_ptr().cast(), text.len(), name.as_ptr()) == 0 }
    }

    /// The byte code of the function on top.
    pub fn dump(self) -> Option<Vec<u8>> {
        unsafe extern "C-unwind" fn write(
            _: *mut ffi::lua_State,
            bytes: *const c_void,
            len: usize,
            out: *mut c_void,
        ) -> c_int {
            // SAFETY: Lua passes what it was given, and bytes of that length.
            unsafe {
                (*out.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes.cast(), len))
            };
            0
        }
        let mut code = Vec::new();
        // SAFETY: L1; the writer takes the vector for what it is.
        let done = unsafe { ffi::lua_dump_(self.0, write, (&raw mut code).cast()) == 0 };
        done.then_some(code)
    }

    /// Collects all garbage.
    pub fn collect(self) {
        unsafe { ffi::lua_gc(self.0, ffi::LUA_GCCOLLECT, 0) }; // SAFETY: L1; nothing has a finalizer
    }

    /// Calls the function below its `arguments`, in Lua's protected mode; `handler` is the place of a function that sees
    /// an error where it is raised, or 0. False: the error is on top instead of the results.
    pub fn call(self, arguments: i32, results: i32, handler: i32) -> bool {
        let outer = std::mem::replace(&mut self.control().in_rust, false);
        // SAFETY: L1; what runs may raise, and is caught here.
        let done = unsafe { ffi::lua_pcall(self.0, arguments, results, handler) == 0 };
        self.control().in_rust = outer;
        done
    }

    /// Looks at the clock every so often from now on.
    pub fn watch(self) {
        // SAFETY: L1; the hook is as Lua wants it.
        unsafe { ffi::lua_sethook(self.0, Some(hook), ffi::LUA_MASKCOUNT, HOOK_INSTRUCTIONS) };
    }

    /// The script has to end: from now on every instruction raises, so that nothing can catch it. Pushes the error.
    pub fn end(self, ending: Ending) -> Raise {
        self.control().ending = Some(ending);
        // SAFETY: L1
        unsafe { ffi::lua_sethook(self.0, Some(hook), ffi::LUA_MASKCOUNT, 1) };
        self.push_str(match ending {
            Ending::Killed => "Script killed by user with SCRIPT KILL.",
            Ending::Slow => "FUNCTION LOAD timeout",
            Ending::Widen => "another shard",
        });
        Raise
    }

    /// Where the function `level` calls up the stack stands; `c`: whether it is none of Lua's.
    pub fn place(self, level: i32) -> Option<(Place, bool)> {
        // SAFETY: L1; the record is plain numbers and pointers, for which zero is a value, and Lua fills it.
        unsafe {
            let mut debug: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.0, level, &mut debug) == 0 {
                return None;
            }
            ffi::lua_getinfo(self.0, c"Sl".as_ptr(), &mut debug);
            let is_c = *debug.what as u8 == b'C';
            let source = CStr::from_ptr(debug.source).to_bytes().to_vec();
            Some((Place { source, line: debug.currentline }, is_c))
        }
    }

    /// The name by which the running function was called.
    fn called_as(self) -> String {
        // SAFETY: as in `place`.
        unsafe {
            let mut debug: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.0, 0, &mut debug) == 0 {
                return "?".into();
            }
            ffi::lua_getinfo(self.0, c"n".as_ptr(), &mut debug);
            match debug.name.is_null() {
                true => "?".into(),
                false => CStr::from_ptr(debug.name).to_string_lossy().into_owned(),
            }
        }
    }

    /// An error with the place of the running function's caller in front.
    pub fn error(self, text: impl AsRef<[u8]>) -> Raise {
        // SAFETY: L1; the text is pushed and joined on the stack.
        unsafe {
            ffi::luaL_where(self.0, 1);
            self.push_bytes(text.as_ref());
            ffi::lua_concat(self.0, 2);
        }
        Raise
    }

    /// Argument `number` of the running function is wrong.
    pub fn bad_argument(self, number: i32, why: impl AsRef<[u8]>) -> Raise {
        let place = format!("bad argument #{number} to '{}' (", self.called_as());
        self.error([place.as_bytes(), why.as_ref(), b")"].concat())
    }

    pub fn wrong_type(self, number: i32, wanted: &str) -> Raise {
        self.bad_argument(number, format!("{wanted} expected, got {}", self.type_name(number)))
    }

    /// Argument `number`, which must be a number.
    pub fn check_number(self, number: i32) -> Result<f64, Raise> {
        self.number(number).ok_or_else(|| self.wrong_type(number, "number"))
    }

    pub fn check_integer(self, number: i32) -> Result<i64, Raise> {
        Ok(self.check_number(number)? as i64)
    }

    /// Argument `number`, which must be a string (L3).
    pub fn check_bytes(&self, number: i32) -> Result<&[u8], Raise> {
        match self.kind(number) {
            Kind::String | Kind::Number => Ok(self.bytes(number).expect("it is a string")),
            _ => Err(self.wrong_type(number, "string")),
        }
    }

    /// Whether both values are functions written in Rust, and the same one.
    pub fn same_function(self, a: i32, b: i32) -> bool {
        // SAFETY: L1; upvalue 1 of a function that the trampoline runs is a `Function`.
        let function = |at| unsafe {
            if ffi::lua_tocfunction(self.0, at)
                .is_none_or(|run| run as usize != trampoline as *const () as usize)
            {
                return None;
            }
            ffi::lua_getupvalue(self.0, at, 1);
            let address = ffi::lua_touserdata(self.0, -1);
            self.pop(1);
            Some(address)
        };
        let (a, b) = (function(a), function(b));
        a.is_some() && a == b
    }
}

/// Writes a number as C's `%.*g` does.
pub fn write_g(out: &mut Vec<u8>, value: f64, digits: usize) {
    let mut text = [0 as c_char; 64];
    // SAFETY: the buffer is as long as the call is told, and `%.*g` of at most 20 digits fits.
    let len = unsafe {
        libc::snprintf(text.as_mut_ptr(), text.len(), c"%.*g".as_ptr(), digits.min(20) as c_int, value)
    };
    out.extend(text[..(len.max(0) as usize).min(63)].iter().map(|&c| c as u8));
}

/// Reads a number as C's `strtod` does: its value and how many bytes it took.
pub fn read_number(text: &[u8]) -> (f64, usize) {
    let mut copy = text[..text.len().min(512)].to_vec();
    copy.push(0);
    let mut end = std::ptr::null_mut();
    // SAFETY: the copy ends with a NUL byte, and `end` points into it.
    unsafe {
        let value = libc::strtod(copy.as_ptr().cast(), &mut end);
        (value, end.cast_const().cast::<u8>().offset_from(copy.as_ptr()) as usize)
    }
}
