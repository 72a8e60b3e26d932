//! Whom a worker obeys: its supervisor, signals, and the silence when the supervisor is gone.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::{Owned, is_readable};
use crate::sys::channel::{Channel, Received, ToChild};
use crate::sys::{descriptors, poll};

/// What a worker has been told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Take nothing more; what runs may take so long, or as long as its own deadlines allow.
    Drain(Option<Duration>),
    /// The supervisor is gone: leave once there is nobody left to work for.
    Outlive,
    /// Leave at once.
    Stop,
}

/// Where orders come from.
pub(super) struct Orders<'a> {
    channel: &'a Channel,
    owned: &'a Owned,
    /// Whether nothing more comes from the channel.
    deaf: bool,
    /// Whether it was told already that the supervisor is gone.
    orphaned: bool,
}

impl<'a> Orders<'a> {
    pub(super) fn new(channel: &'a Channel, owned: &'a Owned) -> Self {
        Self { channel, owned, deaf: false, orphaned: false }
    }

    /// The way back.
    pub(super) fn channel(&self) -> &'a Channel {
        self.channel
    }

    /// What to wait at.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'a>; 4] {
        let Owned { signals, terminate, supervisor, .. } = self.owned;
        [self.channel.as_fd(), signals.as_fd(), terminate.as_fd(), supervisor.as_fd()]
    }

    /// The next order that has come.
    pub(super) fn next(&mut self) -> Option<Order> {
        if let Some(order) = self.hear_supervisor() {
            return Some(order);
        }
        let signal = matches!(self.owned.signals.read(), Ok(Some(_)));
        let told = signal | descriptors::take_count(self.owned.terminate.as_fd());
        if is_readable(&self.owned.supervisor) {
            // The kernel says TERM as well, and that means the same.
            return (!std::mem::replace(&mut self.orphaned, true)).then(|| {
                tracing::warn!("the supervisor is gone; finishing what the shards still want");
                Order::Outlive
            });
        }
        told.then_some(Order::Drain(None))
    }

    fn hear_supervisor(&mut self) -> Option<Order> {
        if self.deaf {
            return None;
        }
        match self.channel.receive::<ToChild>() {
            Ok(Received::Message(ToChild::Drain { grace })) => Some(Order::Drain(Some(grace))),
            Ok(Received::Message(ToChild::Stop)) => Some(Order::Stop),
            Ok(Received::Nothing) => None,
            // Of a dead supervisor the descriptor of its process tells; one that lives and has
            // closed the channel wants this place for somebody else.
            Ok(Received::Closed) => {
                self.deaf = true;
                (!self.is_supervisor_dying()).then_some(Order::Drain(None))
            }
            Ok(Received::Message(ToChild::Fork(_)) | Received::Malformed) => {
                tracing::error!("the supervisor sent something that makes no sense here");
                self.hear_supervisor()
            }
            Err(error) => {
                tracing::error!(%error, "the supervisor's channel could not be read");
                self.deaf = true;
                Some(Order::Drain(None))
            }
        }
    }

    /// A process that dies closes its descriptors a moment before it counts as dead.
    fn is_supervisor_dying(&self) -> bool {
        let supervisor = [self.owned.supervisor.as_fd()];
        poll::wait_readable(&supervisor, Some(DYING_MAX)).is_ok_and(|ready| ready == [true])
    }
}

/// How long a process may take from closing its descriptors to its end.
const DYING_MAX: Duration = Duration::from_millis(50);
