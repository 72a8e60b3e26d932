//! Jobs behind the slots: a bounded queue, first in, first out, from whose middle a job is taken
//! in constant time when its client leaves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Names a job in a queue. It is never mistaken for a later job.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket {
    index: u32,
    generation: u32,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue<Job> {
    /// Places, filled and vacant; as many as were ever needed at once.
    places: Vec<Place<Job>>,
    /// A vacant place.
    vacant: Option<u32>,
    ends: Option<Ends>,
    len: u32,
    len_max: u32,
    /// When which job expires; also such jobs as are gone, until there are too many of them.
    expiries: BinaryHeap<Reverse<(Duration, Ticket)>>,
}

#[derive(Debug)]
struct Place<Job> {
    /// + 1 each time a job leaves.
    generation: u32,
    content: Content<Job>,
}

#[derive(Debug)]
enum Content<Job> {
    Vacant { next: Option<u32> },
    Waiting { job: Job, start_by: Duration, before: Option<u32>, behind: Option<u32> },
}

/// The first and the last job.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

impl<Job> Queue<Job> {
    /// An empty queue that takes `len_max` jobs.
    pub(super) fn new(len_max: u32) -> Self {
        Self {
            places: Vec::new(),
            vacant: None,
            ends: None,
            len: 0,
            len_max,
            expiries: BinaryHeap::new(),
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a job that expires at `start_by`; gives it back when the queue is full.
    pub(super) fn push(&mut self, job: Job, start_by: Duration) -> Result<Ticket, Job> {
        if self.len >= self.len_max {
            return Err(job);
        }
        let last = self.ends.map(|ends| ends.last);
        let index = self.fill(Content::Waiting { job, start_by, before: last, behind: None });
        if let Some(last) = last {
            *self.links(last).1 = Some(index);
        }
        let first = self.ends.map_or(index, |ends| ends.first);
        self.ends = Some(Ends { first, last: index });
        self.len += 1;
        let ticket = Ticket { index, generation: self.places[index as usize].generation };
        self.forget_the_gone();
        self.expiries.push(Reverse((start_by, ticket)));
        Ok(ticket)
    }

    /// Takes the first job and its expiry.
    pub(super) fn pop(&mut self) -> Option<(Job, Duration)> {
        let first = self.ends?.first;
        Some(self.leave(first))
    }

    /// Takes a job from wherever it is; `None` when it has left.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Job> {
        self.waits(ticket).then(|| self.leave(ticket.index).0)
    }

    /// Takes a job that has expired.
    pub(super) fn pop_expired(&mut self, now: Duration) -> Option<Job> {
        if self.next_expiry()? > now {
            return None;
        }
        let Reverse((_, ticket)) = self.expiries.pop()?;
        self.remove(ticket)
    }

    /// When the next job expires.
    pub(super) fn next_expiry(&mut self) -> Option<Duration> {
        while let Some(&Reverse((at, ticket))) = self.expiries.peek() {
            if self.waits(ticket) {
                return Some(at);
            }
            self.expiries.pop();
        }
        None
    }

    fn waits(&self, ticket: Ticket) -> bool {
        let place = &self.places[ticket.index as usize];
        place.generation == ticket.generation && matches!(place.content, Content::Waiting { .. })
    }

    /// Puts a job into a vacant place.
    fn fill(&mut self, content: Content<Job>) -> u32 {
        let Some(index) = self.vacant else {
            self.places.push(Place { generation: 0, content });
            return (self.places.len() - 1) as u32;
        };
        let place = &mut self.places[index as usize];
        if let Content::Vacant { next } = std::mem::replace(&mut place.content, content) {
            self.vacant = next;
        }
        index
    }

    /// Unlinks the job at `index`, which waits.
    fn leave(&mut self, index: u32) -> (Job, Duration) {
        let place = &mut self.places[index as usize];
        place.generation = place.generation.wrapping_add(1);
        let vacant = Content::Vacant { next: self.vacant.replace(index) };
        let Content::Waiting { job, start_by, before, behind } =
            std::mem::replace(&mut place.content, vacant)
        else {
            unreachable!("only a job that waits leaves");
        };
        let ends = self.ends.expect("a queue with a job has two ends");
        if let Some(before) = before {
            *self.links(before).1 = behind;
        }
        if let Some(behind) = behind {
            *self.links(behind).0 = before;
        }
        let first = if before.is_none() { behind } else { Some(ends.first) };
        let last = if behind.is_none() { before } else { Some(ends.last) };
        self.ends = first.zip(last).map(|(first, last)| Ends { first, last });
        self.len -= 1;
        (job, start_by)
    }

    /// What is before and behind the job at `index`.
    fn links(&mut self, index: u32) -> (&mut Option<u32>, &mut Option<u32>) {
        match &mut self.places[index as usize].content {
            Content::Waiting { before, behind, .. } => (before, behind),
            Content::Vacant { .. } => unreachable!("only jobs that wait are linked"),
        }
    }

    /// Keeps the expiries of jobs that have left from outgrowing the others.
    fn forget_the_gone(&mut self) {
        if self.expiries.len() < 2 * self.len as usize + SPARE_EXPIRIES {
            return;
        }
        let mut expiries = std::mem::take(&mut self.expiries);
        expiries.retain(|&Reverse((_, ticket))| self.waits(ticket));
        self.expiries = expiries;
    }
}

/// Below so many there is nothing to gain.
const SPARE_EXPIRIES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let mut queue = Queue::new(2);
        assert!(queue.push('a', at(1)).is_ok());
        assert!(queue.push('b', at(1)).is_ok());
        assert_eq!(queue.push('c', at(1)), Err('c'));
        assert_eq!(queue.pop(), Some(('a', at(1))));
        assert!(queue.push('c', at(1)).is_ok());
        assert_eq!(Queue::new(0).push('a', at(1)), Err('a'));
    }

    #[test]
    fn a_ticket_means_one_job_only() {
        let mut queue = Queue::new(2);
        let first = queue.push('a', at(1)).unwrap();
        assert_eq!(queue.remove(first), Some('a'));
        let second = queue.push('b', at(1)).unwrap();
        assert_eq!(queue.remove(first), None);
        assert_eq!(queue.remove(second), Some('b'));
        assert!(queue.is_empty());
    }

    #[test]
    fn jobs_that_come_and_go_leave_nothing_behind() {
        let mut queue = Queue::new(8);
        for job in 0..10_000 {
            let ticket = queue.push(job, at(1000)).unwrap();
            assert_eq!(queue.remove(ticket), Some(job));
        }
        assert_eq!(queue.places.len(), 1);
        assert!(queue.expiries.len() <= SPARE_EXPIRIES + 16);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { start_by: u64 },
        Pop,
        Remove { nth: prop::sample::Index },
        Expire { now: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..50u64).prop_map(|start_by| Step::Push { start_by }),
            1 => Just(Step::Pop),
            2 => any::<prop::sample::Index>().prop_map(|nth| Step::Remove { nth }),
            1 => (0..50u64).prop_map(|now| Step::Expire { now }),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_list(len_max in 0..40u32, steps in steps()) {
            let mut queue = Queue::new(len_max);
            let mut list: Vec<(u32, Duration, Ticket)> = Vec::new();
            let mut tickets: Vec<Ticket> = Vec::new();
            for (job, step) in (0u32..).zip(steps) {
                match step {
                    Step::Push { start_by } => match queue.push(job, at(start_by)) {
                        Ok(ticket) => {
                            list.push((job, at(start_by), ticket));
                            tickets.push(ticket);
                        }
                        Err(_) => prop_assert_eq!(list.len(), len_max as usize),
                    },
                    Step::Pop => {
                        let first = (!list.is_empty()).then(|| list.remove(0));
                        let expected = first.map(|(job, start_by, _)| (job, start_by));
                        prop_assert_eq!(queue.pop(), expected);
                    }
                    Step::Remove { nth } if !tickets.is_empty() => {
                        let ticket = *nth.get(&tickets);
                        let known = list.iter().position(|(_, _, known)| *known == ticket);
                        let expected = known.map(|index| list.remove(index).0);
                        prop_assert_eq!(queue.remove(ticket), expected);
                    }
                    Step::Remove { .. } => {}
                    Step::Expire { now } => {
                        let mut expired = Vec::new();
                        while let Some(job) = queue.pop_expired(at(now)) {
                            expired.push(job);
                        }
                        expired.sort_unstable();
                        let gone = list.extract_if(.., |(_, start_by, _)| *start_by <= at(now));
                        let expected: Vec<u32> = gone.map(|(job, _, _)| job).collect();
                        prop_assert_eq!(expired, expected);
                    }
                }
                prop_assert_eq!(queue.len() as usize, list.len());
                prop_assert_eq!(queue.is_empty(), list.is_empty());
                let next = list.iter().map(|(_, start_by, _)| *start_by).min();
                prop_assert_eq!(queue.next_expiry(), next);
            }
        }
    }
}
