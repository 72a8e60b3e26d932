//! Handlers that run in a worker of a pool, where they may compute, block or crash without hurting
//! anybody else.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Handler, IntoHandler, IntoResponse, LocalFuture, Request, Response};

/// A handler with the pool that runs it.
pub struct Job {
    /// The name of the pool.
    pub pool: String,
    /// What its pool has to load; `None` if the handler needs nothing.
    pub state: Option<StateType>,
    /// The handler.
    pub run: JobFn,
    /// Whether a request may run a second time when its worker died in it.
    pub retry: bool,
    /// How long a request may take; `None` as long as those of its pool.
    pub timeout: Option<Duration>,
}

/// A handler of a pool after its type was erased. It can be called once it is bound to what its
/// pool has loaded, which is of the type that `Job::state` says, or of any if that is `None`.
pub enum JobFn {
    /// A future on the worker's executor.
    Async(Box<BindFn<Rc<AsyncJobFn>>>),
    /// A plain function.
    Plain(Box<BindFn<Arc<PlainFn>>>),
}

/// Gives a handler what its pool has loaded.
pub type BindFn<H> = dyn Fn(&Loaded) -> H;

/// A plain handler of a pool, which any thread of the worker may call.
pub type PlainFn = dyn Fn(&Request) -> Response + Send + Sync;
/// An async handler of a pool, which belongs to the thread of the worker's executor.
pub type AsyncJobFn = dyn Fn(Request) -> LocalFuture<Response>;

/// What a pool has loaded after its type was erased.
///
/// It is shared in a way that leaves it to each handler what it asks of the type: one that is
/// called on several threads cannot be written for a type which must not be there.
#[derive(Clone)]
pub struct Loaded(
    /// An `Arc<S>`.
    Rc<dyn Any>,
);

impl Loaded {
    /// Of `state`.
    #[must_use]
    pub fn new<S: 'static>(state: S) -> Self {
        Self(Rc::new(Arc::new(state)))
    }

    /// As the type that it was made of.
    ///
    /// # Panics
    /// Panics if it is of another type: the start compares what handlers take and pools load.
    #[must_use]
    pub fn get<S: 'static>(&self) -> &Arc<S> {
        self.0.downcast_ref().expect(SAME_TYPE)
    }

    /// The same to change it.
    ///
    /// # Panics
    /// Panics if it is of another type, or was given out before.
    pub fn get_mut<S: 'static>(&mut self) -> &mut S {
        const SOLE: &str = "what was loaded is given out after it was changed only";
        let state = Rc::get_mut(&mut self.0).expect(SOLE);
        Arc::get_mut(state.downcast_mut::<Arc<S>>().expect(SAME_TYPE)).expect(SOLE)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

const SAME_TYPE: &str = "the start compares what handlers take and pools load";

/// The type of what a pool loads.
#[derive(Clone, Copy, Debug)]
pub struct StateType {
    id: TypeId,
    /// As people know it.
    pub name: &'static str,
}

impl StateType {
    /// That of `S`.
    #[must_use]
    pub fn of<S: 'static>() -> Self {
        Self { id: TypeId::of::<S>(), name: type_name::<S>() }
    }
}

impl PartialEq for StateType {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for StateType {}

/// A handler for a pool, made by [`offload`].
pub struct Offload(Job);

/// Marks handlers of pools.
pub struct Offloaded(());

impl Offload {
    /// Run a request again, once, when its worker died in it: only GET, HEAD and OPTIONS, and only
    /// while nothing of the answer was sent. Without this such a request is answered with 502,
    /// because nobody knows what the handler had done already. A request that no worker had begun
    /// is always given to the next one.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.0.retry = true;
        self
    }

    /// Give the requests of this handler so long, the wait for a worker included, in place of the
    /// pool's `request.timeout`.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }
}

impl IntoHandler<Offloaded> for Offload {
    fn into_handler(self) -> Handler {
        Handler::Job(self.0)
    }
}

