//! Conversations about scripts and functions. Most texts are what Redis 7.0 answered.

use crate::sim::{check, check_outside_multi, check3};

/// The reply of a script without keys.
#[track_caller]
fn eval(script: &str, reply: &str) {
    let script = script.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    check_outside_multi(&format!("EVAL \"{script}\" 0 => {reply}"));
}

/// The error of a script without keys, which is followed by the script's name and place.
#[track_caller]
fn fails(script: &str, error: &str) {
    let sha = String::from_utf8(crate::base::sha1::sha1_hex(script.as_bytes()).to_vec()).unwrap();
    let line = 1 + script.matches('\n').count();
    eval(script, &format!("-{error} script: {sha}, on @user_script:{line}."));
}

#[test]
fn values_become_replies() {
    for (script, reply) in [
        ("return 100.5", "100"),
        ("return -3.7", "-3"),
        ("return 1/0", "-9223372036854775808"),
        ("return 'text'", "\"text\""),
        ("return true", "1"),
        ("return false", "nil"),
        ("return nil", "nil"),
        ("return {ok='fine'}", "fine"),
        ("return {err='My Err'}", "-My Err"),
        (
            "return {1,2,{'a',{ok='b'}},nil,4}",
            "[1 2 [\"a\" [b]]]".replace("[\"a\" [b]]", "[\"a\" b]").as_str(),
        ),
        ("return {double=3.5}", "\"3.5\""),
        ("return {map={a=1}}", "[\"a\" 1]"),
        ("return {set={a=true}}", "[\"a\"]"),
        ("return {big_number='123'}", "\"123\""),
        ("return {verbatim_string={string='aa',format='txt'}}", "\"aa\""),
        ("return {verbatim_string={}}", "[]"),
        ("return function() end", "nil"),
        ("return {KEYS[1],ARGV[1]}", "[]"),
        ("return setmetatable({}, {__index=function() error('no') end})", "[]"),
        ("local t = {} t[1] = t return t", "*"),
    ] {
        eval(script, reply);
    }
    check3(
        "EVAL \"redis.setresp(3) return {true, {double=1.5}, {map={a=1}}, {set={b=true}}}\" 0 => [#t ,1.5 {\"a\": 1} ~[\"b\"]]",
    );
    check3(
        "EVAL \"return {true, {double=1.5}, {big_number='12'}, {verbatim_string={string='a',format='mkd'}}}\" 0 => [1 ,1.5 (12 =\"mkd:a\"]",
    );
}

#[test]
fn replies_become_values() {
    check(
        "SET k v => OK | EVAL \"return redis.call('GET', KEYS[1])\" 1 k => \"v\" | EVAL \"return type(redis.call('GET', 'x'))\" 0 => \"boolean\"",
    );
    check(
        "EVAL \"return redis.call('SET', 'k', 1.5).ok\" 0 => \"OK\" | GET k => \"1.5\" | EVAL \"return redis.call('INCR', 'n') + 1\" 0 => 2",
    );
    check(
        "RPUSH l a b => 2 | EVAL \"local t = redis.call('LRANGE', KEYS[1], 0, -1) return {#t, t[2]}\" 1 l => [2 \"b\"]",
    );
    check("HSET h f v => 1 | EVAL \"redis.setresp(3) return redis.call('HGETALL', 'h').map.f\" 0 => \"v\"");
    check(
        "SADD s m => 1 | EVAL \"redis.setresp(3) return tostring(redis.call('SMEMBERS', 's').set.m)\" 0 => \"true\"",
    );
    check(
        "ZADD z 1.5 m => 1 | EVAL \"redis.setresp(3) return tostring(redis.call('ZSCORE', 'z', 'm').double)\" 0 => \"1.5\" | EVAL \"return redis.call('ZSCORE', 'z', 'm')\" 0 => \"1.5\"",
    );
    check("EVAL \"redis.setresp(3) return tostring(redis.call('GET', 'x'))\" 0 => \"nil\"");
    check(
        "EVAL \"return redis.call('ECHO', 123456789012345678)\" 0 => \"1.2345678901234568e+17\" | EVAL \"return redis.call('ECHO', -0.0)\" 0 => \"-0\" | EVAL \"return redis.call('ECHO', 0.1)\" 0 => \"0.10000000000000001\"",
    );
}

