//! A core's Lua: compiles scripts, runs them on a stack of their own, so that one that takes long can be parked.
//! In: scripts with their keys and arguments, a `Host` to run their commands. Out: replies.
//!
//! Invariants: E1, at most one script runs in an engine at a time. E2, the host is reachable only while `start` or
//! `go_on` has it borrowed; a parked script reaches nothing. E3, whatever a script left on Lua's stack is gone before
//! the next one begins.
//! Absent: which shards a script gets (`commands::script`), its commands (`host`).

// Functions that Lua calls find their engine, and the host of the moment, by address.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::host::{Host, Pause};
use super::library::Registration;
use super::lua::{Control, Ending, Kind, Lua, new_state};
use super::proof::{self, FindKeys};
use super::random::Rand48;
use super::sandbox::{Environments, build};
use super::table::{Libraries, Library, Reach, Script, Scripts, Sha};
use super::{cjson, convert};
use crate::client::Args;
use crate::resp::{Out, Span};

/// Memory that a core's scripts may hold together.
const BYTES_MAX: usize = 512 << 20;
/// A script that leaves more than this behind has it collected at once.
const GARBAGE_BYTES_MAX: usize = 64 << 20;
/// The stack that scripts, and the commands that they call, run on. Lua matches patterns by recursion, once for each `?` or
/// `*`: a pattern of a million of them fits. Memory is taken only where the stack was used.
const STACK_BYTES: usize = 64 << 20;
/// Bodies of EVAL that are found again without computing their digest.
const BODIES_MAX: usize = 512;

/// Why a fiber came back.
enum Event {
    Done,
    Parked,
    Asks,
}

/// How a run ended, or did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Done,
    /// It takes long: call `go_on` after other work.
    Parked,
    /// A command that it called asks another server: call `go_on` with the answer at hand.
    Asks,
    /// It has to have all shards, which are not at hand: nothing was changed, and it is to run again with them.
    OutOfReach,
}

/// What runs now, and what functions called by scripts need.
pub struct Run {
    lua: Lua,
    host: Option<NonNull<dyn Host>>,
    yielder: *const Yielder<(), Event>,
    /// Arguments of the function called on the fiber, and the place of its error handler.
    arguments: i32,
    handler: i32,
    succeeded: bool,
    /// The script asked for replies in RESP3.
    pub resp3: bool,
    pub random: Rand48,
    pub json: cjson::Config,
    /// Arguments of a command being called.
    pub buf: Vec<u8>,
    pub spans: Vec<Span>,
    pub reply: Vec<u8>,
    /// Set while a library loads.
    pub registration: Option<Registration>,
}

impl Run {
    /// Whoever runs the script.
    pub fn host(&mut self) -> &mut dyn Host {
        self.host_if_any().expect("E2: commands are called while the script runs")
    }

    /// Lets the host have the arguments that were collected.
    pub fn ask_host<R>(&mut self, ask: impl FnOnce(&mut dyn Host, Args) -> R) -> R {
        let mut host = self.host.expect("E2: commands are called while the script runs");
        // SAFETY: as in `host_if_any`.
        ask(unsafe { host.as_mut() }, Args::new(&self.buf, &self.spans))
    }

    pub fn host_if_any(&mut self) -> Option<&mut dyn Host> {
        // SAFETY: E2: `start` and `go_on` set it to what they have borrowed, and clear it before they return.
        self.host.map(|mut host| unsafe { host.as_mut() })
    }
}

/// The run of the engine that a Lua thread belongs to.
pub fn run_of<'a>(lua: Lua) -> &'a mut Run {
    // SAFETY: the engine put its boxed run there, which outlives the state; references are short-lived, and the
    // functions that take them run one at a time, on one thread.
    unsafe { &mut *lua.control().engine.cast::<Run>() }
}

/// Leaves the fiber, on which a command is being called, until the script goes on.
pub fn rest(lua: Lua) {
    let yielder = run_of(lua).yielder;
    // SAFETY: commands are called on the fiber whose yielder this is.
    unsafe { (*yielder).suspend(Event::Asks) };
}

/// A script compiled by this core. It is counted by this core alone, which costs others nothing.
pub struct Local {
    pub script: Arc<Script>,
    function: i32,
}

