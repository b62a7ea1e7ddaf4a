//! Conversations about how many changes commands count, which INFO tells and the save points look at.
//! Absent: all commands in all forms; tests/clients/test_changes.py compares those with Valkey.

use super::conversation::request;
use super::world::World;

/// Runs `COMMAND => changes | ...` on one core and on three, and expects that the count grows so with each command.
pub fn check_changes(text: &str) {
    for cores in [1, 3] {
        let mut world = World::new(cores, 1);
        let client = world.connect();
        let mut ask = |text: &str| {
            let args: Vec<Vec<u8>> = text.split(' ').map(|arg| arg.as_bytes().to_vec()).collect();
            world.write(client, &request(&args));
            world.run_until_quiet();
            String::from_utf8_lossy(&std::mem::take(world.inbox(client))).into_owned()
        };
        let mut expected = 0;
        for step in text.split(" | ") {
            let (command, changes) = step.split_once(" => ").expect("a command and its changes");
            ask(command.trim());
            expected += changes.trim().parse::<u64>().expect("a number");
            let info = ask("INFO persistence");
            let line = format!("rdb_changes_since_last_save:{expected}\r\n");
            assert!(
                info.contains(&line),
                "after {command}, {cores} cores: {expected} changes, not as in {info}"
            );
        }
    }
}
