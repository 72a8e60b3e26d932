//! What a handler sees: the request, the response, their bodies, and the ways to be a handler.
//!
//! Knows no socket and no executor. Bodies are channels between the shard and the handler, both
//! on one thread; who is to be told about progress is a [`Notify`].

pub mod body;
pub(crate) mod guarded;
pub mod job;
pub mod request;
pub mod response;
pub(crate) mod scratch;

use std::future::Future;
use std::pin::Pin;

pub use body::{Body, BodyError, Gone, Notify, Sender};
pub use job::{Job, JobFn, Loaded, Offload, StateType, offload};
pub use request::Request;
pub use response::{Event, EventSender, Html, IntoResponse, Json, Response};

/// A future of the shard's thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// An inline handler after its type was erased. It writes its response where the caller wants it:
/// a response is large enough for its moves to show in the cost of a cheap request.
pub type InlineFn = dyn Fn(&Request, &mut Response);
/// An async handler after its type was erased.
pub type TaskFn = dyn Fn(Request) -> LocalFuture<Response>;

/// A handler as the shard calls it.
pub enum Handler {
    /// As `Inline`, for an answer that needs nothing of the request's body: it is not waited for.
    Early(Box<InlineFn>),
    /// Runs in the shard's turn: must be short and must not block.
    Inline(Box<InlineFn>),
    /// Runs in a worker of a pool.
    Job(Job),
    /// A future on the shard's executor, dropped when its client leaves.
    Task(Box<TaskFn>),
}

/// Everything that `App::get` and its siblings accept.
///
/// `Kind` only tells the implementations apart; it is never named.
pub trait IntoHandler<Kind> {
    /// Erase the type.
    fn into_handler(self) -> Handler;
}

/// Marks functions that answer at once.
pub struct Inline(());
/// Marks functions that return a future.
pub struct Async(());

impl<F, R> IntoHandler<Inline> for F
where
    F: Fn(&Request) -> R + 'static,
    R: IntoResponse,
{
    fn into_handler(self) -> Handler {
        Handler::Inline(Box::new(move |request, response| {
            *response = self(request).into_response();
        }))
    }
}

/// An async handler, made by [`task`].
pub struct Task<F>(F);

/// Run `handler` as a task on the shard's executor.
///
/// The request's head is the handler's own and its body arrives as a stream. The future is
/// dropped when the client leaves.
///
/// ```
/// use corewise::{task, App, Request, Response};
///
/// async fn upper(mut request: Request) -> Result<Response, corewise::http::Error> {
///     let body = request.take_body().collect(1 << 20).await?;
///     Ok(Response::bytes(body.to_ascii_uppercase()))
/// }
/// let app = App::new().post("/upper", task(upper));
/// ```
pub fn task<F, Fut, R>(handler: F) -> Task<F>
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future<Output = R> + 'static,
    R: IntoResponse,
{
    Task(handler)
}

impl<F, Fut, R> IntoHandler<Async> for Task<F>
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future<Output = R> + 'static,
    R: IntoResponse,
{
    fn into_handler(self) -> Handler {
        Handler::Task(Box::new(move |request| {
            let future = (self.0)(request);
            Box::pin(async move { future.await.into_response() })
        }))
    }
}