/// A library loaded by this core: the functions that it registered.
struct Loaded {
    library: Arc<Library>,
    functions: HashMap<String, i32>,
}

struct Machine {
    lua: Lua,
    fiber: Coroutine<(), Event, ()>,
    environments: Environments,
    run: Box<Run>,
    /// Kept for Lua's allocator.
    _control: Box<Control>,
}

/// A core's Lua; made when it is first needed.
pub struct Engine {
    machine: Option<Machine>,
    compiled: HashMap<Sha, Rc<Local>, ahash::RandomState>,
    bodies: HashMap<Box<[u8]>, Rc<Local>, ahash::RandomState>,
    epoch: u64,
    loaded: HashMap<String, Loaded>,
}

fn on_hook(control: &mut Control) -> Option<Ending> {
    // SAFETY: as in `run_of`.
    let run = unsafe { &mut *control.engine.cast::<Run>() };
    if let Some(registration) = &run.registration {
        return registration.takes_too_long().then_some(Ending::Slow);
    }
    match run.host_if_any()?.pause() {
        Pause::GoOn => None,
        Pause::Kill => Some(Ending::Killed),
        Pause::Widen => Some(Ending::Widen),
        Pause::Park => {
            // SAFETY: the hook runs on the fiber whose yielder this is.
            unsafe { (*run.yielder).suspend(Event::Parked) };
            (run.host_if_any()?.pause() == Pause::Kill).then_some(Ending::Killed)
        }
    }
}

/// The fiber: runs what stands on Lua's stack, again and again.
fn fiber(run: *mut Run) -> Coroutine<(), Event, ()> {
    let stack = DefaultStack::new(STACK_BYTES).expect("memory for the stack of scripts");
    let run = run as usize;
    Coroutine::with_stack(stack, move |yielder, ()| {
        loop {
            // SAFETY: the run outlives the fiber, and nobody else looks at it while the fiber runs.
            let run = unsafe { &mut *(run as *mut Run) };
            run.yielder = yielder;
            run.succeeded = run.lua.call(run.arguments, 1, run.handler);
            yielder.suspend(Event::Done);
        }
    })
}

impl Machine {
    fn new() -> Self {
        let mut control = Control::new(BYTES_MAX, on_hook, std::ptr::null_mut());
        let lua = new_state(&mut control);
        let mut run = Box::new(Run {
            lua,
            host: None,
            yielder: std::ptr::null(),
            arguments: 0,
            handler: 0,
            succeeded: false,
            resp3: false,
            random: Rand48::default(),
            json: cjson::Config::default(),
            buf: Vec::new(),
            spans: Vec::new(),
            reply: Vec::new(),
            registration: None,
        });
        control.engine = (&raw mut *run).cast::<c_void>();
        let environments = lua.in_rust(|| {
            lua.open_libraries();
            let environments = build(lua);
            lua.push_kept(environments.eval);
            lua.set_globals();
            environments
        });
        let fiber = fiber(&raw mut *run);
        Self { lua, fiber, environments, run, _control: control }
    }

    /// Runs the function below its `arguments` on the stack, with a handler of errors below it.
    fn start(&mut self, arguments: i32, host: &mut dyn Host) -> Status {
        self.run.arguments = arguments;
        self.run.handler = self.lua.top() - arguments - 1;
        self.run.resp3 = false;
        self.lua.watch();
        self.go_on(host)
    }

