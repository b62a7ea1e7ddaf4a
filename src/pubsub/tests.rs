//! The exchange against a naive list of subscriptions.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::client::ConnectionId;

const CORES: usize = 3;
const NAMES: &[&str] = &["a", "b", "a*", "[ab]", "*"];

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u64, Kind, usize),
    Unsubscribe(u64, Kind, usize),
    Leave(u64),
    Withdraw(u64),
    Publish(Kind, usize),
    Collect(usize),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Channel), Just(Kind::Pattern), Just(Kind::ShardChannel)]
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..9_u64;
    prop_oneof![
        6 => (client(), kind(), 0..NAMES.len()).prop_map(|(id, kind, name)| Step::Subscribe(id, kind, name)),
        3 => (client(), kind(), 0..NAMES.len()).prop_map(|(id, kind, name)| Step::Unsubscribe(id, kind, name)),
        1 => client().prop_map(Step::Leave),
        1 => client().prop_map(Step::Withdraw),
        6 => (kind(), 0..2_usize).prop_map(|(kind, name)| Step::Publish(kind, name)),
        2 => (0..CORES).prop_map(Step::Collect),
    ]
}

fn seat(id: u64) -> ConnectionId {
    ConnectionId { core: (id % CORES as u64) as u16, slot: id as u32, generation: 1 }
}

/// What lies in the boxes: place, receiver, by pattern or not.
type Sent = Vec<Vec<(u64, u32, Option<String>)>>;

fn opened(exchange: &Exchange, core: usize) -> Vec<(u64, u32, Option<String>)> {
    let mut parcels = Vec::new();
    exchange.collect(core, &mut parcels);
    let text = |name: &Name| String::from_utf8_lossy(name).into_owned();
    let each = |parcel: &Parcel| {
        let (place, pattern) = (parcel.message.place, parcel.pattern.as_ref().map(text));
        parcel.seats.iter().map(move |seat| (place, seat.slot, pattern.clone())).collect::<Vec<_>>()
    };
    parcels.iter().flat_map(each).collect()
}

proptest! {
    #[test]
    fn behaves_like_a_list(steps in prop::collection::vec(step(), 0..200)) {
        let exchange = Exchange::new(CORES, 0);
        let mut model: BTreeSet<(u8, &str, u64)> = BTreeSet::new();
        let mut withdrawn = BTreeSet::new();
        let mut sent: Sent = vec![Vec::new(); CORES];
        let mut place = 0;
        for step in steps {
            match step {
                Step::Subscribe(id, kind, name) if !withdrawn.contains(&id) => {
                    exchange.lock().subscribe(id, seat(id), kind, NAMES[name].as_bytes());
                    model.insert((kind as u8, NAMES[name], id));
                }
                Step::Unsubscribe(id, kind, name) if !withdrawn.contains(&id) => {
                    exchange.lock().unsubscribe(id, kind, NAMES[name].as_bytes());
                    model.remove(&(kind as u8, NAMES[name], id));
                }
                Step::Subscribe(..) | Step::Unsubscribe(..) => {}
                Step::Leave(id) => {
                    exchange.lock().leave(id);
                    withdrawn.remove(&id);
                    model.retain(|(_, _, member)| *member != id);
                }
                Step::Withdraw(id) => {
                    exchange.lock().withdraw(id);
                    withdrawn.insert(id);
                    model.retain(|(_, _, member)| *member != id);
                }
                Step::Publish(kind, name) => {
                    let kind = if kind == Kind::Pattern { Kind::Channel } else { kind };
                    let channel = NAMES[name];
                    let direct = model.iter().filter(|(k, n, _)| *k == kind as u8 && *n == channel).map(|it| (it.2, None));
                    let matching = |k: u8, n: &str| {
                        kind == Kind::Channel && k == Kind::Pattern as u8 && glob::matches(n.as_bytes(), channel.as_bytes(), false)
                    };
                    let by_pattern = model.iter().filter(|(k, n, _)| matching(*k, n)).map(|it| (it.2, Some(it.1.to_string())));
                    let receivers: Vec<_> = direct.chain(by_pattern).collect();
                    place += !receivers.is_empty() as u64;
                    for (id, pattern) in &receivers {
                        sent[*id as usize % CORES].push((place, *id as u32, pattern.clone()));
                    }
                    let mut woken = Vec::new();
                    let full: Vec<_> = (0..CORES).map(|core| exchange.has_mail(core)).collect();
                    let count = exchange.publish(kind, channel.as_bytes(), b"m", |core| woken.push(core));
                    prop_assert_eq!(count, receivers.len());
                    prop_assert_eq!(exchange.place(), place);
                    let newly: Vec<_> = (0..CORES).filter(|&core| exchange.has_mail(core) && !full[core]).collect();
                    woken.sort();
                    prop_assert_eq!(woken, newly);
                }
                Step::Collect(core) => prop_assert_eq!(opened(&exchange, core), std::mem::take(&mut sent[core])),
            }
            exchange.lock().verify();
            prop_assert_eq!(exchange.is_silent(), model.is_empty());
        }
        for (core, sent) in sent.into_iter().enumerate() {
            prop_assert_eq!(exchange.has_mail(core), !sent.is_empty());
            prop_assert_eq!(opened(&exchange, core), sent);
        }
    }
}

/// Two publishers and two boxes, on threads of their own: both boxes hold all messages, in one order.
#[test]
fn all_boxes_have_one_order() {
    const EACH: u64 = 2_000;
    let exchange = Exchange::new(2, 0);
    for id in 0..2 {
        let seat = ConnectionId { core: id as u16, slot: 0, generation: 1 };
        exchange.lock().subscribe(id, seat, Kind::Pattern, b"*");
    }
    let read = |core: usize| {
        let mut found = Vec::new();
        while found.len() < 2 * EACH as usize {
            let mut parcels = Vec::new();
            exchange.collect(core, &mut parcels);
            for parcel in parcels {
                let mut text = Vec::new();
                parcel.write(&mut text);
                found.push(text);
            }
        }
        found
    };
    let publish = |channel: &str| {
        for n in 0..EACH {
            assert_eq!(
                exchange.publish(Kind::Channel, channel.as_bytes(), n.to_string().as_bytes(), |_| ()),
                2
            );
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(|| read(0)), scope.spawn(|| read(1))];
        scope.spawn(|| publish("x"));
        scope.spawn(|| publish("y"));
        let [a, b] = readers.map(|reader| reader.join().unwrap());
        assert!(a == b, "both see the same");
    });
}
