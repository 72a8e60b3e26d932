//! The requests of one path: when the next is due, and the connections that carry them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::{Connection, End};
use super::histogram::Histogram;
use super::judge::Model;
use super::outcome::{Account, Fate, Stream};
use super::poll::{Clock, Poll};
use super::request::Request;
use super::tally::{Asked, Tally};

/// What a lane is made of.
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) request: Request,
    pub(super) model: Model,
    pub(super) pace: Pace,
    pub(super) tally: Tally,
    pub(super) connections: usize,
    /// A connection for each request.
    pub(super) fresh: bool,
    /// From the intended moment.
    pub(super) timeout_ns: u64,
    /// From the moment it was sent.
    pub(super) leave_after_ns: Option<u64>,
    /// Of the tokens of this lane's connections.
    pub(super) first_token: u64,
}

/// When requests are due.
pub(super) enum Pace {
    /// At moments that are known before.
    Open(Vec<u64>),
    /// As soon as a connection is free, until the end.
    Closed { until_ns: u64, rests_until_ns: u64 },
}

/// The requests of one path.
pub(super) struct Lane {
    plan: Plan,
    connections: Vec<Connection>,
    /// Open and without a request, longest first, so that all of them are used.
    idle: VecDeque<usize>,
    closed: Vec<usize>,
    /// Number of the next request.
    next: usize,
    /// Requests below this number came due while no connection was free.
    kept_waiting: usize,
    in_flight: usize,
    /// No request in flight is given up before this moment. With thousands of connections a look at
    /// all of them would cost the server whose CPU we share more than its requests do.
    give_up_ns: u64,
}

impl Lane {
    /// Opens its connections, unless each request opens its own.
    pub(super) fn open(plan: Plan, poll: &Poll) -> io::Result<Self> {
        let mut lane = Self {
            connections: (0..plan.connections).map(|_| Connection::default()).collect(),
            idle: VecDeque::with_capacity(plan.connections),
            closed: Vec::with_capacity(plan.connections),
            next: 0,
            kept_waiting: 0,
            in_flight: 0,
            give_up_ns: u64::MAX,
            plan,
        };
        for index in 0..lane.connections.len() {
            if lane.plan.fresh {
                lane.closed.push(index);
                continue;
            }
            let address = lane.plan.address;
            let patience = Duration::from_nanos(lane.plan.timeout_ns);
            let stream = lane.connections[index].open(address, patience).map_err(|error| {
                let message = format!("connection {} to {address}: {error}", index + 1);
                io::Error::new(error.kind(), message)
            })?;
            poll.watch(stream, lane.plan.first_token + index as u64)?;
            lane.plan.tally.connections_opened += 1;
            lane.idle.push_back(index);
        }
        Ok(lane)
    }

    /// Sends what is due, as far as connections are free.
    pub(super) fn send_due(
        &mut self,
        clock: Clock,
        poll: &Poll,
        lateness: &mut Histogram,
    ) -> io::Result<()> {
        loop {
            let now_ns = clock.now_ns();
            let due = self.plan.pace.moment(self.next, now_ns);
            let Some(intended_ns) = due.filter(|moment| *moment <= now_ns) else { return Ok(()) };
            let asked = Asked { number: self.next, intended_ns, sent_ns: now_ns };
            if now_ns - intended_ns >= self.plan.timeout_ns {
                self.next += 1;
                self.plan.tally.settle(asked, Fate::TimedOut, now_ns);
            } else if let Some((index, fresh)) = self.free() {
                self.next += 1;
                self.count_delay(asked, lateness);
                self.send(index, asked, fresh, poll, clock)?;
            } else {
                self.kept_waiting = self.plan.pace.due_by(self.next, now_ns);
                return Ok(());
            }
        }
    }

    /// Something happened to a connection; `hung_up` when the other side has closed it.
    pub(super) fn handle_event(
        &mut self,
        index: usize,
        hung_up: bool,
        clock: Clock,
        buffer: &mut [u8],
    ) {
        let connection = &mut self.connections[index];
        let asked = connection.flight.is_some();
        let end = connection
            .write(&mut self.plan.request)
            .or_else(|| connection.read(&self.plan.model, hung_up, buffer));
        if let Some(end) = end {
            self.finish(index, end, clock.now_ns());
        }
        // The news of a close may have come with the answer, and comes only once.
        let connection = &mut self.connections[index];
        let idle = connection.is_open() && connection.flight.is_none();
        if idle && (hung_up || (!asked && !connection.is_quiet(buffer))) {
            connection.close();
            self.idle.retain(|idle| *idle != index);
            self.closed.push(index);
        }
    }

    /// Gives up what has taken too long.
    pub(super) fn handle_timeouts(&mut self, now_ns: u64) {
        if now_ns < self.give_up_ns {
            return;
        }
        self.give_up_ns = u64::MAX;
        for index in 0..self.connections.len() {
            let Some(flight) = &self.connections[index].flight else { continue };
            let (at_ns, fate) = self.plan.end_of(flight.asked);
            if now_ns >= at_ns {
                self.finish(index, End::Failure(fate), now_ns);
            } else {
                self.give_up_ns = self.give_up_ns.min(at_ns);
            }
        }
    }

