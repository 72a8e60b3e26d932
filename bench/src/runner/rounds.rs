//! In which order windows come, and when one is measured again. No clock, no process.

/// The subjects of one round. Each round begins with the next one, and every other one goes
/// backwards: nobody is always first, nobody always comes behind the same neighbour, and a machine
/// that slows down evenly slows everybody down alike.
pub(super) fn order(subjects: usize, round: u32) -> impl Iterator<Item = usize> {
    let first = round as usize;
    (0..subjects).map(move |place| match round % 2 {
        0 => (first + place) % subjects,
        _ => (first % subjects + subjects - place) % subjects,
    })
}

/// How often a disturbed window may still be repeated, in one window and in the whole run: a
/// machine that is never at rest would otherwise be measured for three times as long.
#[derive(Debug)]
pub(super) struct Repeats {
    left: u32,
    /// Windows that stayed disturbed because nothing was left.
    refused: u32,
}

/// What becomes of a window that was just measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It counts, and what disturbed it is shown with it.
    Counts,
    /// It is kept, does not count, and the next one is tried.
    Repeat,
}

impl Repeats {
    /// For a run of so many windows.
    pub(super) fn for_windows(windows: u32) -> Self {
        Self { left: windows.div_ceil(SHARE), refused: 0 }
    }

    pub(super) fn judge(&mut self, attempt: u32, is_disturbed: bool) -> Fate {
        if !is_disturbed || attempt >= ATTEMPTS_MAX - 1 {
            return Fate::Counts;
        }
        if self.left == 0 {
            self.refused += 1;
            return Fate::Counts;
        }
        self.left -= 1;
        Fate::Repeat
    }

    /// Windows that would have been repeated on a machine closer to rest.
    pub(super) fn refused(&self) -> u32 {
        self.refused
    }
}

/// A window is measured at most this often.
const ATTEMPTS_MAX: u32 = 3;
/// One window in so many may be repeated.
const SHARE: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_everybody_and_another_one_first() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1]]);
        assert_eq!(order(0, 5).count(), 0);
    }

    #[test]
    fn a_disturbed_window_is_repeated_twice_and_then_counts() {
        let mut repeats = Repeats::for_windows(100);
        let fates: Vec<Fate> = (0..3).map(|attempt| repeats.judge(attempt, true)).collect();
        assert_eq!(fates, [Fate::Repeat, Fate::Repeat, Fate::Counts]);
        assert_eq!(repeats.judge(0, false), Fate::Counts);
        assert_eq!(repeats.refused(), 0);
    }

    #[test]
    fn a_machine_that_is_never_at_rest_is_not_measured_for_ever() {
        let mut repeats = Repeats::for_windows(8);
        let fates: Vec<Fate> = (0..8).map(|_| repeats.judge(0, true)).collect();
        assert_eq!(fates.iter().filter(|fate| **fate == Fate::Repeat).count(), 2);
        assert_eq!(repeats.refused(), 6);
    }
}
