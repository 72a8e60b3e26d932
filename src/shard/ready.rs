//! Connections for which something has happened outside of the ring: a handler's future is done,
//! a stream has a chunk, an upload has room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::handler::Notify;
use crate::net::ConnId;

/// The list, and the driver's waker while it sleeps.
#[derive(Default)]
pub(crate) struct Ready {
    list: RefCell<Vec<ConnId>>,
    waker: RefCell<Option<Waker>>,
}

impl Ready {
    /// Whether anything is listed; if not, the driver is woken when something will be.
    pub(crate) fn is_ready(&self, cx: &Context<'_>) -> bool {
        if !self.list.borrow().is_empty() {
            return true;
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        false
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Move the list's content to `into`.
    pub(crate) fn take(&self, into: &mut Vec<ConnId>) {
        into.append(&mut self.list.borrow_mut());
    }

    fn push(&self, id: ConnId) {
        self.list.borrow_mut().push(id);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Lists one connection, once until it is looked at.
pub(crate) struct ConnNotify {
    id: ConnId,
    listed: Cell<bool>,
    ready: Rc<Ready>,
}

impl ConnNotify {
    pub(crate) fn new(id: ConnId, ready: &Rc<Ready>) -> Rc<Self> {
        Rc::new(Self { id, listed: Cell::new(false), ready: Rc::clone(ready) })
    }

    /// The connection is being looked at: list it again the next time.
    pub(crate) fn rearm(&self) {
        self.listed.set(false);
    }
}

impl Notify for ConnNotify {
    fn notify(&self) {
        if !self.listed.replace(true) {
            self.ready.push(self.id);
        }
    }
}