    /// When the next request is due; none when it waits for a connection or there is none.
    pub(super) fn next_moment(&self, now_ns: u64) -> Option<u64> {
        let free = !(self.idle.is_empty() && self.closed.is_empty());
        self.plan.pace.moment(self.next, now_ns).filter(|_| free)
    }

    /// Whether every request has its end and none will come.
    pub(super) fn is_done(&self, now_ns: u64) -> bool {
        self.in_flight == 0 && self.plan.pace.moment(self.next, now_ns).is_none()
    }

    /// The load is over: what has no end yet gets this one.
    pub(super) fn finish_load(mut self, now_ns: u64) -> (Stream, Option<Account>) {
        for index in 0..self.connections.len() {
            if self.connections[index].flight.is_some() {
                self.finish(index, End::Failure(Fate::Unanswered), now_ns);
            }
        }
        if let Pace::Open(moments) = &self.plan.pace {
            for (number, moment) in moments.iter().enumerate().skip(self.next) {
                let asked = Asked { number, intended_ns: *moment, sent_ns: now_ns };
                self.plan.tally.settle(asked, Fate::Unanswered, now_ns);
            }
        }
        self.plan.tally.finish()
    }

    /// A connection for the next request, and whether it has to be opened.
    fn free(&mut self) -> Option<(usize, bool)> {
        let idle = self.idle.pop_front().map(|index| (index, false));
        idle.or_else(|| self.closed.pop().map(|index| (index, true)))
    }

    /// Who waited for a connection waited for the server; who did not waited for us.
    fn count_delay(&mut self, asked: Asked, lateness: &mut Histogram) {
        if asked.number < self.kept_waiting {
            self.plan.tally.waited += 1;
        } else if matches!(self.plan.pace, Pace::Open(_)) {
            lateness.record(asked.sent_ns - asked.intended_ns);
        }
    }

    fn send(
        &mut self,
        index: usize,
        asked: Asked,
        fresh: bool,
        poll: &Poll,
        clock: Clock,
    ) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.take(asked, fresh);
        self.in_flight += 1;
        self.give_up_ns = self.give_up_ns.min(self.plan.end_of(asked).0);
        if fresh {
            self.plan.tally.connections_opened += 1;
            match connection.begin_to_open(self.plan.address) {
                Ok(stream) => poll.watch(stream, self.plan.first_token + index as u64)?,
                Err(error) if is_refusal(&error) => {
                    self.finish(index, End::Failure(Fate::Refused), clock.now_ns());
                    return Ok(());
                }
                // Descriptors or ports that ran out are no fault of the server.
                Err(error) => return Err(error),
            }
        }
        if let Some(end) = self.connections[index].write(&mut self.plan.request) {
            self.finish(index, end, clock.now_ns());
        }
        Ok(())
    }

    fn finish(&mut self, index: usize, end: End, now_ns: u64) {
        let connection = &mut self.connections[index];
        let flight = connection.flight.take().expect("only a request that is there ends");
        self.in_flight -= 1;
        let keep = match end {
            End::Answer(judged) => {
                self.plan.tally.answer(flight.asked, &judged, now_ns);
                judged.keep_alive && !self.plan.fresh
            }
            End::Failure(fate) => {
                self.plan.tally.settle(flight.asked, fate, now_ns);
                self.plan.pace.rest(fate, now_ns);
                false
            }
        };
        if keep {
            self.idle.push_back(index);
        } else {
            connection.close();
            self.closed.push(index);
        }
    }
}

impl Plan {
    /// When a request is given up that was not answered, and what that is called.
    fn end_of(&self, asked: Asked) -> (u64, Fate) {
        let timed_out = (asked.intended_ns + self.timeout_ns, Fate::TimedOut);
        match self.leave_after_ns.map(|after| asked.sent_ns + after) {
            Some(left_ns) if left_ns < timed_out.0 => (left_ns, Fate::Left),
            _ => timed_out,
        }
    }
}

impl Pace {
    /// The moment of a request; none when there will be no such request.
    fn moment(&self, number: usize, now_ns: u64) -> Option<u64> {
        match self {
            Self::Open(moments) => moments.get(number).copied(),
            Self::Closed { until_ns, .. } if now_ns >= *until_ns => None,
            Self::Closed { rests_until_ns, .. } => Some(now_ns.max(*rests_until_ns)),
        }
    }

    /// One more than the last request that is due.
    fn due_by(&self, next: usize, now_ns: u64) -> usize {
        match self {
            Self::Open(moments) => {
                next + moments[next..].iter().take_while(|moment| **moment <= now_ns).count()
            }
            Self::Closed { .. } => next,
        }
    }

    /// A closed loop would ask a server that is not there a million times.
    fn rest(&mut self, fate: Fate, now_ns: u64) {
        if let (Self::Closed { rests_until_ns, .. }, Fate::Refused) = (self, fate) {
            *rests_until_ns = now_ns + REST_NS;
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

const REST_NS: u64 = 10_000_000;
