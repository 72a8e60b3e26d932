//! The jobs of a desk, under keys that are never mistaken for a later job.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::lead::Tie;
use super::stream::{Down, Upload};
use crate::handler::{Body, Request};
use crate::http::Time;
use crate::offload::admission;
use crate::offload::client::Ticket;
use crate::offload::message::RouteId;
use crate::offload::slot::Retry;

/// Names a job of a desk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct JobKey {
    index: u32,
    generation: u32,
}

/// A job from its admission to its end.
pub(super) struct Job {
    pub(super) tie: Rc<Tie>,
    pub(super) stage: Stage,
    pub(super) terms: JobTerms,
    /// Whether somebody waits for the answer.
    pub(super) wanted: bool,
}

/// What was agreed when it was taken.
#[derive(Clone, Copy)]
pub(super) struct JobTerms {
    pub(super) route: RouteId,
    /// When it was taken.
    pub(super) since: Time,
    /// How long it may take until it is answered, or its answer has begun.
    pub(super) timeout: Duration,
    /// When that is over; later, if the client still sends then.
    pub(super) deadline: Time,
    pub(super) retry: Retry,
}

pub(super) enum Stage {
    /// On the way from behind the slots into one.
    Moving,
    /// In a slot.
    Out(Out),
    /// Behind the slots.
    Waiting(Waiting),
}

/// A job behind the slots.
pub(super) struct Waiting {
    pub(super) ticket: admission::Ticket,
    pub(super) request: Box<Request>,
    pub(super) body: JobBody,
}

/// A job in a slot.
pub(super) struct Out {
    pub(super) ticket: Ticket,
    /// The rest of the request, if it is a stream.
    pub(super) upload: Option<Upload>,
    pub(super) down: Down,
    /// Whether the worker is done; what it has sent may not be read yet.
    pub(super) done: bool,
}

/// The body of a job's request.
pub(crate) enum JobBody {
    /// It is arriving.
    Stream(Body),
    /// All of it; nothing if there is none.
    Whole(Bytes),
}

impl JobBody {
    /// Its length, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Stream(body) => body.length(),
            Self::Whole(bytes) => Some(bytes.len() as u64),
        }
    }
}

/// The table.
#[derive(Default)]
pub(super) struct Jobs {
    places: Vec<Place>,
    vacant: Vec<u32>,
}

#[derive(Default)]
struct Place {
    /// + 1 each time a job leaves.
    generation: u32,
    job: Option<Job>,
}

impl Jobs {
    /// The key of the job that is inserted next.
    pub(super) fn next_key(&mut self) -> JobKey {
        if self.vacant.is_empty() {
            self.vacant.push(self.places.len() as u32);
            self.places.push(Place::default());
        }
        let index = self.vacant[self.vacant.len() - 1];
        JobKey { index, generation: self.places[index as usize].generation }
    }

    /// Insert a job under the key that was given out last.
    pub(super) fn insert(&mut self, key: JobKey, job: Job) {
        let index = self.vacant.pop();
        assert_eq!(index, Some(key.index), "a job goes where its key says");
        self.places[key.index as usize].job = Some(job);
    }

    pub(super) fn get(&mut self, key: JobKey) -> Option<&mut Job> {
        let place = &mut self.places[key.index as usize];
        if place.generation == key.generation { place.job.as_mut() } else { None }
    }

    /// The job's place in a slot, if it is in one.
    pub(super) fn out(&mut self, key: JobKey) -> Option<&mut Out> {
        match &mut self.get(key)?.stage {
            Stage::Out(out) => Some(out),
            Stage::Moving | Stage::Waiting(_) => None,
        }
    }

    pub(super) fn remove(&mut self, key: JobKey) -> Option<Job> {
        self.get(key)?;
        let place = &mut self.places[key.index as usize];
        place.generation = place.generation.wrapping_add(1);
        self.vacant.push(key.index);
        place.job.take()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.vacant.len() == self.places.len()
    }

    pub(super) fn keys(&self) -> Vec<JobKey> {
        let places = self.places.iter().zip(0u32..);
        let taken = places.filter(|(place, _)| place.job.is_some());
        taken.map(|(place, index)| JobKey { index, generation: place.generation }).collect()
    }
}
