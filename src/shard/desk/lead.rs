//! What connections hold of a desk: a lead to the job that they wait for, and answers that still
//! lie in a worker's memory. Dropping either tells the desk, through its tray.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use bytes::Bytes;

use super::jobs::JobKey;
use super::spill::Spill;
use crate::handler::{Notify, Response};
use crate::offload::client::Ticket;
use crate::offload::payload::Payload;
use crate::offload::region::Mapped;
use crate::offload::world::World;
use crate::shard::ready::ConnNotify;

/// What was put on a desk between two looks at it.
#[derive(Default)]
pub(super) struct Tray {
    /// Jobs that nobody waits for any more.
    left: RefCell<Vec<JobKey>>,
    /// Jobs whose bodies have bytes or room.
    moved: RefCell<Vec<JobKey>>,
    /// Answers that were read.
    read: RefCell<Vec<Ticket>>,
}

impl Tray {
    pub(super) fn take_left(&self, into: &mut Vec<JobKey>) {
        into.append(&mut self.left.borrow_mut());
    }

    pub(super) fn take_moved(&self, into: &mut Vec<JobKey>) {
        into.append(&mut self.moved.borrow_mut());
    }

    /// Whether a job waits to be looked at.
    pub(super) fn has_moved(&self) -> bool {
        !self.moved.borrow().is_empty()
    }

    pub(super) fn pop_read(&self) -> Option<Ticket> {
        self.read.borrow_mut().pop()
    }
}

/// What a job leaves for its connection.
pub(crate) enum Reply {
    /// The head of a response, and its body where it lies.
    Lent(Response, Lent),
    /// A response.
    Whole(Response),
}

/// The tie between a job and whoever waits for it.
pub(super) struct Tie {
    pub(super) key: JobKey,
    tray: Rc<Tray>,
    /// The connection.
    notify: Rc<ConnNotify>,
    reply: RefCell<Option<Reply>>,
    /// Whether the desk has nothing more to do for the job.
    over: Cell<bool>,
    /// Whether the job stands in the tray's list of those that moved.
    listed: Cell<bool>,
}

impl Tie {
    pub(super) fn new(key: JobKey, tray: &Rc<Tray>, notify: &Rc<ConnNotify>) -> Rc<Self> {
        Rc::new(Self {
            key,
            tray: Rc::clone(tray),
            notify: Rc::clone(notify),
            reply: RefCell::new(None),
            over: Cell::new(false),
            listed: Cell::new(false),
        })
    }

    /// Leave the answer for the connection.
    pub(super) fn reply(&self, reply: Reply) {
        *self.reply.borrow_mut() = Some(reply);
        self.notify.notify();
    }

    /// The job has come to its end.
    pub(super) fn end(&self) {
        self.over.set(true);
    }

    /// The job's bodies are being looked at: list it again the next time.
    pub(super) fn rearm(&self) {
        self.listed.set(false);
    }
}

impl Notify for Tie {
    fn notify(&self) {
        if !self.over.get() && !self.listed.replace(true) {
            self.tray.moved.borrow_mut().push(self.key);
        }
    }
}

/// Held by whoever waits for a job. Once it is dropped, nobody does.
pub(crate) struct Lead {
    tie: Rc<Tie>,
    /// Whether a client that has sent its FIN waits no more.
    ends_with_input: bool,
}

impl Lead {
    pub(super) const fn new(tie: Rc<Tie>, ends_with_input: bool) -> Self {
        Self { tie, ends_with_input }
    }

    /// The answer, once it is there.
    pub(crate) fn take_reply(&self) -> Option<Reply> {
        self.tie.reply.borrow_mut().take()
    }

    /// Whether the job is to end with the input of its client, and has not ended yet.
    pub(crate) fn ends_with_input(&self) -> bool {
        self.ends_with_input && !self.tie.over.get()
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // A body in an answer that nobody took would keep the tie, and the tie the answer.
        self.tie.reply.take();
        if !self.tie.over.get() {
            self.tie.tray.left.borrow_mut().push(self.tie.key);
        }
    }
}

/// The body of an answer that lies in a worker's memory, which stays taken until this is dropped.
pub(crate) struct Lent {
    tray: Rc<Tray>,
    ticket: Ticket,
    world: Mapped,
    payload: Payload,
    /// What is not read yet.
    at: usize,
    end: usize,
    spill: Spill,
}

impl Lent {
    pub(super) fn new(
        (tray, ticket): (&Rc<Tray>, Ticket),
        world: Mapped,
        payload: Payload,
        (at, end): (usize, usize),
        spill: &Spill,
    ) -> Self {
        Self { tray: Rc::clone(tray), ticket, world, payload, at, end, spill: spill.clone() }
    }

    /// Bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.end - self.at
    }

    /// Sends `first` and what is left, as far as the socket takes it at once. Returns how much of
    /// `first` and how much of the rest it took.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        first: &[u8],
    ) -> io::Result<(usize, usize)> {
        let spans = self.payload.spans(self.world.layout(), self.at, self.len());
        let sent = self.world.send(socket, first, spans)?;
        let rest = sent.saturating_sub(first.len());
        self.at += rest;
        Ok((sent - rest, rest))
    }

    /// Copies all that is left, if the shard may hold so much for slow readers.
    pub(crate) fn spill(&mut self) -> Option<Bytes> {
        let guard = self.spill.take(self.len())?;
        let bytes = self.copy(self.len());
        Some(guard.around(bytes))
    }

    /// Copies the next bytes, at most `bytes_max`.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Bytes {
        self.copy(self.len().min(bytes_max)).into()
    }

    fn copy(&mut self, bytes: usize) -> Vec<u8> {
        let mut copy = vec![0; bytes];
        self.payload.read(&self.world, self.at, &mut copy);
        self.at += bytes;
        copy
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.tray.read.borrow_mut().push(self.ticket);
    }
}
