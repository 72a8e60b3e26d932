//! Deadlines of connections: one wheel per shard.
//!
//! A connection stands in the wheel at most once, at or before its next deadline. When its time
//! comes the connection is asked for its deadline anew; most often that has moved on, and it is
//! put back. So the usual request, which only moves the idle deadline further away, never
//! touches the wheel.

use std::time::Duration;

use crate::http::Time;

/// Nanoseconds of a tick as a power of two: 16.8 ms.
const TICK_SHIFT: u32 = 24;
/// Slots; 8192 ticks are 137 s, more than any default deadline.
const SLOTS: u32 = 8192;
/// No entry.
const NONE: u32 = u32::MAX;
/// In the place of the next node: this one is in no list.
const UNLINKED: u32 = u32::MAX - 1;

/// A connection's place in the wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    next: u32,
    previous: u32,
    /// Tick it is due at; meaningless while not linked.
    due: u32,
}

impl Node {
    pub(crate) const fn new() -> Self {
        Self { next: UNLINKED, previous: NONE, due: 0 }
    }

    fn is_linked(self) -> bool {
        self.next != UNLINKED
    }
}

/// Where the nodes are kept.
pub(crate) trait Nodes {
    fn node(&mut self, index: u32) -> &mut Node;
}

/// The wheel.
pub(crate) struct Wheel {
    /// First node of each slot.
    heads: Vec<u32>,
    /// One bit per slot that is not empty.
    occupied: Vec<u64>,
    /// All ticks up to this one have been expired. Nodes hold the lower half, which is enough to
    /// tell two apart that lie within one turn of the wheel.
    done: u64,
    /// Nodes in the wheel.
    count: u32,
}

impl Wheel {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            heads: vec![NONE; SLOTS as usize],
            occupied: vec![0; SLOTS as usize / 64],
            done: tick(now),
            count: 0,
        }
    }

    /// Have `index` expire at `at` or earlier; does nothing if it already does.
    #[inline]
    pub(crate) fn schedule(&mut self, nodes: &mut impl Nodes, index: u32, at: Time) {
        // Rounded up: never early by the rounding. The farthest slot stands for all beyond it.
        let ahead = (tick(at) + 1).saturating_sub(self.done).clamp(1, u64::from(SLOTS) - 1);
        let due = (self.done + ahead) as u32;
        let node = *nodes.node(index);
        if node.is_linked() {
            if (due.wrapping_sub(node.due) as i32) >= 0 {
                return;
            }
            self.unlink(nodes, index);
        }
        self.link(nodes, index, due);
    }

    /// Forget `index`.
    pub(crate) fn remove(&mut self, nodes: &mut impl Nodes, index: u32) {
        if nodes.node(index).is_linked() {
            self.unlink(nodes, index);
        }
    }

    /// Take out all that are due by `now`.
    pub(crate) fn expire(&mut self, nodes: &mut impl Nodes, now: Time, due: &mut Vec<u32>) {
        let target = tick(now);
        if self.count == 0 {
            self.done = target;
            return;
        }
        // After a long stop one round visits every slot.
        let steps = target.saturating_sub(self.done).min(u64::from(SLOTS));
        for step in 1..=steps {
            let slot = ((self.done + step) % u64::from(SLOTS)) as u32;
            while self.heads[slot as usize] != NONE {
                let index = self.heads[slot as usize];
                self.unlink(nodes, index);
                due.push(index);
            }
        }
        if steps > 0 {
            self.done = target;
        }
    }

    /// How long until the next one is due.
    pub(crate) fn next(&self, now: Time) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let first = ((self.done + 1) % u64::from(SLOTS)) as u32;
        let ahead = (0..=SLOTS / 64)
            .find_map(|word| self.occupied_after(first, word))
            .map(|slot| slot.wrapping_sub(first) % SLOTS)?;
        let due = Time::from_nanos((self.done + 1 + u64::from(ahead)) << TICK_SHIFT);
        Some(due.since(now))
    }

    /// The first occupied slot in the `word`-th word counted from the one that holds `first`;
    /// in the starting word only slots from `first` on count, in the last round those before it.
    fn occupied_after(&self, first: u32, word: u32) -> Option<u32> {
        let words = SLOTS / 64;
        let index = (first / 64 + word) % words;
        let mut bits = self.occupied[index as usize];
        let below = (1u64 << (first % 64)) - 1;
        if word == 0 {
            bits &= !below;
        } else if word == words {
            bits &= below;
        }
        (bits != 0).then(|| index * 64 + bits.trailing_zeros())
    }

    fn link(&mut self, nodes: &mut impl Nodes, index: u32, due: u32) {
        let slot = due % SLOTS;
        let next = self.heads[slot as usize];
        *nodes.node(index) = Node { next, previous: NONE, due };
        if next != NONE {
            nodes.node(next).previous = index;
        }
        self.heads[slot as usize] = index;
        self.occupied[slot as usize / 64] |= 1 << (slot % 64);
        self.count += 1;
    }

    fn unlink(&mut self, nodes: &mut impl Nodes, index: u32) {
        let Node { next, previous, due } = *nodes.node(index);
        *nodes.node(index) = Node::new();
        if next != NONE {
            nodes.node(next).previous = previous;
        }
        if previous != NONE {
            nodes.node(previous).next = next;
        } else {
            let slot = due % SLOTS;
            self.heads[slot as usize] = next;
            if next == NONE {
                self.occupied[slot as usize / 64] &= !(1 << (slot % 64));
            }
        }
        self.count -= 1;
    }
}

fn tick(time: Time) -> u64 {
    time.as_nanos() >> TICK_SHIFT
}

