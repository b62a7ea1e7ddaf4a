//! Proves of a script that it touches none but its declared keys, whatever happens.
//! In: the script's byte code. Out: yes, or: not proven.
//!
//! **Why.** A script that has written cannot be begun anew, so whoever runs it with less than all shards must know
//! before its first write that it will ask for nothing else. Having stayed with its keys so far says nothing about the
//! next run. So there are two ways for a script to run with the shards of its declared keys alone:
//!
//! 1. it is proven: each call of a command takes its keys from KEYS;
//! 2. it has not written yet: a script that is not proven is begun hopefully, and where it wants to write, or reaches
//!    beyond its shards, it is ended (nothing can catch that), nothing having changed, and begins anew with all shards.
//!
//! A script of the second kind is remembered as wide, so that it pays once.
//!
//! **How.** Each function of the chunk is interpreted over abstract values: the `redis` table, `redis.call`, the table
//! KEYS, a key (an element of KEYS), a constant text, anything else. Registers are followed along every path, and joined
//! where paths meet. The proof fails where
//! - a command is called that is not a constant, or one of whose keys is not a key, or whose keys no rule finds;
//! - `redis`, `redis.call` or KEYS get where they are not followed: into a table, a variable of an outer function, a
//!   function's arguments (but for `ipairs(KEYS)` and `unpack(KEYS)`), or where two paths disagree about them;
//! - KEYS is changed, or a global is used that could lead to one of these by another way (`_G`, `loadstring` …).
//!
//! Lua itself made the byte code, and runs it: there is no second reading of the language that could differ. The
//! instructions are those of Lua 5.1's `lopcodes.h`, the format that of its `ldump.c`.

/// Where the keys of a command are among its arguments, its name being argument 0.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange {
    pub first: usize,
    /// Negative: counted from the end.
    pub last: i32,
    pub step: usize,
}

/// Tells where a command's keys are; None: no simple rule does, or the command looks at more than its keys.
pub type FindKeys<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<KeyRange>>;

/// Globals that lead nowhere else.
const HARMLESS: &[&str] = &[
    "ARGV",
    "_VERSION",
    "assert",
    "bit",
    "cjson",
    "cmsgpack",
    "coroutine",
    "error",
    "math",
    "next",
    "os",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "struct",
    "table",
    "tonumber",
    "tostring",
    "type",
    "xpcall",
];

/// What a register holds, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    /// Nothing that must be followed.
    Other,
    Redis,
    Call,
    Keys,
    Key,
    /// The constant of that number, a string.
    Text(usize),
    Ipairs,
    Unpack,
    /// What `ipairs(KEYS)` iterates with.
    NextKey,
    /// Paths disagree, and on one of them it is `redis`, `redis.call` or KEYS.
    Mixed,
}

impl Is {
    /// It must not get where it is not followed.
    fn is_guarded(self) -> bool {
        matches!(self, Is::Redis | Is::Call | Is::Keys | Is::Mixed)
    }

    fn join(self, other: Is) -> Is {
        match () {
            () if self == other => self,
            () if self.is_guarded() || other.is_guarded() => Is::Mixed,
            () => Is::Other,
        }
    }
}

enum Constant {
    Other,
    Text(Vec<u8>),
}

struct Function {
    parameters: usize,
    registers: usize,
    code: Vec<u32>,
    constants: Vec<Constant>,
    inner: Vec<Function>,
    upvalues: usize,
}

/// Whether the chunk touches nothing but its declared keys.
pub fn stays_with_its_keys(code: &[u8], find_keys: FindKeys) -> bool {
    let mut reader = Reader { bytes: code };
    let Some(main) = reader.chunk() else { return false };
    main.is_safe(find_keys, main.sets_outer_variables(), true).is_some()
}

// ---- reading byte code ----

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(..count)?;
        self.bytes = &self.bytes[count..];
        Some(taken)
    }

    fn byte(&mut self) -> Option<usize> {
        Some(self.take(1)?[0] as usize)
    }

    fn int(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let len = u64::from_le_bytes(self.take(8)?.try_into().ok()?) as usize;
        let bytes = self.take(len)?;
        Some(bytes.split_last().map_or(Vec::new(), |(_, text)| text.to_vec()))
    }

    /// A list: its count, then as many elements.
    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.int()?;
        (0..count).map(|_| element(self)).collect()
    }

    /// The header of Lua 5.1 on a 64-bit little-endian machine, then the main function.
    fn chunk(&mut self) -> Option<Function> {
        (self.take(12)? == b"\x1bLua\x51\0\x01\x04\x08\x04\x08\0").then(|| self.function())?
    }

    fn function(&mut self) -> Option<Function> {
        self.text()?;
        self.take(8)?;
        let (upvalues, parameters) = (self.byte()?, self.byte()?);
        self.byte()?;
        let registers = self.byte()?;
        let code = self.list(Self::int)?;
        let constants = self.list(Self::constant)?;
        let inner = self.list(Self::function)?;
        self.list(Self::int)?;
        self.list(|reader| {
            reader.text()?;
            reader.take(8)
        })?;
        self.list(Self::text)?;
        Some(Function { parameters, registers, code, constants, inner, upvalues })
    }

    fn constant(&mut self) -> Option<Constant> {
        Some(match self.byte()? {
            0 => Constant::Other,
            1 => self.take(1).map(|_| Constant::Other)?,
            3 => self.take(8).map(|_| Constant::Other)?,
            4 => Constant::Text(self.text()?),
            _ => return None,
        })
    }
}

