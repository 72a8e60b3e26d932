//! Jobs for which something has happened on the executor: a handler's future is done, a stream has
//! a chunk, an upload has room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::handler::Notify;
use crate::offload::server::JobId;

/// The list, and the worker's waker while it sleeps.
#[derive(Default)]
pub(super) struct Ready {
    list: RefCell<Vec<JobId>>,
    waker: RefCell<Option<Waker>>,
}

impl Ready {
    /// Whether anything is listed; if not, the worker is woken when something will be.
    pub(super) fn is_ready(&self, cx: &Context<'_>) -> bool {
        if !self.is_empty() {
            return true;
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        false
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Move the list's content to `into`.
    pub(super) fn take(&self, into: &mut Vec<JobId>) {
        into.append(&mut self.list.borrow_mut());
    }
}

/// Lists one job, once until it is looked at.
pub(super) struct JobNotify {
    id: JobId,
    listed: Cell<bool>,
    ready: Rc<Ready>,
}

impl JobNotify {
    pub(super) fn new(id: JobId, ready: &Rc<Ready>) -> Rc<Self> {
        Rc::new(Self { id, listed: Cell::new(false), ready: Rc::clone(ready) })
    }

    /// The job is being looked at: list it again the next time.
    pub(super) fn rearm(&self) {
        self.listed.set(false);
    }
}

impl Notify for JobNotify {
    fn notify(&self) {
        if !self.listed.replace(true) {
            self.ready.list.borrow_mut().push(self.id);
            if let Some(waker) = self.ready.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}
