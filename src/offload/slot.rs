//! A slot as its shard keeps it in mind: what is owed for it, and what to do about what is seen.
//!
//! Pure: this file decides, `client` carries out. The private record is what the shard believes;
//! the words of the slot are what others say, and count only where they fit the record.
//!
//! ```text
//!            submit            DONE                       release
//!   Free ------------> Open ----------------------> Held ----------> Free
//!                      |  |  owner dead, no retry
//!                      |  +-------------------------------------> Free
//!            withdrawn |  | claimed already      DONE or owner dead
//!   until the hint is  |  +-------> Overtaken ------------------> Free
//!   passed: Withdrawn <+                              anything else: Spoiled, for good
//! ```

use super::word::{Generation, Life, Owner, SlotState, StateWord};

/// Where a body lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// In the chunks of a stream.
    Chunks,
    /// In blocks that the slot lists.
    Extents,
    /// In the slot.
    Inline,
}

impl Form {
    const fn pack(self) -> u64 {
        match self {
            Self::Inline => 1,
            Self::Extents => 2,
            Self::Chunks => 3,
        }
    }

    const fn unpack(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Self::Inline),
            2 => Some(Self::Extents),
            3 => Some(Self::Chunks),
            _ => None,
        }
    }
}

/// The request word: `epoch:16 | 0:8 | form:8 | bytes:32`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    /// Length in bytes; of a stream, of what is known at the start.
    pub bytes: u32,
    /// Where they are.
    pub form: Form,
    /// The life of the shard that waits for the answer.
    pub epoch: u16,
}

impl Request {
    /// As it stands in memory.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.bytes as u64 | self.form.pack() << 32 | (self.epoch as u64) << 48
    }

    /// Reads it; `None` for what no shard writes.
    #[must_use]
    pub const fn unpack(word: u64) -> Option<Self> {
        match Form::unpack((word >> 32) & 0xffff) {
            Some(form) => Some(Self { bytes: word as u32, form, epoch: (word >> 48) as u16 }),
            None => None,
        }
    }
}

/// How a worker left a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It ran, and this is its response.
    Answered,
    /// It never ran: nobody wanted it any more.
    Cancelled,
    /// It never ran: it was too late.
    Expired,
}

/// The response word: `ending:8 | form:8 | status:16 | bytes:32`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Response {
    /// Length in bytes.
    pub bytes: u32,
    /// A number of the application's; the protocol does not look at it.
    pub status: u16,
    /// Where the bytes are.
    pub form: Form,
    /// How it came to be.
    pub ending: Ending,
}

impl Response {
    /// As it stands in memory.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let ending = match self.ending {
            Ending::Answered => 1,
            Ending::Cancelled => 2,
            Ending::Expired => 3,
        };
        self.bytes as u64
            | (self.status as u64) << 32
            | self.form.pack() << 48
            | (ending as u64) << 56
    }

    /// Reads it; `None` for what no worker writes.
    #[must_use]
    pub const fn unpack(word: u64) -> Option<Self> {
        let ending = match word >> 56 {
            1 => Ending::Answered,
            2 => Ending::Cancelled,
            3 => Ending::Expired,
            _ => return None,
        };
        match Form::unpack((word >> 48) & 0xff) {
            Some(form) => {
                let status = (word >> 32) as u16;
                Some(Self { bytes: word as u32, status, form, ending })
            }
            None => None,
        }
    }
}

/// The cancel word that takes back a submission. A submission begins with 0, which is no such
/// word, and the whole generation is compared: half of it would hit a later job.
#[must_use]
pub const fn cancel_word(generation: Generation) -> u64 {
    generation.get() << 1 | 1
}

/// Whether a job may run a second time when its worker died in it. One that never began always
/// may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// It may: the request changes nothing, and the route says so.
    Started,
    /// Only if it had not begun.
    Unstarted,
}

/// What a job came to. Each submission has exactly one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The response lies in the slot until it is released.
    Answered(Response),
    /// A worker wrote what cannot be.
    Broken,
    /// It was taken back by `cancel`.
    Cancelled,
    /// The worker died in it, and it may not run again.
    Died {
        /// User code had begun.
        started: bool,
    },
    /// It waited for too long and never began.
    Expired,
    /// It began and is not done in time.
    TimedOut,
}

/// What is owed for a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Job {
    /// When it was submitted first.
    pub submitted: u64,
    /// When it must have begun.
    pub start_by: u64,
    /// When it must be done.
    pub deadline: u64,
    /// The shard's own copy of the request word.
    pub request: Request,
    /// Whether it may run twice.
    pub retry: Retry,
    /// Submissions so far.
    pub attempts: u8,
    /// Part of its answer was received, or part of its request taken: it cannot run again,
    /// whatever `retry` says.
    pub streamed: bool,
    /// The position behind its hint.
    pub hint_end: u64,
}