// ---- instructions ----

/// One instruction: its operation and operands.
#[derive(Clone, Copy)]
struct Instruction(u32);

impl Instruction {
    fn operation(self) -> u32 {
        self.0 & 0x3f
    }

    fn a(self) -> usize {
        (self.0 >> 6 & 0xff) as usize
    }

    fn b(self) -> usize {
        (self.0 >> 23) as usize
    }

    fn c(self) -> usize {
        (self.0 >> 14 & 0x1ff) as usize
    }

    fn bx(self) -> usize {
        (self.0 >> 14) as usize
    }

    /// A distance to jump.
    fn sbx(self) -> i64 {
        self.bx() as i64 - 131_071
    }
}

/// Operands from here on are constants.
const CONSTANT: usize = 256;

mod op {
    pub const MOVE: u32 = 0;
    pub const LOADK: u32 = 1;
    pub const LOADBOOL: u32 = 2;
    pub const LOADNIL: u32 = 3;
    pub const GETUPVAL: u32 = 4;
    pub const GETGLOBAL: u32 = 5;
    pub const GETTABLE: u32 = 6;
    pub const SETGLOBAL: u32 = 7;
    pub const SETUPVAL: u32 = 8;
    pub const SETTABLE: u32 = 9;
    pub const NEWTABLE: u32 = 10;
    pub const SELF: u32 = 11;
    pub const ADD: u32 = 12;
    pub const POW: u32 = 17;
    pub const UNM: u32 = 18;
    pub const NOT: u32 = 19;
    pub const LEN: u32 = 20;
    pub const CONCAT: u32 = 21;
    pub const JMP: u32 = 22;
    pub const EQ: u32 = 23;
    pub const TEST: u32 = 26;
    pub const TESTSET: u32 = 27;
    pub const CALL: u32 = 28;
    pub const TAILCALL: u32 = 29;
    pub const RETURN: u32 = 30;
    pub const FORLOOP: u32 = 31;
    pub const FORPREP: u32 = 32;
    pub const TFORLOOP: u32 = 33;
    pub const SETLIST: u32 = 34;
    pub const CLOSE: u32 = 35;
    pub const CLOSURE: u32 = 36;
    pub const VARARG: u32 = 37;
}

/// What is known before an instruction.
#[derive(Clone, PartialEq, Eq)]
struct State {
    registers: Vec<Is>,
    /// The values from that register on, as many as the last call returned.
    open: Option<(usize, Is)>,
}

impl State {
    /// Joins another path; true if anything is less known than before.
    fn join(&mut self, other: &State) -> bool {
        let before = self.clone();
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = mine.join(*theirs);
        }
        self.open = match (self.open, other.open) {
            (Some((at, mine)), Some((same, theirs))) if at == same => Some((at, mine.join(theirs))),
            _ => None,
        };
        *self != before
    }

    /// A register read by something that does not follow what it reads. None: the proof fails.
    fn plain(&self, register: usize) -> Option<Is> {
        self.registers.get(register).copied().filter(|is| !is.is_guarded())
    }

    /// The same of an operand that may be a constant.
    fn plain_operand(&self, operand: usize) -> Option<()> {
        if operand < CONSTANT {
            self.plain(operand)?;
        }
        Some(())
    }

    fn set(&mut self, register: usize, is: Is) -> Option<()> {
        *self.registers.get_mut(register)? = is;
        Some(())
    }

    /// What a call leaves in the registers from its function's on.
    fn forget_from(&mut self, register: usize) {
        self.registers.iter_mut().skip(register).for_each(|is| *is = Is::Other);
    }
}

impl Function {
    /// Whether any function of the chunk sets variables of the function around it.
    fn sets_outer_variables(&self) -> bool {
        self.code.iter().any(|&word| Instruction(word).operation() == op::SETUPVAL)
            || self.inner.iter().any(Function::sets_outer_variables)
    }

    fn text(&self, constant: usize) -> Option<&[u8]> {
        match self.constants.get(constant)? {
            Constant::Text(text) => Some(text),
            Constant::Other => None,
        }
    }