    fn go_on(&mut self, host: &mut dyn Host) -> Status {
        // SAFETY: E2: the lifetime is forgotten until the pointer is, a few lines below.
        let forgotten = unsafe { std::mem::transmute::<&mut dyn Host, &'static mut dyn Host>(host) };
        self.run.host = Some(NonNull::from(forgotten));
        let event = self.fiber.resume(());
        self.run.host = None;
        match event {
            CoroutineResult::Yield(Event::Parked) => Status::Parked,
            CoroutineResult::Yield(Event::Asks) => Status::Asks,
            CoroutineResult::Yield(Event::Done) if self.lua.control().ending == Some(Ending::Widen) => {
                self.clear();
                Status::OutOfReach
            }
            CoroutineResult::Yield(Event::Done) => Status::Done,
            CoroutineResult::Return(()) => unreachable!("the fiber never ends"),
        }
    }

    /// E3: nothing of the last script is left.
    fn clear(&mut self) {
        self.lua.control().ending = None;
        self.lua.set_top(0);
        if self.lua.control().bytes > GARBAGE_BYTES_MAX {
            self.lua.in_rust(|| self.lua.collect());
        }
    }

    /// Pushes the arguments as a table.
    fn push_list(&self, args: Args) {
        self.lua.push_table(args.len(), 0);
        for (at, arg) in args.iter().enumerate() {
            self.lua.push_bytes(arg);
            self.lua.set_index(-2, at as i32 + 1);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.fiber.started() && !self.fiber.done() {
            // SAFETY: what is on the fiber's stack is either Lua's, and freed with its state, or nothing that must be
            // dropped: it stands in its loop, in the hook of a parked script, or in a command's call with its reply's buffer.
            unsafe { self.fiber.force_reset() };
        }
        self.lua.close();
    }
}

/// The error of a run, as it is answered.
pub struct Failure {
    pub text: Vec<u8>,
    /// It was counted when it came about.
    pub counted: bool,
}

impl Engine {
    /// An engine without a machine yet, whose tables are hashed from `seed`.
    pub fn new(seed: u64) -> Self {
        let seeded =
            || ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), seed.rotate_left(17));
        Self {
            machine: None,
            compiled: HashMap::with_hasher(seeded()),
            bodies: HashMap::with_hasher(seeded()),
            epoch: 0,
            loaded: HashMap::new(),
        }
    }

    fn machine(&mut self) -> &mut Machine {
        self.machine.get_or_insert_with(Machine::new)
    }

    /// Bytes that Lua holds.
    pub fn bytes(&self) -> usize {
        self.machine.as_ref().map_or(0, |machine| machine.lua.control().bytes)
    }

    /// T1: forgets what was compiled before the last flush.
    fn refresh(&mut self, scripts: &Scripts) {
        if self.epoch == scripts.epoch() {
            return;
        }
        self.epoch = scripts.epoch();
        if let Some(machine) = &self.machine {
            self.compiled.values().for_each(|compiled| machine.lua.let_go(compiled.function));
        }
        self.compiled.clear();
        self.bodies.clear();
    }

    /// How far the script of that name reaches, without compiling anything.
    pub fn reach(&self, sha: &Sha, scripts: &Scripts) -> Reach {
        match self.compiled.get(sha) {
            Some(local) if self.epoch == scripts.epoch() => local.script.reach(),
            _ => scripts.find(sha).map_or(Reach::Unknown, |script| script.reach()),
        }
    }

    /// The same of a body; Unknown also where this core has not seen it yet.
    pub fn reach_of_body(&self, body: &[u8], scripts: &Scripts) -> Reach {
        let local = self.bodies.get(body).filter(|_| self.epoch == scripts.epoch());
        local.map_or(Reach::Unknown, |local| local.script.reach())
    }

    /// The script of that name, compiled, if the server knows it.
    pub fn find(&mut self, sha: &Sha, scripts: &Scripts, find_keys: FindKeys) -> Option<Rc<Local>> {
        self.refresh(scripts);
        match self.compiled.get(sha) {
            Some(local) => Some(local.clone()),
            None => self.compile(&scripts.find(sha)?, find_keys).ok(),
        }
    }

    /// The script of a body, which becomes known to the server; the error says why it cannot be compiled.
    pub fn add(&mut self, body: &[u8], scripts: &Scripts, find_keys: FindKeys) -> Result<Rc<Local>, Vec<u8>> {
        self.refresh(scripts);
        if let Some(local) = self.bodies.get(body) {
            return Ok(local.clone());
        }
        let script = match scripts.find(&crate::base::sha1::sha1_hex(body)) {
            Some(script) => script,
            None => Arc::new(Script::new(body)?),
        };
        let local = self.compile(&script, find_keys)?;
        scripts.add(script);
        if self.bodies.len() >= BODIES_MAX {
            self.bodies.clear();
        }
        self.bodies.insert(body.into(), local.clone());
        Ok(local)
    }

