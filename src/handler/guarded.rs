//! Futures of handlers, whose panics cost a request and nothing else.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::LocalFuture;

/// A future whose panics are a result, also those of what it drops.
pub(crate) struct Guarded<T>(Option<LocalFuture<T>>);

/// The future panicked; the panic hook has told of it.
#[derive(Debug)]
pub(crate) struct Panicked;

impl<T> Guarded<T> {
    pub(crate) fn new(future: LocalFuture<T>) -> Self {
        Self(Some(future))
    }
}

impl<T> Future for Guarded<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // A client that leaves drops its handler: a panic in a destructor there is that
        // request's, reported by the hook, and not the end of the process.
        let future = self.0.take();
        let _reported = catch_unwind(AssertUnwindSafe(|| drop(future)));
    }
}

/// What the first poll of a handler's future came to.
pub(crate) enum FirstStep<T> {
    Pending(LocalFuture<T>),
    Ready(T),
}

/// Call an async handler and poll its future once: one that need not wait costs no task.
pub(crate) fn first_step<T>(
    start: impl FnOnce() -> LocalFuture<T>,
) -> Result<FirstStep<T>, Panicked> {
    let step = catch_unwind(AssertUnwindSafe(|| {
        let mut future = start();
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => FirstStep::Ready(value),
            Poll::Pending => FirstStep::Pending(future),
        }
    }));
    step.map_err(|_| Panicked)
}