#[test]
fn errors_say_where() {
    for (script, error) in [
        ("return foo", "ERR user_script:1: Script attempted to access nonexistent global variable 'foo'"),
        ("\n\nreturn foo", "ERR user_script:3: Script attempted to access nonexistent global variable 'foo'"),
        ("error('boom')", "ERR user_script:1: boom"),
        ("error({err='My boom'})", "My boom"),
        ("error(nil)", "ERR nil"),
        ("return redis.call()", "ERR Please specify at least one argument for this redis lib call"),
        ("return redis.call('nosuch')", "ERR Unknown Redis command called from script"),
        ("return redis.call('get')", "ERR Wrong number of args calling Redis command from script"),
        ("return redis.call('get', {})", "ERR Lua redis lib command arguments must be strings or integers"),
        ("return redis.call('multi')", "ERR This Redis command is not allowed from script"),
        ("return redis.call('eval', 'return 1', 0)", "ERR This Redis command is not allowed from script"),
        ("return redis.call('select', 99)", "ERR DB index is out of range"),
        ("return redis.setresp(1)", "ERR RESP version must be 2 or 3."),
        ("return redis.log('a', 'b')", "ERR First argument must be a number (log level)."),
        (
            "return redis.set_repl(9)",
            "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ),
        ("local function f() return f() + 1 end return f()", "ERR user_script:1: stack overflow"),
        ("return unpack({}, 1, 1e8)", "ERR user_script:1: too many results to unpack"),
    ] {
        fails(script, error);
    }
    eval("foo bar", "-ERR Error compiling script (new function): user_script:1: '=' expected near 'bar'");
    check(
        "LPUSH l a => 1 | EVAL \"return redis.pcall('INCR', KEYS[1])\" 1 l => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    eval("return {pcall(redis.call, 'nosuch')}", "[nil \"ERR Unknown Redis command called from script\"]");
    eval("return redis.error_reply('foo')", "-ERR foo");
    eval("return redis.error_reply('-My Err')", "-My Err");
    eval("return redis.error_reply(1)", "-ERR wrong number or type of arguments");
    eval("return redis.status_reply('fine')", "fine");
}

#[test]
fn globals_are_protected() {
    const READONLY: &str = "ERR user_script:1: Attempt to modify a readonly table";
    for script in [
        "a = 10",
        "redis = 1",
        "redis.call = 1",
        "string.x = 1",
        "KEYS = {}",
        "_G.x = 1",
        "getmetatable(_G).__index = nil",
        "getmetatable('').__index = nil",
        "cjson.encode = nil",
    ] {
        fails(script, READONLY);
    }
    for script in
        ["setmetatable(_G, {})", "rawset(_G, 'x', 1)", "rawset(redis, 'call', 1)", "table.insert(redis, 1)"]
    {
        fails(script, "ERR Attempt to modify a readonly table");
    }
    for name in ["print", "dofile", "loadfile", "require", "io", "debug", "newproxy", "getfenv", "setfenv"] {
        fails(
            &format!("return {name}"),
            &format!("ERR user_script:1: Script attempted to access nonexistent global variable '{name}'"),
        );
    }
    eval("return tostring(rawget(_G, 'redis') ~= nil)", "\"true\"");
    eval("local n = 0 for k in pairs(redis) do n = n + 1 end return n > 20", "1");
    eval("local n = 0 for k in pairs(os) do n = n + 1 end return {n, type(os.clock())}", "[1 \"number\"]");
    eval("return {loadstring('return 1 + 1')()}", "[2]");
    eval("local a, b = loadstring(string.dump(function() end)) return type(a)", "\"nil\"");
    eval("for k, v in pairs({1, 2}) do if k ~= v then return 0 end end return next({}) == nil", "1");
    eval("local t = {1, 3} table.insert(t, 2, 2) table.insert(t, 4) return t", "[1 2 3 4]");
    eval("return server.sha1hex('')", "\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"");
}

#[test]
fn libraries() {
    for (script, reply) in [
        (
            "return cjson.encode({1, 'a/b', {x = cjson.null}, true})",
            "\"[1,\\\"a\\\\/b\\\",{\\\"x\\\":null},true]\"",
        ),
        ("return cjson.decode('{\"a\": [1, 2.5, \"x\\\\u00e9\"]}').a[3]", "\"x\u{e9}\""),
        ("return cjson.encode({})", "\"{}\""),
        ("return cjson.encode(0.1)", "\"0.1\""),
        ("return tostring(pcall(cjson.encode, {[1] = 1, [50] = 1}))", "\"false\""),
        ("return cmsgpack.unpack(cmsgpack.pack({1, 'a', {true}}))", "[1 \"a\" [1]]"),
        ("return {cmsgpack.unpack_one('ab', 1)}", "[-1 98]"),
        (
            "return {struct.unpack('>I2 s c3', struct.pack('>I2 s c3', 258, 'x', 'abc'))}",
            "[258 \"x\" \"abc\" 8]",
        ),
        ("return {struct.unpack('Bc0', '\\003abc')}", "[\"abc\" 5]"),
        ("return struct.size('!4bi4')", "8"),
        (
            "return {bit.band(7, 3), bit.bor(1, 4), bit.lshift(1, 31), bit.tohex(255, -4)}",
            "[3 5 -2147483648 \"00FF\"]",
        ),
        (
            "math.randomseed(1) return {tostring(math.random()), math.random(100), math.random(5, 10)}",
            "[\"0.041630344484761\" 46 10]",
        ),
    ] {
        eval(script, reply);
    }
    for (script, error) in [
        ("return cjson.decode('[1 2]')", "Expected comma or array end but found T_NUMBER at character 4"),
        ("return cjson.decode('{1:2}')", "Expected object key string but found T_NUMBER at character 2"),
        ("return cjson.encode(function() end)", "Cannot serialise function: type not supported"),
        ("local t = {} t.t = t return cjson.encode(t)", "Cannot serialise, excessive nesting (1001)"),
        (
            "return cjson.decode(string.rep('[', 1001))",
            "Found too many nested data structures (1001) at character 1001",
        ),
        ("return cmsgpack.unpack(string.char(0xc1))", "Bad data format in input."),
        ("return struct.pack('q', 1)", "bad argument #1 to 'pack' (invalid format option 'q')"),
        ("return struct.unpack('I', 'a')", "bad argument #2 to 'unpack' (data string too short)"),
        ("return bit.band()", "bad argument #1 to 'band' (number expected, got no value)"),
        ("return math.random(2, 1)", "bad argument #2 to 'random' (interval is empty)"),
    ] {
        fails(script, &format!("ERR user_script:1: {error}"));
    }
}

#[test]
fn keys_and_digests() {
    check_outside_multi(
        "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 => -NOSCRIPT No matching script. Please use EVAL. | EVAL \"return 1\" 0 => 1 | EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0 => 1 | EVALSHA abc 0 => -NOSCRIPT No matching script. Please use EVAL.",
    );
    check_outside_multi(
        "SCRIPT LOAD \"return 1\" => \"e0e1f9fabfc9d4800c877a703b823ac0578ff8db\" | SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db x => [1 0] | SCRIPT SHOW e0e1f9fabfc9d4800c877a703b823ac0578ff8db => \"return 1\" | SCRIPT FLUSH => OK | SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db => [0] | b> EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 => -NOSCRIPT No matching script. Please use EVAL.",
    );
    check_outside_multi(
        "EVAL x y => -ERR value is not an integer or out of range | EVAL x 1 => -ERR Number of keys can't be greater than number of args | EVAL x -1 => -ERR Number of keys can't be negative | SCRIPT FLUSH X => -ERR SCRIPT FLUSH only support SYNC|ASYNC option | SCRIPT KILL => -NOTBUSY No scripts in execution right now.",
    );
}

#[test]
fn sessions_stay_as_they_are() {
    check(
        "EVAL \"redis.call('SELECT', 5) return redis.call('SET', 'k', 'five')\" 0 => OK | GET k => nil | SELECT 5 => OK | GET k => \"five\" | EVAL \"return redis.call('GET', KEYS[1])\" 1 k => \"five\"",
    );
    check(
        "EVAL \"redis.setresp(3) return 1\" 0 => 1 | EVAL \"return type(redis.call('GET', 'x'))\" 0 => \"boolean\"",
    );
    check_outside_multi(
        "MULTI => OK | EVAL \"redis.call('SET', 'a', 1) return redis.call('GET', 'a')\" 0 => QUEUED | INCR a => QUEUED | EVAL \"return redis.call('GET', KEYS[1])\" 1 a => QUEUED | EXEC => [\"1\" 2 \"2\"]",
    );
}

#[test]
fn read_only_scripts() {
    eval(
        "#!lua flags=no-writes\nreturn redis.pcall('set', 'a', 'b')",
        "-ERR Write commands are not allowed from read-only scripts.",
    );
    check_outside_multi(
        "EVAL_RO \"return redis.pcall('SET', 'a', 'b')\" 0 => -ERR Write commands are not allowed from read-only scripts. | EVAL_RO \"#!lua\\nreturn 1\" 0 => -ERR Can not execute a script with write flag using *_ro command. | SET a b => OK | EVAL_RO \"return redis.call('GET', KEYS[1])\" 1 a => \"b\" | EVALSHA_RO d3c21d0c2b9ca22f82737626a27bcaf5d288f99f 1 a => \"b\"",
    );
    eval("#!lua flags=x\nreturn 1", "-ERR Unexpected flag in script shebang: x");
}

/// A script that is not proven to stay with its keys runs again with all shards, and does nothing twice.
#[test]
fn undeclared_keys() {
    check(
        "EVAL \"redis.call('INCR', KEYS[1]) return redis.call('INCR', ARGV[1])\" 1 a b => 1 | EVAL \"redis.call('INCR', KEYS[1]) return redis.call('INCR', ARGV[1])\" 1 a b => 2 | MGET a b => [\"2\" \"2\"]",
    );
    check(
        "EVAL \"local n = 0 for i = 1, 9 do n = n + (redis.call('GET', KEYS[1] .. i) or 1) end return n\" 1 k => 9 | EVAL \"for i = 1, 9 do redis.call('SET', KEYS[1] .. i, i) end\" 1 k => nil | EVAL \"local n = 0 for i = 1, 9 do n = n + (redis.call('GET', KEYS[1] .. i) or 1) end return n\" 1 k => 45",
    );
    check(
        "EVAL \"local ok, why = pcall(redis.call, 'GET', 'other') if not ok then return why end return 'fine'\" 1 a => \"fine\" | EVAL \"local ok, why = pcall(redis.call, 'GET', 'other') if not ok then return why end return 'fine'\" 1 a => \"fine\"",
    );
    check(
        "SET a 1 => OK | SET b 2 => OK | EVAL \"return redis.call('DBSIZE')\" 0 => 2 | EVAL \"return #redis.call('KEYS', '*')\" 1 a => 2",
    );
}

#[test]
fn functions() {
    const LIB: &str = "FUNCTION LOAD \"#!lua name=lib\\nlocal n = 0 redis.register_function('count', function(keys, args) n = n + 1 return n end) redis.register_function{function_name='get', callback=function(keys, args) return redis.call('GET', keys[1]) end, flags={'no-writes'}, description='reads'} redis.register_function('set', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\" => \"lib\"";
    check_outside_multi(&format!(
        "{LIB} | FCALL set 1 k v => OK | FCALL get 1 k => \"v\" | FCALL_RO GET 1 k => \"v\" | FCALL_RO set 1 k w => -ERR Can not execute a script with write flag using *_ro command. | b> FCALL count 0 => 1 | c> FCALL count 0 => 2 | FCALL count 0 => 3"
    ));
    check_outside_multi(&format!(
        "{LIB} | FUNCTION LOAD \"#!lua name=lib\\n\" => -ERR Library 'lib' already exists | FUNCTION LOAD REPLACE \"#!lua name=lib\\nredis.register_function('only', function() return KEYS end)\" => \"lib\" | FCALL get 1 k => -ERR Function not found | FCALL only 0 => -ERR user_function:2: Script attempted to access nonexistent global variable 'KEYS' script: only, on @user_function:2. | FUNCTION DELETE lib => OK | FCALL only 0 => -ERR Function not found | FUNCTION DELETE lib => -ERR Library not found"
    ));
    check_outside_multi(&format!(
        "{LIB} | FUNCTION LIST => [[\"library_name\" \"lib\" \"engine\" \"LUA\" \"functions\" [[\"name\" \"count\" \"description\" nil \"flags\" []] [\"name\" \"get\" \"description\" \"reads\" \"flags\" [no-writes]] [\"name\" \"set\" \"description\" nil \"flags\" []]]]] | FUNCTION LIST LIBRARYNAME x* => [] | FUNCTION STATS => [\"running_script\" nil \"engines\" [\"LUA\" [\"libraries_count\" 1 \"functions_count\" 3]]] | FUNCTION FLUSH => OK | FUNCTION LIST => []"
    ));
    for (code, error) in [
        ("x", "Missing library metadata"),
        ("#!lua", "Invalid library metadata"),
        ("#!lua\\n", "Library name was not given"),
        (
            "#!lua name=a-b\\n",
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ),
        ("#!lua name=a name=b\\n", "Invalid metadata value, name argument was given multiple times"),
        ("#!foo name=a\\n", "Engine 'foo' not found"),
        ("#!lua name=a\\n", "No functions registered"),
        (
            "#!lua name=a\\nredis.call('get', 'x')",
            "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable 'call'",
        ),
        (
            "#!lua name=a\\nredis.register_function('f')",
            "Error registering functions: ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ),
        (
            "#!lua name=a\\nredis.register_function('f', 1)",
            "Error registering functions: ERR second argument to redis.register_function must be a function",
        ),
        (
            "#!lua name=a\\nredis.register_function{x = 1}",
            "Error registering functions: ERR unknown argument given to redis.register_function",
        ),
        (
            "#!lua name=a\\nreturn pairs",
            "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable 'pairs'",
        ),
        ("#!lua name=a\\nfoo bar", "Error compiling function: user_function:2: '=' expected near 'bar'"),
    ] {
        check_outside_multi(&format!("FUNCTION LOAD \"{code}\" => -ERR {error}"));
    }
}

/// Texts of errors and statuses end at a NUL, and line ends around the text of an error are left out.
#[test]
fn texts_are_those_of_c() {
    eval("return {err='a\\0b'}", "-a");
    eval("return {ok='a\\0b'}", "a");
    eval("return redis.status_reply('a\\0b')", "a");
    eval("return redis.error_reply('a\\0b')", "-ERR a");
    eval("return redis.error_reply('x \\r\\ny\\r\\n')", "-x y");
    eval("return redis.error_reply('\\r\\nabc def')", "-  abc def");
    eval("return {err='abc\\r\\n'}", "-abc");
    fails("error('a\\0b')", "ERR user_script:1: a");
    fails("error(redis.error_reply('\\r\\n'))", "ERR   ");
    fails("error(redis.error_reply('a b '))", "a b ");
}

/// Of several forms of a reply in one table, the first in Redis' order counts.
#[test]
fn forms_of_replies_have_an_order() {
    eval("return {map={}, set={}, big_number='1', double=1}", "\"1\"");
    check3("EVAL \"return {map={}, set={}, big_number='1', double=1}\" 0 => ,1");
    check3("EVAL \"return {map={}, set={}, big_number='1'}\" 0 => (1");
    check3("EVAL \"return {map={}, set={}, verbatim_string={string='a',format='txt'}}\" 0 => =\"txt:a\"");
    check3("EVAL \"return {map={}, set={}}\" 0 => {}");
    eval("return {big_number='a\\r\\nb'}", "\"a  b\"");
    eval("return {big_number='\\255'}", "\"\\xff\"");
    fails("error(cjson.null)", "ERR userdata: (nil)");
}

#[test]
fn formats_of_verbatim_strings_have_three_letters() {
    check3("EVAL \"return {verbatim_string={string='a',format='x'}}\" 0 => =\"x  :a\"");
    check3("EVAL \"return {verbatim_string={string='a',format='long'}}\" 0 => =\"lon:a\"");
}

/// What a random comparison with Valkey found in the libraries.
#[test]
fn libraries_in_their_corners() {
    eval("return struct.size('q')", "0");
    fails(
        "return struct.pack('q', 1)",
        "ERR user_script:1: bad argument #1 to 'pack' (invalid format option 'q')",
    );
    fails(
        "return struct.unpack('q', 'a')",
        "ERR user_script:1: bad argument #1 to 'unpack' (invalid format option 'q')",
    );
    fails(
        "return struct.unpack('q', '', 2)",
        "ERR user_script:1: bad argument #2 to 'unpack' (data string too short)",
    );
    fails(
        "return struct.size('_')",
        "ERR user_script:1: bad argument #1 to 'size' (invalid format option '_')",
    );
    fails(
        "return cjson.encode({[true] = 1})",
        "ERR user_script:1: Cannot serialise boolean: table key must be a number or string",
    );
    check_outside_multi("EVALSHA abc x => -NOSCRIPT No matching script. Please use EVAL.");
}

/// A script that is known not to write is not held back; nor is one that says so by the command that runs it.
#[test]
fn pauses_of_writes() {
    const READ: &str = "\"#!lua flags=no-writes\\nreturn redis.call('GET', KEYS[1])\"";
    const LIB: &str = "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function{function_name='get', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}} redis.register_function('put', function() return 'put' end)\" => \"lib\"";
    const UNKNOWN: &str = "0000000000000000000000000000000000000000 0";
    check_outside_multi(&format!(
        "SET k v => OK | {LIB} | CLIENT PAUSE 1000 WRITE => OK | EVAL_RO \"return redis.call('GET', KEYS[1])\" 1 k => \"v\" | EVAL {READ} 1 k => \"v\" | FCALL get 1 k => \"v\" | FCALL_RO get 1 k => \"v\" | EVALSHA_RO {UNKNOWN} => -NOSCRIPT No matching script. Please use EVAL. | MULTI => OK | EVAL {READ} 1 k => QUEUED | EXEC => [\"v\"] | b> EVAL \"return 1\" 0 => ... | c> EVALSHA {UNKNOWN} => ... | d> EVAL \"#!lua\\nreturn 2\" 0 => ... | e> FCALL put 0 => ... | f> FCALL nosuch 0 => ... | GET k => \"v\" | CLIENT UNPAUSE => OK | b> => 1 | c> => -NOSCRIPT No matching script. Please use EVAL. | d> => 2 | e> => \"put\" | f> => -ERR Function not found"
    ));
}

/// What a script says of itself counts first; after its first write it may go on.
#[test]
fn scripts_where_memory_is_short() {
    const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    let full = |step: &str| {
        check_outside_multi(&format!(
            "SET k v => OK | CONFIG SET maxmemory 1 => OK | {step} | CONFIG SET maxmemory 0 => OK"
        ));
    };
    full(&format!("EVAL \"#!lua\\nreturn 1\" 0 => -{OOM}"));
    full(&format!("EVAL \"#!lua\\nreturn 1\" -1 => -{OOM}"));
    full(&format!("EVAL_RO \"#!lua\\nreturn 1\" 0 => -{OOM}"));
    full("EVAL \"#!lua flags=no-writes\\nreturn redis.call('GET', KEYS[1])\" 1 k => \"v\"");
    full("EVAL \"#!lua flags=allow-oom\\nreturn redis.call('SET', KEYS[1], 'w')\" 1 k => OK");
    full("EVAL \"redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], 'w')\" 1 k => OK");
    full(&format!("EVAL \"return redis.pcall('SET', KEYS[1], 'w')\" 1 k => -{OOM}"));
    full("EVAL \"#!lua flags=x\\nreturn 1\" 0 => -ERR Unexpected flag in script shebang: x");
}

/// Whatever recurses or grows has an end.
#[test]
fn deep_and_huge() {
    eval("return string.find(string.rep('a', 200000), string.rep('a?', 200000))", "1");
    eval("local t = {} for i = 1, 1e5 do t = {t} end return #cmsgpack.pack(t)", "*");
    fails(
        "return loadstring('return ' .. string.rep('(', 100000))()",
        "ERR user_script:1: attempt to call a nil value",
    );
    eval("local s = string.rep('x', 2^20) return s:rep(2^20)", "-ERR not enough memory");
    eval("local function f() return pcall(f) end return type(f())", "*");
    eval("local function f() return coroutine.wrap(f)() end return {pcall(f)}", "*");
    eval("local t = {} t[1] = t return {#cjson.encode({}), pcall(cjson.encode, t)}", "*");
}