    /// The script as this core runs it.
    fn compile(&mut self, script: &Arc<Script>, find_keys: FindKeys) -> Result<Rc<Local>, Vec<u8>> {
        if let Some(local) = self.compiled.get(&script.sha) {
            return Ok(local.clone());
        }
        let lua = self.machine().lua;
        let function = lua.in_rust(|| {
            if !lua.load(script.code(), c"@user_script") {
                let why = [b"Error compiling script (new function): ", lua.bytes(-1).unwrap_or(b"")].concat();
                lua.set_top(0);
                return Err(why);
            }
            if script.reach() == Reach::Unknown {
                let stays = lua.dump().is_some_and(|code| proof::stays_with_its_keys(&code, find_keys));
                script.set_reach(if stays { Reach::Proven } else { Reach::Hopeful });
            }
            Ok(lua.keep())
        })?;
        let local = Rc::new(Local { script: script.clone(), function });
        self.compiled.insert(script.sha, local.clone());
        Ok(local)
    }

    /// Runs a script.
    pub fn eval(&mut self, local: &Local, keys: Args, argv: Args, host: &mut dyn Host) -> Status {
        let machine = self.machine();
        let lua = machine.lua;
        lua.in_rust(|| {
            lua.push_kept(machine.environments.eval_globals);
            for (name, list) in [("KEYS", keys), ("ARGV", argv)] {
                machine.push_list(list);
                lua.set_field(1, name);
            }
            lua.push_kept(machine.environments.handler);
            lua.replace(1);
            lua.push_kept(local.function);
        });
        machine.start(0, host)
    }

    /// Runs a function of a library, which is loaded at need.
    pub fn call(
        &mut self,
        library: &Arc<Library>,
        function: &str,
        keys: Args,
        argv: Args,
        host: &mut dyn Host,
    ) -> Result<Status, Vec<u8>> {
        let current = self.loaded.get(&library.name);
        if current.is_none_or(|loaded| !Arc::ptr_eq(&loaded.library, library)) {
            let (registered, numbers) = self.run_library(&library.code)?;
            let names = registered.into_iter().map(|function| function.name);
            let functions = names.zip(numbers).collect();
            self.keep_library(library.clone(), functions);
        }
        let loaded = &self.loaded[&library.name];
        let number = *loaded.functions.get(function).ok_or("Function not found")?;
        let machine = self.machine();
        let lua = machine.lua;
        lua.in_rust(|| {
            machine.enter_functions(machine.environments.function_globals);
            lua.push_kept(machine.environments.handler);
            lua.push_kept(number);
            machine.push_list(keys);
            machine.push_list(argv);
        });
        Ok(machine.start(2, host))
    }

    fn keep_library(&mut self, library: Arc<Library>, functions: HashMap<String, i32>) {
        let name = library.name.clone();
        if let Some(old) = self.loaded.insert(name, Loaded { library, functions }) {
            self.let_go(old);
        }
    }

    fn let_go(&mut self, old: Loaded) {
        if let Some(machine) = &self.machine {
            old.functions.values().for_each(|number| machine.lua.let_go(*number));
        }
    }

    /// Forgets the libraries that are no more.
    pub fn forget_libraries(&mut self, now: &Libraries) {
        let gone: Vec<String> =
            self.loaded.keys().filter(|name| !now.by_name.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(old) = self.loaded.remove(&name) {
                self.let_go(old);
            }
        }
    }

    /// Runs a library's code to learn which functions it registers. It runs once more where they are first called.
    pub fn load(&mut self, code: &[u8]) -> Result<Vec<super::table::Function>, Vec<u8>> {
        let (functions, numbers) = self.run_library(code)?;
        let lua = self.machine().lua;
        numbers.iter().for_each(|number| lua.let_go(*number));
        Ok(functions)
    }

