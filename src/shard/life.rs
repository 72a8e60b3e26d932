//! How a shard ends: what it has accepted is served, nothing new is taken, then it leaves.

use std::time::Duration;

use super::turn::{Shard, Watched};
use crate::http::Time;
use crate::net::listener::Listener;
use crate::sys::socket;

/// Where the shard is in its life.
pub(crate) enum Life {
    Serving,
    Leaving(Leaving),
}

/// What is left to do before the shard is gone.
pub(crate) struct Leaving {
    heir: Heir,
    /// When the accept queue may be emptied for the last time.
    accept_until: Time,
    /// When connections that wait for a next request are closed, until that was done.
    idle_until: Option<Time>,
    /// When what still runs is cut.
    grace_until: Time,
    /// Whether all listeners are closed and the supervisor was told.
    accept_closed: bool,
}

/// Who takes the connections that wait in the listeners' queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heir {
    /// Nobody: new clients are dropped already, and the queue is ours to empty.
    Nobody,
    /// Another process has the same sockets.
    Successor,
}

impl Life {
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self, Self::Serving)
    }

    /// When there is something to do.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let Self::Leaving(leaving) = self else { return None };
        let accept = (!leaving.accept_closed).then_some(leaving.accept_until);
        [accept, leaving.idle_until, Some(leaving.grace_until)].into_iter().flatten().min()
    }
}

impl Shard {
    /// Begin to leave.
    pub(super) fn leave(&mut self, heir: Heir, grace: Duration) {
        let now = self.http.now;
        if let Life::Leaving(leaving) = &mut self.life {
            // The second word counts: less time, or nobody to leave the queue to after all.
            leaving.grace_until = leaving.grace_until.min(now + grace);
            if heir == Heir::Nobody && leaving.heir == Heir::Successor && !leaving.accept_closed {
                leaving.heir = heir;
                leaving.accept_until = now + SYN_SETTLE;
            }
            return;
        }
        self.http.draining = true;
        self.stop_accepting();
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.get(id)
                && !conn.core.is_idle()
            {
                conn.core.drain(&self.http.limits, now);
            }
        }
        self.life = Life::Leaving(Leaving {
            heir,
            accept_until: now + SYN_SETTLE,
            idle_until: Some(now + IDLE_GRACE),
            grace_until: now + grace,
            accept_closed: false,
        });
    }

    /// Do what is due of the leaving; returns whether the listeners have just been closed.
    pub(super) fn live(&mut self) -> bool {
        let now = self.http.now;
        let Life::Leaving(leaving) = &mut self.life else { return false };
        let heir = leaving.heir;
        let empty_now = now >= leaving.accept_until || heir == Heir::Successor;
        let idle_now = leaving.idle_until.take_if(|until| now >= *until).is_some();
        let cut_now = now >= leaving.grace_until;
        let told = leaving.accept_closed;
        if empty_now {
            self.close_listeners(heir);
        }
        if idle_now {
            self.close_idle();
        }
        if cut_now {
            self.cut_all();
            self.http.desks.cancel_all();
            for listening in &mut self.listeners {
                listening.socket = None;
            }
        }
        let closed = self.listeners.iter().all(|listening| listening.socket.is_none());
        if let Life::Leaving(leaving) = &mut self.life {
            leaving.accept_closed = closed;
        }
        closed && !told
    }

    /// Whether everything is done.
    pub(super) fn is_over(&self) -> bool {
        match &self.life {
            Life::Serving => false,
            Life::Leaving(leaving) => {
                leaving.accept_closed && self.conns.len() == 0 && self.http.desks.is_done()
            }
        }
    }

    /// Close the listeners that are watched no more, after taking what is in their queues if
    /// nobody else will.
    fn close_listeners(&mut self, heir: Heir) {
        for index in 0..self.listeners.len() {
            if self.listeners[index].watched != Watched::No {
                continue;
            }
            // A queue that we have inherited is for whoever has the socket next.
            if let Some(listener) = self.listeners[index].socket.take()
                && heir == Heir::Nobody
                && !listener.is_inherited()
                && !self.empty(&listener)
            {
                self.listeners[index].socket = Some(listener);
            }
        }
    }

    /// Take what is in the queue; false if there is no room for it now, so that another attempt
    /// is due when connections have ended.
    fn empty(&mut self, listener: &Listener) -> bool {
        loop {
            match socket::accept_one(listener) {
                Ok(Some(socket)) => self.admit(socket),
                Ok(None) => return true,
                Err(error) => {
                    tracing::debug!(%error, "the accept queue cannot be emptied yet");
                    if let Life::Leaving(leaving) = &mut self.life {
                        leaving.accept_until = self.http.now + QUEUE_RETRY;
                    }
                    return false;
                }
            }
        }
    }

    /// Close the connections on which nothing happens. One whose last answer is still on its way
    /// is closed when it has arrived; one with a request that waits gets its answer first.
    fn close_idle(&mut self) {
        let now = self.http.now;
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get(id) else { continue };
            if conn.core.is_idle() && conn.is_quiet() {
                self.close(id);
            } else if conn.core.is_idle() && conn.is_answered() {
                conn.core.drain(&self.http.limits, now);
                self.touch(id);
            }
        }
    }

    /// Cut whatever is left.
    pub(super) fn cut_all(&mut self) {
        for id in self.conns.ids() {
            self.abort(id);
        }
    }
}

/// After new clients are dropped, handshakes that were under way complete within this time: a
/// queue emptied at once lost a connection in 3 of 5 stops, after 2 ms in none.
const SYN_SETTLE: Duration = Duration::from_millis(2);
/// How long to wait for room when the accept queue cannot be emptied.
const QUEUE_RETRY: Duration = Duration::from_millis(20);
/// Connections without a request get this long for one that is on its way.
const IDLE_GRACE: Duration = Duration::from_secs(1);