/// What the shard may do with a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lease {
    /// Nothing is in it.
    Free,
    /// An answer was taken over and is read until it is released.
    Held,
    /// A job is out whose outcome is owed.
    Open(Job),
    /// A worker still has it, but its outcome was given out: it ends with DONE or with a death.
    Overtaken,
    /// Somebody wrote into it what cannot be. Nobody knows who still writes: it is not used again.
    Spoiled,
    /// It was taken back before anybody claimed it; free once the head reaches `until`.
    Withdrawn {
        /// The position behind its hint.
        until: u64,
    },
}

/// What the state word of a slot says about the submission that the record knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// The response is there.
    Done(Owner),
    /// A living worker has it.
    Lives,
    /// Its worker is gone.
    Orphan {
        /// User code had begun.
        started: bool,
    },
    /// It waits for a worker.
    Ready,
    /// Something that does not fit.
    Wrong,
}

impl Sight {
    /// Judges a state word. `life` gives the life of the place that it names, or `None` when there
    /// is no such place.
    #[must_use]
    pub fn judge(
        word: u64,
        generation: Generation,
        life: impl FnOnce(Owner) -> Option<Life>,
    ) -> Self {
        let Some(word) = StateWord::unpack(word).filter(|word| word.generation == generation)
        else {
            return Self::Wrong;
        };
        let (owner, started) = match word.state {
            SlotState::Ready => return Self::Ready,
            SlotState::Free | SlotState::Cancelled => return Self::Wrong,
            SlotState::Done(owner) => return Self::Done(owner),
            SlotState::Claimed(owner) => (owner, false),
            SlotState::Running(owner) => (owner, true),
        };
        match life(owner) {
            None => Self::Wrong,
            Some(life) if life.outlived(owner) => Self::Orphan { started },
            Some(_) => Self::Lives,
        }
    }
}

/// What is to be done with a slot after a look at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Give out the outcome; nothing may be written to the slot.
    End(Outcome),
    /// Give out the outcome and make the slot free.
    EndAndFree(Outcome),
    /// Make the slot free.
    Free,
    /// Submit the job again.
    Resubmit,
    /// Read the response word; `take` says what follows.
    Take,
}

/// What follows from a look at a slot; `None` when nothing does.
#[must_use]
pub fn look(lease: Lease, sight: Sight) -> (Lease, Option<Action>) {
    match (lease, sight) {
        (Lease::Open(_) | Lease::Overtaken, Sight::Lives)
        | (Lease::Open(_), Sight::Ready)
        | (Lease::Free | Lease::Held | Lease::Spoiled | Lease::Withdrawn { .. }, _) => {
            (lease, None)
        }
        (Lease::Open(_), Sight::Done(_)) => (Lease::Held, Some(Action::Take)),
        (Lease::Open(job), Sight::Orphan { started }) => orphaned(job, started),
        (Lease::Open(_), Sight::Wrong) => (Lease::Spoiled, Some(Action::End(Outcome::Broken))),
        (Lease::Overtaken, Sight::Done(_) | Sight::Orphan { .. }) => {
            (Lease::Free, Some(Action::Free))
        }
        (Lease::Overtaken, Sight::Ready | Sight::Wrong) => (Lease::Spoiled, None),
    }
}

/// Whether `look` of what this word says is that an open job was answered: what nearly every look
/// comes to, found without the rest.
#[inline]
#[must_use]
pub fn is_answer(lease: &Lease, generation: Generation, word: u64) -> bool {
    matches!(lease, Lease::Open(_)) && StateWord::is_done(word, generation)
}

fn orphaned(job: Job, started: bool) -> (Lease, Option<Action>) {
    let allowed = !job.streamed && (!started || job.retry == Retry::Started);
    if allowed && job.attempts < ATTEMPTS_MAX {
        return (Lease::Open(job), Some(Action::Resubmit));
    }
    (Lease::Free, Some(Action::EndAndFree(Outcome::Died { started })))
}

/// What the response word of a finished job means; `bytes_max` bounds an inline response.
///
/// Of an open job nobody wanted back, "cancelled" is no answer.
#[must_use]
#[inline]
pub fn take(response: u64, bytes_max: u32) -> Action {
    match Response::unpack(response) {
        Some(Response { ending: Ending::Expired, .. }) => Action::EndAndFree(Outcome::Expired),
        Some(Response { ending: Ending::Answered, form: Form::Inline, bytes, .. })
            if bytes > bytes_max =>
        {
            Action::EndAndFree(Outcome::Broken)
        }
        Some(response @ Response { ending: Ending::Answered, .. }) => {
            Action::End(Outcome::Answered(response))
        }
        Some(Response { ending: Ending::Cancelled, .. }) | None => {
            Action::EndAndFree(Outcome::Broken)
        }
    }
}

