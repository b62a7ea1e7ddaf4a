//! The rings between cores: one for each ordered pair, so that sending takes no lock.
//!
//! In: values for other cores. Out: values from them, in the order each sender sent them.
//! Invariants: M1, sending never blocks: what does not fit waits in a queue of the sender; M2, a core that announced
//! its sleep and found nothing is woken by whoever sends next (both sides write, fence, then read).

mod ring;

use std::collections::VecDeque;

use ring::sync::{Arc, AtomicBool, Ordering, fence};
use ring::{Consumer, Producer, ring};

/// One core's end of every ring.
pub struct Port<T> {
    core: usize,
    out: Vec<Option<Producer<T>>>,
    /// What did not fit into the rings, for each core.
    overflow: Vec<VecDeque<T>>,
    overflowing: usize,
    input: Vec<Option<Consumer<T>>>,
    /// The sender whose turn it is.
    turn: usize,
    asleep: Arc<[Flag]>,
    wakes: Vec<usize>,
}

/// A core sleeps in the kernel. Aligned so that flags do not share a cache line.
#[repr(align(128))]
struct Flag(AtomicBool);

/// The ports of `cores` cores whose rings hold `capacity` values each, a power of two.
pub fn mesh<T: Send>(cores: usize, capacity: usize) -> Vec<Port<T>> {
    let asleep: Arc<[Flag]> = (0..cores).map(|_| Flag(AtomicBool::new(false))).collect::<Vec<_>>().into();
    let mut ports: Vec<Port<T>> = (0..cores)
        .map(|core| Port {
            core,
            out: (0..cores).map(|_| None).collect(),
            overflow: (0..cores).map(|_| VecDeque::new()).collect(),
            overflowing: 0,
            input: (0..cores).map(|_| None).collect(),
            turn: 0,
            asleep: asleep.clone(),
            wakes: Vec::new(),
        })
        .collect();
    for from in 0..cores {
        for to in (0..cores).filter(|&to| to != from) {
            let (producer, consumer) = ring(capacity);
            ports[from].out[to] = Some(producer);
            ports[to].input[from] = Some(consumer);
        }
    }
    ports
}

impl<T: Send> Port<T> {
    /// Sends to another core; never blocks (M1).
    pub fn send(&mut self, to: usize, value: T) {
        let producer = self.out[to].as_mut().expect("a core does not send to itself");
        let rejected = if self.overflow[to].is_empty() { producer.push(value).err() } else { Some(value) };
        if let Some(value) = rejected {
            self.overflowing += self.overflow[to].is_empty() as usize;
            self.overflow[to].push_back(value);
        }
        if !self.wakes.contains(&to) {
            self.wakes.push(to);
        }
    }

    /// Moves what waits into the rings. True: nothing waits any more.
    pub fn flush(&mut self) -> bool {
        if self.overflowing == 0 {
            return true;
        }
        for (to, queue) in self.overflow.iter_mut().enumerate() {
            let Some(producer) = self.out[to].as_mut() else { continue };
            let waited = !queue.is_empty();
            while let Some(value) = queue.pop_front() {
                if let Err(value) = producer.push(value) {
                    queue.push_front(value);
                    break;
                }
            }
            self.overflowing -= (waited && queue.is_empty()) as usize;
            if waited && !self.wakes.contains(&to) {
                self.wakes.push(to);
            }
        }
        self.overflowing == 0
    }

    /// The next value and its sender; senders take turns.
    pub fn receive(&mut self) -> Option<(usize, T)> {
        let mut from = self.turn;
        for _ in 0..self.input.len() {
            let value = self.input[from].as_mut().and_then(Consumer::pop);
            let next = if from + 1 == self.input.len() { 0 } else { from + 1 };
            if let Some(value) = value {
                self.turn = next;
                return Some((from, value));
            }
            from = next;
        }
        None
    }

    pub fn has_input(&self) -> bool {
        self.input.iter().flatten().any(Consumer::has_input)
    }

    /// This core is about to sleep. False: there is something to do after all (M2).
    pub fn announce_sleep(&self) -> bool {
        self.asleep[self.core].0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        !self.has_input() && self.overflowing == 0
    }

    pub fn announce_awake(&self) {
        self.asleep[self.core].0.store(false, Ordering::Relaxed);
    }