    /// None: not proven. `shared`: inner functions may change the variables that they share with this one.
    fn is_safe(&self, find_keys: FindKeys, shared: bool, main: bool) -> Option<()> {
        for inner in &self.inner {
            inner.is_safe(find_keys, shared, false)?;
        }
        let count = self.code.len();
        let mut states: Vec<Option<State>> = vec![None; count];
        let entry = State { registers: vec![Is::Other; self.registers.max(self.parameters)], open: None };
        let mut work = vec![(0, entry)];
        while let Some((at, state)) = work.pop() {
            let place = states.get_mut(at)?;
            let changed = match place {
                Some(known) => known.join(&state),
                None => {
                    *place = Some(state);
                    true
                }
            };
            if changed {
                let state = place.clone().expect("it was set just now");
                self.step(at, state, find_keys, shared, main, &mut work)?;
            }
        }
        Some(())
    }

    /// Interprets the instruction at `at`, and appends where it may lead.
    fn step(
        &self,
        at: usize,
        mut state: State,
        find_keys: FindKeys,
        shared: bool,
        main: bool,
        work: &mut Vec<(usize, State)>,
    ) -> Option<()> {
        let i = Instruction(self.code[at]);
        let (a, b, c) = (i.a(), i.b(), i.c());
        let jump = |by: i64| usize::try_from(at as i64 + 1 + by).ok();
        let mut next = at + 1;
        let open = state.open.take();
        match i.operation() {
            op::MOVE => state.set(a, *state.registers.get(b)?)?,
            op::LOADK => {
                let is = if self.text(i.bx()).is_some() { Is::Text(i.bx()) } else { Is::Other };
                state.set(a, is)?;
            }
            op::LOADBOOL => {
                state.set(a, Is::Other)?;
                next += (c != 0) as usize;
            }
            op::LOADNIL => (a..=b).try_for_each(|register| state.set(register, Is::Other))?,
            op::GETUPVAL | op::NEWTABLE => state.set(a, Is::Other)?,
            op::GETGLOBAL => state.set(a, global(self.text(i.bx())?)?)?,
            op::SETGLOBAL | op::SETUPVAL => drop(state.plain(a)?),
            op::GETTABLE => state.set(a, self.element(&state, b, c)?)?,
            op::SETTABLE => {
                state.plain(a)?;
                state.plain_operand(b)?;
                state.plain_operand(c)?;
            }
            op::SELF => {
                let object = state.plain(b)?;
                state.plain_operand(c)?;
                state.set(a + 1, object)?;
                state.set(a, Is::Other)?;
            }
            op::ADD..=op::POW => {
                state.plain_operand(b)?;
                state.plain_operand(c)?;
                state.set(a, Is::Other)?;
            }
            op::UNM => {
                state.plain(b)?;
                state.set(a, Is::Other)?;
            }
            op::NOT | op::LEN => {
                // The length of KEYS, and whether there is a `redis`, lead nowhere.
                state.set(a, Is::Other)?;
            }
            op::CONCAT => {
                (b..=c).try_for_each(|register| state.plain(register).map(drop))?;
                state.set(a, Is::Other)?;
            }
            op::JMP => next = jump(i.sbx())?,
            op::EQ..=op::TEST => work.push((at + 2, state.clone())),
            op::TESTSET => {
                work.push((at + 2, state.clone()));
                state.set(a, *state.registers.get(b)?)?;
            }
            op::CALL | op::TAILCALL => self.call(&mut state, i, open, find_keys)?,
            op::RETURN => {
                // What the main function returns becomes a reply.
                let last = if b == 0 { open?.0 } else { a + b - 1 };
                if !main {
                    (a..last).try_for_each(|register| state.plain(register).map(drop))?;
                    open.is_none_or(|(_, is)| !is.is_guarded()).then_some(())?;
                }
                return Some(());
            }
            op::FORLOOP => {
                work.push((at + 1, state.clone()));
                state.set(a + 3, Is::Other)?;
                next = jump(i.sbx())?;
            }
            op::FORPREP => next = jump(i.sbx())?,
            op::TFORLOOP => {
                work.push((at + 2, state.clone()));
                self.iterate(&mut state, a, c)?;
            }
            op::SETLIST => {
                let last = if b == 0 { open?.0 } else { a + b + 1 };
                (a..last).try_for_each(|register| state.plain(register).map(drop))?;
                open.is_none_or(|(_, is)| !is.is_guarded()).then_some(())?;
                next += (c == 0) as usize;
            }
            op::CLOSE => {}
            op::CLOSURE => {
                let captured = self.inner.get(i.bx())?.upvalues;
                for word in self.code.get(at + 1..at + 1 + captured)? {
                    let capture = Instruction(*word);
                    if capture.operation() == op::MOVE {
                        state.plain(capture.b())?;
                        if shared {
                            state.set(capture.b(), Is::Other)?;
                        }
                    }
                }
                state.set(a, Is::Other)?;
                next += captured;
            }
            op::VARARG if b == 0 => state.open = Some((a, Is::Other)),
            op::VARARG => (a..a + b - 1).try_for_each(|register| state.set(register, Is::Other))?,
            _ => return None,
        }
        work.push((next, state));
        Some(())
    }