/// Why a job is taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recall {
    /// Its client is gone.
    Cancel,
    /// Its time is over.
    Deadline,
    /// It may not begin any more.
    StartBy,
}

impl Recall {
    /// The outcome when no worker had it yet.
    #[must_use]
    pub const fn unclaimed(self) -> Outcome {
        match self {
            Self::Cancel => Outcome::Cancelled,
            Self::Deadline | Self::StartBy => Outcome::Expired,
        }
    }

    /// The outcome when a worker has it; `None`: it may go on.
    #[must_use]
    pub const fn claimed(self) -> Option<Outcome> {
        match self {
            Self::Cancel => Some(Outcome::Cancelled),
            Self::Deadline => Some(Outcome::TimedOut),
            Self::StartBy => None,
        }
    }
}

impl Job {
    /// What is due for it at `now`.
    #[must_use]
    pub const fn recall_at(&self, now: u64) -> Option<Recall> {
        if now >= self.deadline {
            Some(Recall::Deadline)
        } else if now >= self.start_by {
            Some(Recall::StartBy)
        } else {
            None
        }
    }

    /// When to ask again.
    #[must_use]
    pub const fn next_recall(&self, now: u64) -> u64 {
        if now < self.start_by && self.start_by < self.deadline {
            self.start_by
        } else {
            self.deadline
        }
    }
}