    /// The cores that were sent something and sleep: each has to be woken once. Take them all: those left in the
    /// iterator are forgotten.
    #[must_use = "a core that is not woken sleeps through what it was sent"]
    pub fn take_wakes(&mut self) -> impl Iterator<Item = usize> + '_ {
        if !self.wakes.is_empty() {
            fence(Ordering::SeqCst);
        }
        let asleep = &self.asleep;
        self.wakes.drain(..).filter(|&core| {
            let flag = &asleep[core].0;
            flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What may happen to a mesh of three cores.
    #[derive(Clone, Debug)]
    enum Step {
        Send { from: usize, to: usize },
        Flush { core: usize },
        Receive { core: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_usize, 1..3_usize).prop_map(|(from, by)| Step::Send { from, to: (from + by) % 3 }),
            1 => (0..3_usize).prop_map(|core| Step::Flush { core }),
            3 => (0..3_usize).prop_map(|core| Step::Receive { core }),
        ]
    }

    proptest! {
        /// The model: one queue for each ordered pair. Nothing is lost or doubled, and each pair's order holds.
        #[test]
        fn behaves_like_a_queue_for_each_pair(steps in prop::collection::vec(step(), 0..400)) {
            let mut ports = mesh::<usize>(3, 2);
            let mut model = vec![vec![VecDeque::new(); 3]; 3];
            let flushes = (0..3).map(|core| Step::Flush { core });
            let receives = (0..3).map(|core| Step::Receive { core });
            let drain = flushes.chain(receives).cycle().take(6 * (steps.len() + 1));
            for (n, step) in steps.iter().cloned().chain(drain).enumerate() {
                match step {
                    Step::Send { from, to } => {
                        ports[from].send(to, n);
                        model[from][to].push_back(n);
                    }
                    Step::Flush { core } => drop(ports[core].flush()),
                    Step::Receive { core } => {
                        let input = ports[core].has_input();
                        let received = ports[core].receive();
                        prop_assert_eq!(input, received.is_some());
                        if let Some((from, n)) = received {
                            prop_assert_eq!(model[from][core].pop_front(), Some(n));
                        }
                    }
                }
            }
            prop_assert!(model.iter().flatten().all(VecDeque::is_empty), "everything arrives in the end");
        }
    }

    #[test]
    fn senders_take_turns() {
        let mut ports = mesh::<u8>(3, 4);
        for n in 0..3 {
            ports[0].send(2, n);
            ports[1].send(2, n);
        }
        let order: Vec<_> = std::iter::from_fn(|| ports[2].receive()).collect();
        assert_eq!(order, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]);
    }

    #[test]
    fn everything_arrives_in_order_however_small_the_rings() {
        let mut ports = mesh::<(usize, u32)>(3, 4);
        let mut last = ports.pop().unwrap();
        let threads: Vec<_> = ports
            .into_iter()
            .enumerate()
            .map(|(from, mut port)| {
                std::thread::spawn(move || {
                    (0..10_000).for_each(|n| port.send(2, (from, n)));
                    while !port.flush() {
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        let mut next = [0, 0];
        while next != [10_000, 10_000] {
            let Some((from, (claimed, n))) = last.receive() else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!((from, next[from]), (claimed, n));
            next[from] += 1;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let mut ports = mesh::<u8>(2, 4);
        let mut b = ports.pop().unwrap();
        let mut a = ports.pop().unwrap();
        assert!(b.announce_sleep());
        a.send(1, 1);
        a.send(1, 2);
        assert_eq!(a.take_wakes().collect::<Vec<_>>(), [1]);
        a.send(1, 3);
        assert_eq!(a.take_wakes().count(), 0);
        assert!(!b.announce_sleep(), "there is input");
        assert_eq!(b.receive(), Some((0, 1)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    /// Whatever the interleaving: the sleeper sees the value before it sleeps, or the sender wakes it.
    #[test]
    fn no_message_is_slept_through() {
        loom::model(|| {
            let mut ports = mesh::<u8>(2, 2);
            let sleeper = ports.pop().unwrap();
            let mut sender = ports.pop().unwrap();
            let thread = loom::thread::spawn(move || {
                sender.send(1, 7);
                sender.take_wakes().count()
            });
            let sleeps = sleeper.announce_sleep();
            let woken = thread.join().unwrap();
            assert!(!sleeps || woken == 1, "slept through a message");
        });
    }

    /// A sleeper that wakes for a reason of its own and sleeps again, while a sender looks at its flag.
    #[test]
    fn sleeping_again_misses_nothing() {
        loom::model(|| {
            let mut ports = mesh::<u8>(2, 2);
            let mut sleeper = ports.pop().unwrap();
            let mut sender = ports.pop().unwrap();
            let thread = loom::thread::spawn(move || {
                sender.send(1, 7);
                sender.take_wakes().count()
            });
            let slept_before = sleeper.announce_sleep();
            sleeper.announce_awake();
            let early = sleeper.receive().is_some();
            let sleeps = sleeper.announce_sleep();
            let woken = thread.join().unwrap();
            assert!(early || !sleeps || woken == 1, "slept through a message");
            assert!(slept_before || early, "input that was seen is there");
        });
    }

    #[test]
    fn nothing_is_lost_or_torn() {
        loom::model(|| {
            let mut ports = mesh::<Box<u32>>(2, 2);
            let mut to = ports.pop().unwrap();
            let mut from = ports.pop().unwrap();
            let thread = loom::thread::spawn(move || {
                (0..3).for_each(|n| from.send(1, Box::new(n)));
                from.flush();
                from
            });
            let mut seen = Vec::new();
            seen.extend(to.receive().map(|(_, n)| *n));
            seen.extend(to.receive().map(|(_, n)| *n));
            let mut from = thread.join().unwrap();
            from.flush();
            while let Some((_, n)) = to.receive() {
                seen.push(*n);
                from.flush();
            }
            assert_eq!(seen, [0, 1, 2]);
        });
    }
}