    /// What `R(b)[RK(c)]` is.
    fn element(&self, state: &State, b: usize, c: usize) -> Option<Is> {
        match *state.registers.get(b)? {
            Is::Redis => {
                let name = self.text(c.checked_sub(CONSTANT)?)?;
                Some(if matches!(name, b"call" | b"pcall") { Is::Call } else { Is::Other })
            }
            Is::Keys => state.plain_operand(c).map(|()| Is::Key),
            Is::Call | Is::Mixed => None,
            _ => state.plain_operand(c).map(|()| Is::Other),
        }
    }

    /// One round of a generic `for`.
    fn iterate(&self, state: &mut State, a: usize, c: usize) -> Option<()> {
        let over_keys =
            state.registers.get(a) == Some(&Is::NextKey) && state.registers.get(a + 1) == Some(&Is::Keys);
        if !over_keys {
            (a..a + 3).try_for_each(|register| state.plain(register).map(drop))?;
        }
        (a + 2..=a + 2 + c).try_for_each(|register| state.set(register, Is::Other))?;
        if over_keys && c >= 2 {
            state.set(a + 4, Is::Key)?;
        }
        Some(())
    }

    fn call(
        &self,
        state: &mut State,
        i: Instruction,
        open: Option<(usize, Is)>,
        find_keys: FindKeys,
    ) -> Option<()> {
        let (a, b, c) = (i.a(), i.b(), i.c());
        let (end, tail) = match b {
            0 => open.map(|(at, is)| (at, Some(is)))?,
            _ => (a + b, None),
        };
        let arguments = state.registers.get(a + 1..end)?.to_vec();
        let over_keys = arguments.first() == Some(&Is::Keys);
        let function = *state.registers.get(a)?;
        let results = match function {
            Is::Call => {
                self.check_command(&arguments, tail, find_keys)?;
                [Is::Other; 3]
            }
            Is::Unpack if over_keys => {
                plain_arguments(&arguments[1..], tail)?;
                [Is::Key; 3]
            }
            Is::Ipairs if over_keys => [Is::NextKey, Is::Keys, Is::Other],
            function if function.is_guarded() => return None,
            _ => {
                plain_arguments(&arguments, tail)?;
                [Is::Other; 3]
            }
        };
        state.forget_from(a);
        let all_alike = results[0] == results[1];
        match c {
            0 if all_alike => state.open = Some((a, results[0])),
            0 => return None,
            _ => {
                for n in 0..c - 1 {
                    let is =
                        if all_alike { results[0] } else { results.get(n).copied().unwrap_or(Is::Other) };
                    state.set(a + n, is)?;
                }
            }
        }
        Some(())
    }

    /// The keys of a command are keys. `tail`: more arguments, of which it is not known how many.
    fn check_command(&self, arguments: &[Is], tail: Option<Is>, find_keys: FindKeys) -> Option<()> {
        let Some(Is::Text(name)) = arguments.first() else { return None };
        plain_arguments(arguments, tail)?;
        for range in find_keys(self.text(*name)?)? {
            let is_key = |at: usize| match (arguments.get(at), tail) {
                (Some(is), _) => *is == Is::Key,
                (None, Some(tail)) => tail == Is::Key,
                // There is no such argument: the command is refused.
                (None, None) => true,
            };
            let last = match (range.last, tail) {
                (last @ 0.., _) => last as usize,
                (last, None) => arguments.len().checked_sub(last.unsigned_abs() as usize)?,
                // However many there are, they are all like the first of them.
                (_, Some(_)) => arguments.len().max(range.first),
            };
            let step = if tail.is_some() { 1 } else { range.step };
            (range.first..=last).step_by(step).all(is_key).then_some(())?;
        }
        Some(())
    }
}

fn plain_arguments(arguments: &[Is], tail: Option<Is>) -> Option<()> {
    let fine = |is: &Is| !is.is_guarded();
    (arguments.iter().all(fine) && tail.iter().all(fine)).then_some(())
}

/// What a global is. None: it may lead anywhere.
fn global(name: &[u8]) -> Option<Is> {
    Some(match name {
        b"redis" | b"server" => Is::Redis,
        b"KEYS" => Is::Keys,
        b"ipairs" => Is::Ipairs,
        b"unpack" => Is::Unpack,
        name => HARMLESS.iter().find(|known| known.as_bytes() == name).map(|_| Is::Other)?,
    })
}
