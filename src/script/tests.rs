//! What is proven to stay with its keys, and what is not.

use super::lua::{Control, new_state};
use super::proof::{KeyRange, stays_with_its_keys};

/// The rules of a few commands; all others look at more than their keys.
fn find_keys(name: &[u8]) -> Option<Vec<KeyRange>> {
    let range = |first, last, step| Some(vec![KeyRange { first, last, step }]);
    match name.to_ascii_uppercase().as_slice() {
        b"GET" | b"SET" | b"INCR" | b"HSET" | b"ZADD" | b"EXPIRE" => range(1, 1, 1),
        b"DEL" | b"MGET" => range(1, -1, 1),
        b"MSET" => range(1, -1, 2),
        b"BITOP" => range(2, -1, 1),
        b"PING" | b"TIME" => Some(Vec::new()),
        _ => None,
    }
}

fn stays(script: &str) -> bool {
    let mut control = Control::new(1 << 30, |_| None, std::ptr::null_mut());
    let lua = new_state(&mut control);
    let code = lua.in_rust(|| {
        assert!(lua.load(script.as_bytes(), c"@test"), "{script} does not compile");
        lua.dump().expect("it is a function of Lua")
    });
    let stays = stays_with_its_keys(&code, &find_keys);
    lua.close();
    stays
}

#[test]
fn proven() {
    for script in [
        "return 1",
        "return redis.call('GET', KEYS[1])",
        "return redis.pcall('get', KEYS[1])",
        "return server.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])",
        "local key = KEYS[1] if redis.call('GET', key) == ARGV[1] then return redis.call('DEL', key) else return 0 end",
        "local key, other = KEYS[1], KEYS[2] redis.call('SET', key, 1) return redis.call('SET', other, redis.call('GET', key))",
        "local call = redis.call return call('INCR', KEYS[1])",
        "return redis.call('DEL', unpack(KEYS))",
        "return redis.call('DEL', KEYS[1], unpack(KEYS))",
        "return redis.call('HSET', KEYS[1], unpack(ARGV))",
        "for i, key in ipairs(KEYS) do redis.call('DEL', key) end",
        "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i]) end",
        "redis.call('MSET', KEYS[1], 'x', KEYS[2], 'y')",
        "local now = redis.call('TIME') return now[1]",
        "local function f(n) return n * 2 end return f(#KEYS) + redis.call('INCR', KEYS[1])",
        "local key = KEYS[1] local function f() return redis.call('GET', KEYS[2]) end return {f(), redis.call('GET', key)}",
        "local t = cjson.decode(ARGV[1]) for k, v in pairs(t) do redis.call('HSET', KEYS[1], k, v) end return #t",
        "local key = ARGV[1] and KEYS[1] or KEYS[2] return redis.call('GET', key)",
        "return redis.error_reply('no')",
        "return KEYS",
    ] {
        assert!(stays(script), "{script}");
    }
}

#[test]
fn not_proven() {
    for script in [
        "return redis.call('GET', 'x')",
        "return redis.call('GET', ARGV[1])",
        "return redis.call('GET', KEYS[1] .. ':x')",
        "return redis.call(ARGV[1], KEYS[1])",
        "return redis[ARGV[1]]('GET', KEYS[1])",
        "return redis.call('KEYS', KEYS[1])",
        "return redis.call('DEL', unpack(ARGV))",
        "return redis.call('BITOP', unpack(ARGV))",
        "return redis.call(unpack(ARGV))",
        "redis.call('MSET', KEYS[1], 'x', 'k', 'y')",
        "redis.call('MSET', KEYS[1], unpack(ARGV))",
        "KEYS[1] = 'x' return redis.call('GET', KEYS[1])",
        "local keys = KEYS keys[1] = 'x'",
        "table.insert(KEYS, 'x')",
        "local t = {redis.call} return t[1]('GET', 'x')",
        "local t = {} t.call = redis.call",
        "local t = ARGV[1] and KEYS or {} t[1] = 'x'",
        "local f = ARGV[1] and redis.call or print f('GET', 'x')",
        "return pcall(redis.call, 'GET', 'x')",
        "local function f(call) return call('GET', 'x') end return f(redis.call)",
        "local call = redis.call local function f() return call('GET', 'x') end return f()",
        "local key = KEYS[1] local function f() key = 'x' end f() return redis.call('GET', key)",
        "local function f() return redis end return f().call('GET', 'x')",
        "local function f() return KEYS end f()[1] = 'x'",
        "return _G.redis.call('GET', 'x')",
        "return loadstring(ARGV[1])()",
        "local key = KEYS[1] if ARGV[1] then key = ARGV[1] end return redis.call('GET', key)",
        "local key = KEYS[1] for i = 1, 2 do redis.call('GET', key) key = ARGV[1] end",
        "for i, key in ipairs(ARGV) do redis.call('DEL', key) end",
        "for i, key in pairs(KEYS) do redis.call('DEL', key) end",
        "return redis.call('EVAL', 'x', 1, KEYS[1])",
        "local r = redis local x = r return x['ca' .. 'll']('GET', 'x')",
        "return coroutine.wrap(redis.call)('GET', 'x')",
        "setmetatable({}, {__index = redis})",
    ] {
        assert!(!stays(script), "{script}");
    }
}

/// No byte code, whole or broken, makes the proof panic.
#[test]
fn broken_code_is_not_proven() {
    let mut control = Control::new(1 << 30, |_| None, std::ptr::null_mut());
    let lua = new_state(&mut control);
    let script =
        "local k = KEYS[1] for i = 1, 3 do redis.call('SET', k, i) end return function() return k end";
    let code = lua.in_rust(|| {
        assert!(lua.load(script.as_bytes(), c"@test"));
        lua.dump().expect("it is a function of Lua")
    });
    lua.close();
    for len in 0..code.len() {
        stays_with_its_keys(&code[..len], &find_keys);
    }
    let mut rng = crate::base::rng::Rng::seeded(5);
    for _ in 0..20_000 {
        let mut broken = code.clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(broken.len() as u64) as usize;
            broken[at] = rng.next_u64() as u8;
        }
        stays_with_its_keys(&broken, &find_keys);
    }
}