/// Submissions of one job.
pub const ATTEMPTS_MAX: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::word::WorkerIndex;
    use proptest::prelude::*;

    const OWNER: Owner = Owner { worker: WorkerIndex(3), incarnation: 9 };
    const ALIVE: Life = Life { incarnation: 9, alive: true };

    fn job() -> Job {
        Job {
            submitted: 0,
            start_by: 10,
            deadline: 20,
            request: Request { bytes: 5, form: Form::Inline, epoch: 1 },
            retry: Retry::Unstarted,
            attempts: 1,
            streamed: false,
            hint_end: 7,
        }
    }

    #[track_caller]
    fn check_sight(state: SlotState, generation: u64, life: Option<Life>, expected: Sight) {
        let word = StateWord::new(state, Generation::new(generation)).pack();
        assert_eq!(Sight::judge(word, Generation::new(4), |_| life), expected);
    }

    #[test]
    fn a_word_is_judged_by_generation_and_owner() {
        let reborn = Life { incarnation: 10, alive: true };
        check_sight(SlotState::Ready, 4, None, Sight::Ready);
        check_sight(SlotState::Ready, 3, None, Sight::Wrong);
        check_sight(SlotState::Free, 4, None, Sight::Wrong);
        check_sight(SlotState::Cancelled, 4, None, Sight::Wrong);
        check_sight(SlotState::Done(OWNER), 4, None, Sight::Done(OWNER));
        check_sight(SlotState::Claimed(OWNER), 4, Some(ALIVE), Sight::Lives);
        check_sight(SlotState::Running(OWNER), 4, Some(ALIVE), Sight::Lives);
        check_sight(SlotState::Claimed(OWNER), 4, Some(reborn), Sight::Orphan { started: false });
        check_sight(SlotState::Running(OWNER), 4, Some(reborn), Sight::Orphan { started: true });
        check_sight(SlotState::Running(OWNER), 4, None, Sight::Wrong);
        assert_eq!(Sight::judge(15, Generation::new(0), |_| None), Sight::Wrong);
    }

    #[track_caller]
    fn check_orphan(job: Job, started: bool, again: bool) {
        let (lease, action) = look(Lease::Open(job), Sight::Orphan { started });
        if again {
            assert_eq!((lease, action), (Lease::Open(job), Some(Action::Resubmit)));
        } else {
            let died = Action::EndAndFree(Outcome::Died { started });
            assert_eq!((lease, action), (Lease::Free, Some(died)));
        }
    }

    #[test]
    fn a_death_is_retried_once_and_never_visibly() {
        let idempotent = Job { retry: Retry::Started, ..job() };
        check_orphan(job(), false, true);
        check_orphan(job(), true, false);
        check_orphan(idempotent, true, true);
        check_orphan(Job { streamed: true, ..idempotent }, true, false);
        check_orphan(Job { attempts: 2, ..idempotent }, true, false);
        check_orphan(Job { attempts: 2, ..job() }, false, false);
    }

    #[test]
    fn a_look_changes_nothing_that_is_not_the_shards() {
        let sights =
            [Sight::Done(OWNER), Sight::Lives, Sight::Orphan { started: true }, Sight::Wrong];
        for sight in sights {
            for lease in [Lease::Free, Lease::Held, Lease::Spoiled, Lease::Withdrawn { until: 1 }] {
                assert_eq!(look(lease, sight), (lease, None));
            }
        }
        assert_eq!(look(Lease::Overtaken, Sight::Lives), (Lease::Overtaken, None));
        assert_eq!(look(Lease::Overtaken, Sight::Wrong), (Lease::Spoiled, None));
        let freed = (Lease::Free, Some(Action::Free));
        assert_eq!(look(Lease::Overtaken, Sight::Done(OWNER)), freed);
        assert_eq!(look(Lease::Overtaken, Sight::Orphan { started: false }), freed);
    }

    #[test]
    fn a_finished_response_outlives_its_worker() {
        let word = StateWord::new(SlotState::Done(OWNER), Generation::new(4)).pack();
        let dead = Life { incarnation: 9, alive: false };
        let sight = Sight::judge(word, Generation::new(4), |_| Some(dead));
        assert_eq!(look(Lease::Open(job()), sight), (Lease::Held, Some(Action::Take)));
    }

    #[track_caller]
    fn check_taken(ending: Ending, form: Form, bytes: u32, expected: Option<Outcome>) {
        let response = Response { bytes, status: 200, form, ending };
        let expected =
            expected.map_or(Action::End(Outcome::Answered(response)), Action::EndAndFree);
        assert_eq!(take(response.pack(), 100), expected);
    }

    #[test]
    fn responses_are_input() {
        check_taken(Ending::Answered, Form::Inline, 100, None);
        check_taken(Ending::Answered, Form::Inline, 101, Some(Outcome::Broken));
        check_taken(Ending::Answered, Form::Extents, 101, None);
        check_taken(Ending::Expired, Form::Inline, 0, Some(Outcome::Expired));
        check_taken(Ending::Cancelled, Form::Inline, 0, Some(Outcome::Broken));
        assert_eq!(take(0, 100), Action::EndAndFree(Outcome::Broken));
        assert_eq!(take(u64::MAX, 100), Action::EndAndFree(Outcome::Broken));
    }

    #[test]
    fn a_job_is_recalled_in_two_steps() {
        assert_eq!((job().recall_at(9), job().next_recall(9)), (None, 10));
        assert_eq!((job().recall_at(10), job().next_recall(10)), (Some(Recall::StartBy), 20));
        assert_eq!(job().recall_at(20), Some(Recall::Deadline));
        let short = Job { start_by: 30, ..job() };
        assert_eq!((short.recall_at(19), short.next_recall(0)), (None, 20));
    }

    #[test]
    fn a_cancel_word_means_one_submission_and_0_none() {
        assert_ne!(cancel_word(Generation::new(0)), 0);
        let last = Generation::new(u64::MAX);
        assert_ne!(cancel_word(last), cancel_word(last.next()));
        assert_ne!(cancel_word(Generation::new(1)), cancel_word(Generation::new(1 << 32 | 1)));
    }

    proptest! {
        #[test]
        fn words_come_back(word: u64) {
            if let Some(request) = Request::unpack(word) {
                prop_assert_eq!(Request::unpack(request.pack()), Some(request));
            }
            if let Some(response) = Response::unpack(word) {
                prop_assert_eq!(response.pack(), word);
            }
        }

        #[test]
        fn an_answer_is_what_the_long_way_finds(word: u64, generation: u64, own: bool, done: bool) {
            let word = if done { word & !15 | 4 } else { word };
            let number = if own { word >> 24 } else { generation };
            let generation = Generation::new(number);
            let sight = Sight::judge(word, generation, |_| Some(ALIVE));
            for lease in [Lease::Open(job()), Lease::Overtaken, Lease::Held, Lease::Free] {
                let expected = (Lease::Held, Some(Action::Take));
                let found = is_answer(&lease, generation, word);
                prop_assert_eq!(found, look(lease, sight) == expected);
            }
        }

        #[test]
        fn no_word_is_mistaken_for_the_wrong_generation(word: u64, generation: u64) {
            let generation = Generation::new(generation);
            let sight = Sight::judge(word, generation, |_| Some(ALIVE));
            let fits = StateWord::unpack(word).is_some_and(|word| word.generation == generation);
            prop_assert!(fits || sight == Sight::Wrong);
        }
    }
}
