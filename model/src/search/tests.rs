//! The checker is checked: small protocols whose defects are known.

use super::*;

/// A waker and a sleeper, as in every textbook on lost wake-ups. The waker publishes work and then
/// rings if it sees the sleeper's flag; the sleeper raises the flag, looks for work, and blocks.
struct Toy {
    flaw: Flaw,
}

#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    /// The sleeper looks for work before it raises its flag.
    LooksTooEarly,
    /// The waker may crash in the middle, and nobody takes its place.
    WakerDies,
    /// The waker takes the flag down without ringing, so that only another request would help.
    OnlyTheNextRequestHelps,
    /// The sleeper takes work twice.
    TakesTwice,
}

#[derive(Clone, Copy, Default)]
struct Room {
    waker: u8,
    sleeper: u8,
    work: bool,
    flag: bool,
    bell: bool,
    done: bool,
}

type After = Result<Room, Violation>;

impl Toy {
    fn waker(&self, room: Room) -> Option<(Kind, After)> {
        let next = Room { waker: room.waker + 1, ..room };
        match room.waker {
            // Nobody has to come; work that came has to be done.
            0 => Some((Kind::Chance, Ok(Room { work: true, ..next }))),
            1 if self.flaw == Flaw::OnlyTheNextRequestHelps => {
                Some((Kind::Sure, Ok(Room { flag: false, ..next })))
            }
            1 => Some((Kind::Sure, Ok(Room { bell: room.flag, ..next }))),
            2 if self.flaw == Flaw::OnlyTheNextRequestHelps => {
                Some((Kind::Chance, Ok(Room { bell: true, ..next })))
            }
            _ => None,
        }
    }

    fn sleeper(&self, room: Room) -> Option<After> {
        let early = self.flaw == Flaw::LooksTooEarly;
        let next = Room { sleeper: room.sleeper + 1, ..room };
        match room.sleeper {
            0 if early => Some(Ok(Room { sleeper: if room.work { 3 } else { 1 }, ..room })),
            0 => Some(Ok(Room { flag: true, ..next })),
            1 if early => Some(Ok(Room { flag: true, ..next })),
            1 => Some(Ok(Room { sleeper: if room.work { 3 } else { 2 }, ..room })),
            2 => room.bell.then_some(Ok(next)),
            3 if self.flaw == Flaw::TakesTwice && room.done => Some(Err("done twice")),
            3 if self.flaw == Flaw::TakesTwice => Some(Ok(Room { done: room.work, ..room })),
            3 => Some(Ok(Room { done: room.work, ..next })),
            _ => None,
        }
    }
}

impl Protocol for Toy {
    type State = Room;

    fn initial(&self) -> Room {
        Room::default()
    }

    fn pack(&self, room: &Room) -> Packed {
        let flags = [room.work, room.flag, room.bell, room.done].map(u64::from);
        [u64::from(room.waker), u64::from(room.sleeper), flags.iter().fold(0, |all, f| all * 2 + f)]
    }

    fn unpack(&self, [waker, sleeper, flags]: Packed) -> Room {
        let [work, flag, bell, done] = [8, 4, 2, 1].map(|bit| flags & bit != 0);
        Room { waker: waker as u8, sleeper: sleeper as u8, work, flag, bell, done }
    }

    fn steps(&self, &room: &Room, steps: &mut Vec<Step<Room>>) {
        if let Some((kind, after)) = self.waker(room) {
            steps.push(Step { actor: "waker", kind, after });
        }
        if let Some(after) = self.sleeper(room) {
            steps.push(Step { actor: "sleeper", kind: Kind::Sure, after });
        }
        if self.flaw == Flaw::WakerDies && room.waker == 1 {
            let after = Ok(Room { waker: 9, ..room });
            steps.push(Step { actor: "crash", kind: Kind::Chance, after });
        }
    }

    fn finished(&self, room: &Room) -> bool {
        room.done || !room.work
    }

    fn explain(&self, _before: &Room, step: &Step<Room>) -> String {
        step.actor.to_owned()
    }
}

#[track_caller]
fn check(flaw: Flaw, states_max: usize, expected: &str) {
    let verdict = match search(&Toy { flaw }, states_max).verdict {
        Verdict::Holds => "holds".to_owned(),
        Verdict::TooLarge => "too large".to_owned(),
        Verdict::Broken { rule, trace } => format!("{rule}: {}", trace.join(", ")),
        Verdict::Wedged { trace } => format!("wedged: {}", trace.join(", ")),
    };
    assert_eq!(verdict, expected);
}

#[test]
fn a_correct_sleeper_holds() {
    check(Flaw::None, 100, "holds");
}

#[test]
fn a_lost_wake_up_is_found_by_its_shortest_trace() {
    check(
        Flaw::LooksTooEarly,
        100,
        "wedged: sleeper, waker, waker   <- from here on it cannot finish, sleeper",
    );
}

#[test]
fn a_crash_between_two_accesses_is_found() {
    check(
        Flaw::WakerDies,
        100,
        "wedged: sleeper, sleeper, waker, crash   <- from here on it cannot finish",
    );
}

#[test]
fn a_rescue_by_chance_is_none() {
    check(
        Flaw::OnlyTheNextRequestHelps,
        100,
        "wedged: sleeper, sleeper, waker   <- from here on it cannot finish, waker",
    );
}

#[test]
fn a_broken_rule_ends_the_search() {
    check(Flaw::TakesTwice, 100, "done twice: waker, sleeper, sleeper, sleeper, sleeper");
}

#[test]
fn more_states_than_allowed_are_no_success() {
    check(Flaw::None, 3, "too large");
}
