//! Pipelines that arrive at once: what one command of a stretch leaves behind for those after it.

use crate::config::{Config, MaxmemoryPolicy};
use crate::sim::conversation::request;
use crate::sim::world::World;

/// Several worlds of one core and of three: they split what arrives in different places.
fn worlds(config: &Config) -> impl Iterator<Item = World> {
    let config = config.clone();
    [1, 3].into_iter().flat_map(move |cores| {
        let config = config.clone();
        (0..12).map(move |seed| World::configured(cores, seed, config.clone()))
    })
}

/// Says commands, ` | ` between them, in one go. Returns the replies as they were sent.
fn say(world: &mut World, commands: &str) -> String {
    let client = world.connect();
    let words = |command: &str| command.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let bytes: Vec<u8> = commands.split(" | ").flat_map(|command| request(&words(command))).collect();
    world.write(client, &bytes);
    world.run_until_quiet();
    String::from_utf8(std::mem::take(world.inbox(client))).expect("replies are text here")
}

#[test]
fn touch_does_not_touch_for_others() {
    for mut world in worlds(&Config::default()) {
        say(&mut world, "MSET a 1 b 1");
        world.pass_ms(3000);
        let replies = say(&mut world, "CLIENT NO-TOUCH ON | TOUCH a | GET b | OBJECT IDLETIME b");
        assert_eq!(replies, "+OK\r\n:1\r\n$1\r\n1\r\n:3\r\n", "seed {}", world.seed);
    }
}

/// SETRANGE takes more than there is: whatever comes next, be it a read, finds the key gone that had to make room.
#[test]
fn reads_make_room() {
    let mut config = Config::default();
    (config.maxmemory, config.maxmemory_policy) = (1 << 20, MaxmemoryPolicy::VolatileTtl);
    for mut world in worlds(&config) {
        let replies = say(&mut world, "SET x v EX 1000 | SETRANGE big 2000000 x | GET x | GET x");
        assert_eq!(replies, "+OK\r\n:2000001\r\n$-1\r\n$-1\r\n", "seed {}", world.seed);
        say(&mut world, "DEL big | SET x v EX 1000");
        assert_eq!(say(&mut world, "GET x | STRLEN x"), "$1\r\nv\r\n:1\r\n", "seed {}", world.seed);
    }
}

/// With one number for all of its uses, most keys would stay near where they began, at 5.
#[test]
fn each_use_of_a_key_has_its_own_chance() {
    let mut config = Config::default();
    (config.lfu_log_factor, config.maxmemory_policy) = (1, MaxmemoryPolicy::AllkeysLfu);
    let mut total = 0;
    for mut world in worlds(&config) {
        let uses = say(&mut world, &format!("SET k v | {}OBJECT FREQ k", "GET k | ".repeat(64)));
        let frequency: u32 =
            uses.rsplit(':').next().and_then(|last| last.trim().parse().ok()).expect("a number");
        assert!((6..40).contains(&frequency), "seed {}: {frequency}", world.seed);
        total += frequency;
    }
    assert!(total / 24 >= 12, "{total} in 24 worlds");
}

#[test]
fn a_setting_holds_for_what_follows_it() {
    for mut world in worlds(&Config::default()) {
        let replies =
            say(&mut world, "GET k | CONFIG SET maxmemory-policy allkeys-lfu | SET k v | OBJECT FREQ k");
        assert_eq!(replies, "$-1\r\n+OK\r\n+OK\r\n:5\r\n", "seed {}", world.seed);
    }
}

/// Each command of a stretch counts, and so does what ends it.
#[test]
fn commands_are_counted() {
    for mut world in worlds(&Config::default()) {
        let replies = say(&mut world, "SET k v | GET k | STRLEN k | CLIENT INFO");
        assert!(
            replies.contains(" cmd=client|info ") && replies.trim_end().ends_with(" tot-cmds=4"),
            "{replies}"
        );
    }
}