/// Run `handler` in a worker of the pool `pool`.
///
/// A plain function or an async one, with or without what the pool has loaded
/// ([`Pool::on_load`](crate::worker::Pool::on_load)):
///
/// ```
/// use corewise::{App, Pool, Request, Response, offload};
///
/// struct Tables { primes: Vec<u64> }
///
/// fn load() -> Result<Tables, std::io::Error> {
///     Ok(Tables { primes: vec![2, 3, 5, 7] })
/// }
///
/// fn divisors(request: &Request, tables: &Tables) -> Result<Response, corewise::Error> {
///     let number: u64 = request.param_as("number")?;
///     let found = tables.primes.iter().filter(|prime| number.is_multiple_of(**prime));
///     Ok(Response::json(&found.collect::<Vec<_>>()))
/// }
///
/// let app = App::new()
///     .pool("cpu", Pool::new().on_load(load))
///     .get("/divisors/{number}", offload("cpu", divisors));
/// ```
///
/// How many threads a worker runs plain functions on is a line of the configuration, `threads`,
/// and whoever writes it does not compile the application again. So a plain function must always
/// be fit for several threads at once, and so must what it takes of its pool: both are `Send` and
/// `Sync`, or it does not compile. An async function runs on the thread of the worker's executor
/// alone, whatever `threads` says (so does the producer of its stream, while that of a plain
/// function stays on the thread which called it), and may use an [`Rc`] or a
/// [`RefCell`](std::cell::RefCell):
///
/// ```
/// use std::cell::Cell;
/// use corewise::{App, Pool, Request, Response, offload};
///
/// async fn count(_: Request, calls: &Cell<u64>) -> Response {
///     calls.set(calls.get() + 1);
///     Response::text(calls.get().to_string())
/// }
///
/// let app = App::new()
///     .pool("cpu", Pool::new().on_load(|| Ok::<_, String>(Cell::new(0))))
///     .get("/count", offload("cpu", count));
/// ```
///
/// A plain one does not get it; it takes a [`Mutex`](std::sync::Mutex), or an atomic:
///
/// ```compile_fail,E0277
/// use std::cell::Cell;
/// use corewise::{Request, Response, offload};
///
/// fn count(_: &Request, calls: &Cell<u64>) -> Response {
///     calls.set(calls.get() + 1);
///     Response::text(calls.get().to_string())
/// }
///
/// let count = offload("cpu", count);
/// ```
pub fn offload<K>(pool: &str, handler: impl IntoJob<K>) -> Offload {
    let (state, run) = handler.into_job();
    Offload(Job { pool: pool.to_owned(), state, run, retry: false, timeout: None })
}

/// Everything that [`offload`] accepts.
///
/// `Kind` only tells the implementations apart; it is never named.
pub trait IntoJob<Kind> {
    /// Erase the type.
    fn into_job(self) -> (Option<StateType>, JobFn);
}

/// Marks plain functions.
pub struct Plain(());
/// Marks plain functions that take what their pool has loaded.
pub struct PlainWith<S>(S);
/// Marks async functions.
pub struct Awaited<R>(R);
/// Marks async functions that take what their pool has loaded.
pub struct AwaitedWith<S, R>(S, R);

impl<F, R> IntoJob<Plain> for F
where
    F: Fn(&Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn into_job(self) -> (Option<StateType>, JobFn) {
        let run: Arc<PlainFn> = Arc::new(move |request: &Request| self(request).into_response());
        (None, JobFn::Plain(Box::new(move |_| Arc::clone(&run))))
    }
}

impl<F, S, R> IntoJob<PlainWith<S>> for F
where
    F: Fn(&Request, &S) -> R + Send + Sync + 'static,
    S: Send + Sync + 'static,
    R: IntoResponse,
{
    fn into_job(self) -> (Option<StateType>, JobFn) {
        let handler = Arc::new(self);
        let bind = move |loaded: &Loaded| -> Arc<PlainFn> {
            let (handler, state) = (Arc::clone(&handler), Arc::clone(loaded.get::<S>()));
            Arc::new(move |request: &Request| handler(request, &state).into_response())
        };
        (Some(StateType::of::<S>()), JobFn::Plain(Box::new(bind)))
    }
}