    /// The functions that a library's code registers, and their numbers here.
    fn run_library(&mut self, code: &[u8]) -> Result<(Vec<super::table::Function>, Vec<i32>), Vec<u8>> {
        let machine = self.machine();
        let lua = machine.lua;
        let code = &code[memchr::memchr(b'\n', code).unwrap_or(code.len())..];
        lua.in_rust(|| machine.enter_functions(machine.environments.load_globals));
        machine.run.registration = Some(Registration::begin());
        let result = machine.run_library(code);
        let registration = machine.run.registration.take().expect("it was put there");
        lua.in_rust(|| machine.leave_functions());
        machine.clear();
        match result {
            Ok(()) => Ok(registration.finish()),
            Err(why) => {
                registration.numbers().iter().for_each(|number| lua.let_go(*number));
                Err(why)
            }
        }
    }

    /// Goes on with the script that was parked.
    pub fn go_on(&mut self, host: &mut dyn Host) -> Status {
        self.machine().go_on(host)
    }

    /// Writes the reply of the run that is done. True: it is an error that was counted when it came about.
    pub fn finish(&mut self, name: &[u8], out: &mut Out) -> Result<bool, Failure> {
        let machine = self.machine();
        let (lua, resp3) = (machine.lua, machine.run.resp3);
        let result = match machine.run.succeeded {
            true => {
                let counted = lua.in_rust(|| is_counted(lua));
                lua.in_rust(|| convert::write_value(lua, out, resp3));
                Ok(counted)
            }
            false => Err(lua.in_rust(|| failure(lua, name))),
        };
        lua.in_rust(|| machine.leave_functions());
        machine.clear();
        result
    }
}

impl Machine {
    /// What runs next is a function, or the code of a library, with those globals.
    fn enter_functions(&self, globals: i32) {
        let lua = self.lua;
        lua.push_kept(self.environments.function_meta);
        lua.push_kept(globals);
        lua.set_field(-2, "__index");
        lua.pop(1);
        lua.push_kept(self.environments.function);
        lua.set_globals();
    }

    fn leave_functions(&self) {
        self.lua.push_kept(self.environments.eval);
        self.lua.set_globals();
    }

    /// Compiles and runs the code of a library. It runs where it is loaded, not on the fiber: it calls no commands.
    fn run_library(&self, code: &[u8]) -> Result<(), Vec<u8>> {
        let lua = self.lua;
        let text = |lua: Lua, prefix: &[u8]| {
            if lua.is_table(-1) {
                lua.get_field(-1, "err");
            }
            [prefix, lua.bytes(-1).unwrap_or(b"")].concat()
        };
        lua.in_rust(|| lua.push_kept(self.environments.handler));
        if !lua.in_rust(|| lua.load(code, c"@user_function")) {
            return Err(lua.in_rust(|| text(lua, b"Error compiling function: ")));
        }
        lua.watch();
        match lua.call(0, 0, 1) {
            true => Ok(()),
            false => Err(lua.in_rust(|| text(lua, b"Error registering functions: "))),
        }
    }
}

/// Whether the value on top is an error that was counted when it came about.
fn is_counted(lua: Lua) -> bool {
    if !lua.is_table(-1) {
        return false;
    }
    lua.get_field(-1, "ignore_error_stats_update");
    let counted = lua.boolean(-1);
    lua.pop(1);
    counted
}

/// The error on top as it is answered: with the script's name, and the place where it was raised.
fn failure(lua: Lua, name: &[u8]) -> Failure {
    if !lua.is_table(-1) {
        let why = lua.bytes(-1).unwrap_or(b"unknown error").to_vec();
        return Failure { text: [b"ERR ", why.as_slice()].concat(), counted: false };
    }
    let counted = is_counted(lua);
    let field = |name| {
        lua.get_field(-1, name);
        let text = matches!(lua.kind(-1), Kind::String | Kind::Number)
            .then(|| lua.bytes(-1).expect("it is one").to_vec());
        lua.pop(1);
        text
    };
    let mut text = field("err").map_or(b"ERR unknown error".to_vec(), |err| convert::c_text(&err).to_vec());
    if let (Some(source), Some(line)) = (field("source"), field("line")) {
        text.extend_from_slice(b" script: ");
        text.extend_from_slice(name);
        text.extend_from_slice(b", on ");
        text.extend_from_slice(&source);
        text.push(b':');
        text.extend_from_slice(&line);
        text.push(b'.');
    }
    Failure { text, counted }
}
