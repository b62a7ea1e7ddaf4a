//! The scripts of the random traffic, and of conversations that replay from a script.
//! In: commands. Out: the arguments of EVAL that run them, with keys declared rightly, wrongly, or not at all; and the
//! commands that such arguments run, for the model.

use crate::base::rng::Rng;

/// Runs the commands that ARGV holds, each with its number of words in front, and returns their replies.
const ANY: &str = "local replies, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local words = {}
  for i = 1, count do words[i] = ARGV[at + i] end
  replies[#replies + 1] = redis.pcall(unpack(words))
  at = at + count + 1
end
return replies";

/// Sets its first key, then reads them all: what is proven to stay with its keys.
const PROVEN: &str = "local key = KEYS[1]
local first = redis.pcall('SET', key, ARGV[1])
return {first, redis.pcall('MGET', unpack(KEYS)), redis.pcall('INCR', KEYS[#KEYS])}";

/// One command, as it is answered.
pub const SINGLE: &str = "return redis.pcall(unpack(ARGV))";

/// The same in RESP3.
pub const SINGLE3: &str = "redis.setresp(3) return redis.pcall(unpack(ARGV))";

/// The arguments of EVAL for those commands.
pub fn words(commands: &[Vec<String>], rng: &mut Rng) -> Vec<String> {
    let key_like = |command: &Vec<String>| command.get(1).cloned();
    let mut keys: Vec<String> = commands.iter().filter_map(key_like).collect();
    if rng.below(4) == 0 && !keys.is_empty() {
        let mut words = vec![PROVEN.to_string(), keys.len().to_string()];
        words.extend(keys);
        words.push(rng.below(100).to_string());
        return words;
    }
    match rng.below(4) {
        0 => keys.clear(),
        1 => keys = vec!["elsewhere".into()],
        _ => {}
    }
    let mut words = vec![ANY.to_string(), keys.len().to_string()];
    words.extend(keys);
    for command in commands {
        words.push(command.len().to_string());
        words.extend(command.iter().cloned());
    }
    words
}

/// The commands that EVAL with those arguments runs, in order.
pub fn commands_of(args: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let number = |arg: &Vec<u8>| String::from_utf8_lossy(arg).parse::<usize>().expect("a count");
    let (keys, argv) = args[3..].split_at(number(&args[2]));
    let word = |text: &str| text.as_bytes().to_vec();
    if args[1] == PROVEN.as_bytes() {
        let all = [vec![word("MGET")], keys.to_vec()].concat();
        let last = keys.last().expect("it has keys").clone();
        return vec![vec![word("SET"), keys[0].clone(), argv[0].clone()], all, vec![word("INCR"), last]];
    }
    let mut commands = Vec::new();
    let mut rest = argv;
    while let Some((count, words)) = rest.split_first() {
        let (command, after) = words.split_at(number(count));
        commands.push(command.to_vec());
        rest = after;
    }
    commands
}