const _: () = assert!(SLOTS.is_multiple_of(64));

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(Vec<Node>);

    impl Nodes for Table {
        fn node(&mut self, index: u32) -> &mut Node {
            &mut self.0[index as usize]
        }
    }

    fn setup(start: u64) -> (Wheel, Table) {
        (Wheel::new(Time::from_nanos(start)), Table(vec![Node::new(); 64]))
    }

    const TICK: u64 = 1 << TICK_SHIFT;

    fn expire(wheel: &mut Wheel, table: &mut Table, at: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expire(table, Time::from_nanos(at), &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn nothing_is_early_and_nothing_is_late_by_more_than_two_ticks() {
        let (mut wheel, mut table) = setup(5 * TICK + 17);
        for index in 0..64 {
            let at = 5 * TICK + u64::from(index) * 3 * TICK / 2;
            wheel.schedule(&mut table, index, Time::from_nanos(at));
        }
        let mut seen = 0;
        for now in (5 * TICK..110 * TICK).step_by(TICK as usize / 3) {
            for index in expire(&mut wheel, &mut table, now) {
                let at = 5 * TICK + u64::from(index) * 3 * TICK / 2;
                assert!(now >= at.min(now), "early");
                assert!(now >= at && now <= at + 2 * TICK, "{index}: {now} against {at}");
                seen += 1;
            }
        }
        assert_eq!(seen, 64);
        assert_eq!(wheel.next(Time::from_nanos(110 * TICK)), None);
    }

    #[test]
    fn a_later_deadline_leaves_the_earlier_place() {
        let (mut wheel, mut table) = setup(0);
        wheel.schedule(&mut table, 3, Time::from_nanos(10 * TICK));
        wheel.schedule(&mut table, 3, Time::from_nanos(900 * TICK));
        assert_eq!(expire(&mut wheel, &mut table, 12 * TICK), [3]);
        wheel.schedule(&mut table, 3, Time::from_nanos(900 * TICK));
        wheel.schedule(&mut table, 3, Time::from_nanos(20 * TICK));
        assert_eq!(expire(&mut wheel, &mut table, 22 * TICK), [3]);
        assert_eq!(expire(&mut wheel, &mut table, 2000 * TICK), [0u32; 0]);
    }

    #[test]
    fn next_tells_when_to_wake() {
        let (mut wheel, mut table) = setup(7 * TICK);
        assert_eq!(wheel.next(Time::from_nanos(7 * TICK)), None);
        wheel.schedule(&mut table, 1, Time::from_nanos(5000 * TICK));
        wheel.schedule(&mut table, 2, Time::from_nanos(50 * TICK));
        let now = Time::from_nanos(8 * TICK + 5);
        let wait = wheel.next(now).unwrap();
        let at = 8 * TICK + 5 + wait.as_nanos() as u64;
        assert!((50 * TICK..=52 * TICK).contains(&at));
        assert_eq!(expire(&mut wheel, &mut table, at), [2]);
        let wait = wheel.next(Time::from_nanos(at)).unwrap();
        let at = at + wait.as_nanos() as u64;
        assert!((5000 * TICK..=5002 * TICK).contains(&at));
        assert_eq!(expire(&mut wheel, &mut table, at), [1]);
    }

    #[test]
    fn beyond_the_horizon_it_comes_early_to_be_put_back() {
        let (mut wheel, mut table) = setup(0);
        wheel.schedule(&mut table, 1, Time::from_nanos(3 * u64::from(SLOTS) * TICK));
        let early = expire(&mut wheel, &mut table, u64::from(SLOTS) * TICK);
        assert_eq!(early, [1]);
    }

    #[test]
    fn a_long_stop_expires_everything_once() {
        let (mut wheel, mut table) = setup(0);
        for index in 0..64 {
            wheel.schedule(&mut table, index, Time::from_nanos(u64::from(index) * 100 * TICK));
        }
        assert_eq!(expire(&mut wheel, &mut table, 100_000 * TICK).len(), 64);
        wheel.schedule(&mut table, 0, Time::from_nanos(100_001 * TICK));
        assert_eq!(expire(&mut wheel, &mut table, 100_003 * TICK), [0]);
    }

    #[test]
    fn for_ever_is_not_now() {
        let (mut wheel, mut table) = setup(0);
        wheel.schedule(&mut table, 1, Time::from_nanos(u64::MAX));
        assert_eq!(expire(&mut wheel, &mut table, 1000 * TICK), [0u32; 0]);
        assert!(wheel.next(Time::from_nanos(1000 * TICK)).unwrap() > Duration::from_secs(60));
    }

    #[test]
    fn removal_from_any_place_of_a_slot() {
        for gone in 0..3 {
            let (mut wheel, mut table) = setup(0);
            for index in 0..3 {
                wheel.schedule(&mut table, index, Time::from_nanos(10 * TICK));
            }
            wheel.remove(&mut table, gone);
            wheel.remove(&mut table, gone);
            let rest: Vec<u32> = (0..3).filter(|index| *index != gone).collect();
            assert_eq!(expire(&mut wheel, &mut table, 20 * TICK), rest);
        }
    }

    #[test]
    fn the_tick_counter_wraps() {
        let start = (u64::from(u32::MAX) - 2) << TICK_SHIFT;
        let (mut wheel, mut table) = setup(start);
        wheel.schedule(&mut table, 9, Time::from_nanos(start + 10 * TICK));
        assert_eq!(expire(&mut wheel, &mut table, start + 5 * TICK), [0u32; 0]);
        let wait = wheel.next(Time::from_nanos(start + 5 * TICK)).unwrap();
        assert!(wait <= Duration::from_nanos(7 * TICK));
        assert_eq!(expire(&mut wheel, &mut table, start + 12 * TICK), [9]);
    }
}