impl<F, R> IntoJob<Awaited<R>> for F
where
    F: AsyncFn(Request) -> R + 'static,
    R: IntoResponse,
{
    fn into_job(self) -> (Option<StateType>, JobFn) {
        let handler = Rc::new(self);
        let run: Rc<AsyncJobFn> = Rc::new(move |request| {
            let handler = Rc::clone(&handler);
            Box::pin(async move { handler(request).await.into_response() })
        });
        (None, JobFn::Async(Box::new(move |_| Rc::clone(&run))))
    }
}

impl<F, S, R> IntoJob<AwaitedWith<S, R>> for F
where
    F: AsyncFn(Request, &S) -> R + 'static,
    S: 'static,
    R: IntoResponse,
{
    fn into_job(self) -> (Option<StateType>, JobFn) {
        let handler = Rc::new(self);
        let bind = move |loaded: &Loaded| -> Rc<AsyncJobFn> {
            let (handler, state) = (Rc::clone(&handler), Arc::clone(loaded.get::<S>()));
            Rc::new(move |request| {
                let (handler, state) = (Rc::clone(&handler), Arc::clone(&state));
                Box::pin(async move { handler(request, &state).await.into_response() })
            })
        };
        (Some(StateType::of::<S>()), JobFn::Async(Box::new(bind)))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("pool", &self.pool)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::handler::response::Content;

    struct Tables(&'static str);

    fn plain(_: &Request) -> &'static str {
        "plain"
    }

    fn plain_with(_: &Request, tables: &Tables) -> String {
        format!("plain with {}", tables.0)
    }

    async fn awaited(_: Request) -> &'static str {
        "awaited"
    }

    async fn awaited_with(_: Request, tables: &Tables) -> String {
        format!("awaited with {}", tables.0)
    }

    #[track_caller]
    fn check(offload: Offload, needs_tables: bool, expected: &str) {
        let Handler::Job(job) = offload.into_handler() else { panic!("not a job") };
        assert_eq!(job.pool, "cpu");
        assert_eq!(job.state, needs_tables.then(StateType::of::<Tables>));
        let loaded = Loaded::new(Tables("tables"));
        let response = match job.run {
            JobFn::Plain(bind) => bind(&loaded)(&Request::new()),
            JobFn::Async(bind) => {
                let future = pin!(bind(&loaded)(Request::new()));
                match future.poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(response) => response,
                    Poll::Pending => panic!("it has nothing to wait for"),
                }
            }
        };
        let body = match &response.content {
            Content::Buffer(bytes) => bytes.as_slice(),
            Content::Bytes(bytes) => bytes,
            Content::Static(bytes) => bytes,
            Content::Stream(_) => panic!("a stream"),
        };
        assert_eq!(str::from_utf8(body), Ok(expected));
    }

    #[test]
    fn what_was_loaded_can_be_changed_until_it_is_given_out() {
        let mut loaded = Loaded::new(7);
        *loaded.get_mut::<i32>() += 1;
        assert_eq!(**loaded.get::<i32>(), 8);
    }

    #[test]
    fn every_form_of_a_handler_is_taken() {
        check(offload("cpu", plain), false, "plain");
        check(offload("cpu", plain_with), true, "plain with tables");
        check(offload("cpu", awaited), false, "awaited");
        check(offload("cpu", awaited_with), true, "awaited with tables");
        check(offload("cpu", |_: &Request| "closure"), false, "closure");
        check(offload("cpu", |_: &Request, _: &Tables| "closure"), true, "closure");
        check(offload("cpu", async |_: Request| "closure"), false, "closure");
        check(offload("cpu", async |_: Request, _: &Tables| "closure"), true, "closure");
    }
}
