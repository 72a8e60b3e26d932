//! What a worker runs for its pool: the routes that lead here, each with its handler.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use crate::handler::guarded::{Guarded, Panicked};
use crate::handler::job::{AsyncJobFn, PlainFn};
use crate::handler::{IntoResponse, JobFn, Loaded, LocalFuture, Request, Response};
use crate::http::Error;
use crate::offload::region::Region;
use crate::offload::server::SpinPolicy;
use crate::offload::word::WorkerIndex;
use crate::telemetry::log::Duty;

/// The jobs of a worker: where they come from, and what runs for them.
pub struct Jobs {
    /// The memory of the pool, whose requests can only be read here.
    pub region: Arc<Region>,
    /// Which worker of the pool this is.
    pub index: WorkerIndex,
    /// What runs for each route, in the order of their ids; nothing for those of other pools.
    pub routes: Vec<Option<Route>>,
    /// Most jobs at a time. `None` is one for each thread where there are several; else as many as
    /// there are slots: plain handlers run one after the other anyway.
    pub jobs_max: Option<usize>,
    /// Threads that run plain handlers; with one that is the thread of the executor.
    pub threads: usize,
    /// How long the worker looks for jobs before it sleeps.
    pub spin: SpinPolicy,
}

/// A route that leads to the pool.
pub struct Route {
    /// As people know it: `GET /fib/{n}`.
    pub name: String,
    /// The names of its parameters, in the order of its pattern.
    pub params: Vec<Box<str>>,
    /// Its handler.
    pub run: JobFn,
}

impl Jobs {
    /// Most jobs that this worker has at a time.
    pub(super) fn jobs_max(&self) -> usize {
        let shape = self.region.layout().shape();
        let slots = usize::from(shape.shards) * shape.slots as usize;
        let is_plain = |route: &Route| matches!(route.run, JobFn::Plain(_));
        let on_threads = self.threads > 1 && self.routes.iter().flatten().any(is_plain);
        let auto = if on_threads { self.threads } else { slots };
        self.jobs_max.unwrap_or(auto).clamp(1, slots)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A route whose handler has got what the pool has loaded.
pub(super) struct Bound {
    pub(super) name: String,
    pub(super) params: Rc<[Box<str>]>,
    pub(super) call: Call,
}

/// A handler that can be called.
pub(super) enum Call {
    Async(Rc<AsyncJobFn>),
    Plain(Arc<PlainFn>),
}

impl Route {
    pub(super) fn bind(self, loaded: &Loaded) -> Bound {
        let call = match self.run {
            JobFn::Async(bind) => Call::Async(bind(loaded)),
            JobFn::Plain(bind) => Call::Plain(bind(loaded)),
        };
        Bound { name: self.name, params: self.params.into(), call }
    }
}

/// Calls a plain handler of the route `name`. A panic in it is a response like any other; the hook
/// has told of it.
pub(super) fn call_plain(run: &PlainFn, request: &Request, name: &str) -> Response {
    let _duty = begin_duty(request, name);
    catch_unwind(AssertUnwindSafe(|| run(request)))
        .unwrap_or_else(|_panic| Error::Internal.into_response())
}

/// What a panic in a call is told with.
fn begin_duty(request: &Request, name: &str) -> Duty {
    Duty::begin(&[request.method().as_str(), " ", request.path(), " (route ", name, ")"])
}

/// What a panic in a future is told with.
pub(super) fn duty_of(request: &Request, name: &str) -> Rc<str> {
    format!("{} {} (route {name})", request.method(), request.path()).into()
}

/// Polls a future of the application to its end; a panic names `duty`.
pub(super) async fn on_duty<T>(duty: Rc<str>, future: LocalFuture<T>) -> Result<T, Panicked> {
    let mut future = Guarded::new(future);
    poll_fn(|cx| {
        let _duty = Duty::begin(&[&duty]);
        Pin::new(&mut future).poll(cx)
    })
    .await
}
