//! All that touches glommio: running a shard's tasks, its timers and files, and how the shard's
//! driver shares the thread with them.
//!
//! The driver is one task among others. While no other task is alive it owns the thread and
//! sleeps in the network ring. While others live it has to let them run ([`yield_now`]), let
//! glommio look at its own rings ([`poll_io`]: glommio does so only when its queues are empty),
//! and sleep through glommio ([`Bell::wait`]) so that their timers and files are served.
//!
//! Tasks spawned here are counted. A handler may also spawn through glommio itself; such a task
//! shows as an execution that nobody here accounts for ([`census`]), and from then on the driver
//! behaves as if a task were always alive.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_io::AsyncRead;
use glommio::io::BufferedFile;
use glommio::net::UnixStream;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use crate::sys::descriptors;

/// Bytes that glommio registers for storage I/O, against RLIMIT_MEMLOCK; its default of 10 MiB is
/// more than the usual limit of 8 MiB.
const IO_MEMORY_BYTES: usize = 256 << 10;
/// Entries of each of glommio's three rings.
const RING_DEPTH: usize = 128;
/// How long to sleep where nothing can wake us.
const NAP: Duration = Duration::from_millis(10);

thread_local! {
    /// Tasks spawned here and not yet ended.
    static LIVE: Cell<usize> = const { Cell::new(0) };
    /// Polls of those tasks and of the driver.
    static POLLS: Cell<u64> = const { Cell::new(0) };
    /// Whom to tell that a task runs.
    static BUSY: RefCell<Option<BusyReport>> = const { RefCell::new(None) };
    /// Whether a task that was spawned elsewhere has ever run.
    static STRANGERS: Cell<bool> = const { Cell::new(false) };
}

/// Run `future` on a new executor of this thread until it ends.
///
/// # Errors
/// When glommio cannot be set up (io_uring forbidden, too little lockable memory).
pub fn run<T>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
    Ok(Executor::new()?.run(future))
}

/// The executor of a thread that runs futures one after the other.
pub struct Executor(LocalExecutor);

impl Executor {
    /// Sets one up.
    ///
    /// # Errors
    /// As [`run`].
    pub fn new() -> io::Result<Self> {
        // The process was pinned (or left floating) before; the executor must not change that.
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name("corewise")
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            .make()
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(executor))
    }

    /// Runs `future` on this thread until it ends. What it has spawned and left goes on with the
    /// next one.
    pub fn run<T>(&self, future: impl Future<Output = T> + 'static) -> T {
        self.0.run(Polled::new(future, false))
    }
}

/// A spawned task; dropping it cancels the future.
pub struct Task {
    _task: glommio::Task<()>,
}

/// Start `future` as a task of its own.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    LIVE.set(LIVE.get() + 1);
    let alive = Alive;
    let counted = async move {
        let _alive = alive;
        future.await;
    };
    Task { _task: glommio::spawn_local(Polled::new(counted, true)) }
}

/// Wait for `duration`.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Run `work` on the executor's blocking thread, away from the shard's turns; for calls that
/// block and have no async form. CPU-heavy work belongs elsewhere: the thread shares the core.
pub async fn spawn_blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    glommio::executor().spawn_blocking(work).await
}

/// Read a whole file, at most `bytes_max` of it, through io_uring.
///
/// # Errors
/// As open and read do; `InvalidData` if the file is larger than `bytes_max`.
pub async fn read_file(path: impl AsRef<Path>, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = BufferedFile::open(path.as_ref()).await?;
    let read = async {
        let size = usize::try_from(file.file_size().await?).unwrap_or(usize::MAX);
        if size > bytes_max {
            let text = format!("the file has {size} bytes, more than the {bytes_max} asked for");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(file.read_at(0, size).await?.to_vec())
    };
    let result = read.await;
    file.close().await?;
    result
}

/// Wait until `fd`, which must not be a socket, is readable; for things that are looked at seldom.
///
/// glommio has no call for that either. But it takes any descriptor for a stream's, arms a poll
/// for it before the first read, and only then finds out that it cannot receive from it.
///
/// # Errors
/// When the process is out of descriptors.
pub async fn readable(fd: impl AsFd) -> io::Result<()> {
    let copy = descriptors::duplicate(fd)?;
    let mut stream: UnixStream = descriptors::from_owned_fd(copy);
    match std::future::poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0])).await {
        Err(error) if descriptors::is_not_a_socket(&error) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("this is a socket")),
    }
}

/// Wait for `future`, but not longer than until `until`; `None` when it was not ready by then.
pub async fn within<T>(until: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut timer = glommio::timer::Timer::new(until.saturating_duration_since(Instant::now()));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut timer).poll(cx).map(|_| None),
    })
    .await
}

/// Let the tasks that are ready run once.
pub async fn yield_now() {
    glommio::executor().yield_task_queue_now().await;
}

/// Let glommio look at its rings and timers without sleeping.
pub async fn poll_io() {
    // While we wait for the shortest timer the queues are empty, and glommio polls. (A timer that
    // has run out already would not suspend us at all.)
    glommio::timer::sleep(Duration::from_micros(1)).await;
}

/// A task that is counted in `LIVE` until dropped.
struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

/// Counts a future's polls, as the executor counts executions.
struct Polled<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    done: bool,
    /// Whether the time it takes is reported ([`report_busy`]).
    reported: bool,
}

impl<T> Polled<T> {
    fn new(future: impl Future<Output = T> + 'static, reported: bool) -> Self {
        Self { future: Box::pin(future), done: false, reported }
    }
}

impl<T> Future for Polled<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        POLLS.set(POLLS.get() + 1);
        let report = if self.reported { BUSY.with_borrow(Clone::clone) } else { None };
        if let Some(report) = &report {
            report(true);
        }
        let poll = self.future.as_mut().poll(cx);
        if let Some(report) = &report {
            report(false);
        }
        self.done = poll.is_ready();
        poll
    }
}

impl<T> Drop for Polled<T> {
    fn drop(&mut self) {
        // The executor runs a cancelled task once more, to drop it, and counts that.
        if !self.done {
            POLLS.set(POLLS.get() + 1);
        }
    }
}

/// Told with true when a task begins to run, with false when it pauses.
pub type BusyReport = Rc<dyn Fn(bool)>;

/// Have `report` told when a task begins to run and when it pauses, so that one which never does
/// can be found from outside.
pub fn report_busy(report: BusyReport) {
    BUSY.set(Some(report));
}

/// Let the tasks that are ready run once, and find out whether somebody spawned tasks behind our
/// back.
///
/// Every poll of our own tasks, the driver included, is counted before glommio counts it (it does
/// so when a queue's run is over). So an excess on glommio's side is a task of somebody else's.
/// While our own tasks run beside it the excess may hide until they are gone, which is early
/// enough: only then does the answer matter.
pub async fn census() {
    yield_now().await;
    let executed = glommio::executor().executor_stats().tasks_executed();
    if executed >= POLLS.get() {
        STRANGERS.set(true);
    }
}

/// Whether tasks other than the driver are alive, as far as anybody can tell: glommio does not
/// say when a task of somebody else's has ended, so one that was ever seen counts for ever.
pub fn has_company() -> bool {
    LIVE.get() > 0 || STRANGERS.get()
}

/// Sleeping through glommio until a foreign eventfd is signalled.
///
/// glommio has no call to wait for a descriptor that is not its own, but reading eight bytes of
/// an eventfd as if it were a file is an operation of its ring: it completes when the eventfd is
/// signalled and takes the signal with it. A task of its own does the reading: glommio keeps a
/// waker for every poll of such an operation, so it must not be polled anew for every sleep.
pub struct Bell {
    eventfd: OwnedFd,
    ear: Ear,
}

/// Who reads the eventfd.
enum Ear {
    /// Nobody before the first sleep; its own descriptor is there already, so that sleeping never
    /// lacks one.
    Deaf(OwnedFd),
    /// A task.
    Open(Rc<Rung>),
}

/// What the listening task has to say.
#[derive(Default)]
struct Rung {
    rang: Cell<bool>,
    sleeper: RefCell<Option<Waker>>,
}

impl Bell {
    /// A bell that has not rung.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let eventfd = descriptors::bell()?;
        Ok(Self { ear: Ear::Deaf(eventfd.try_clone()?), eventfd })
    }

    /// What others signal.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// Ring for `doorbell` too, an eventfd that does not block, from now on. Its count is taken.
    ///
    /// The network ring may watch it as well, and must not be relied upon for it: a signal that
    /// completes an operation of a ring whose own eventfd is to be signalled then is nested, and
    /// was seen to be lost.
    pub fn hear(&mut self, doorbell: OwnedFd) {
        let rung = self.ear.open();
        let hearing = async move {
            loop {
                if let Err(error) = readable(&doorbell).await {
                    tracing::error!(%error, "a doorbell could not be watched");
                    sleep(Duration::from_millis(10)).await;
                }
                descriptors::take_count(doorbell.as_fd());
                rung.ring();
            }
        };
        // No company, as the one that listens to the bell itself.
        glommio::spawn_local(Polled::new(hearing, false)).detach();
    }

    /// Sleep until the bell rings, `until`, or `ready` says that there is work; `ready` is asked
    /// on every wake and keeps the waker.
    pub async fn wait(&mut self, until: Option<Instant>, ready: impl FnMut(&Context<'_>) -> bool) {
        self.ear.open().wait(until, ready).await;
    }
}

impl Rung {
    /// Tells whoever sleeps, or will.
    fn ring(&self) {
        self.rang.set(true);
        if let Some(sleeper) = self.sleeper.take() {
            sleeper.wake();
        }
    }

    async fn wait(&self, until: Option<Instant>, mut ready: impl FnMut(&Context<'_>) -> bool) {
        let mut timer = until.map(|until| {
            glommio::timer::Timer::new(until.saturating_duration_since(Instant::now()))
        });
        std::future::poll_fn(|cx| {
            if ready(cx) || self.rang.take() {
                return Poll::Ready(());
            }
            self.sleeper.replace(Some(cx.waker().clone()));
            match &mut timer {
                Some(timer) => Pin::new(timer).poll(cx).map(|_| ()),
                None => Poll::Pending,
            }
        })
        .await;
        self.sleeper.take();
    }
}

impl Ear {
    /// What the reading task has to say; starts it if need be.
    fn open(&mut self) -> Rc<Rung> {
        if let Self::Open(rung) = self {
            return Rc::clone(rung);
        }
        let rung = Rc::new(Rung::default());
        if let Self::Deaf(eventfd) = std::mem::replace(self, Self::Open(Rc::clone(&rung))) {
            listen(eventfd, Rc::clone(&rung));
        }
        rung
    }
}

/// Start the task that reads `eventfd` again and again.
fn listen(eventfd: OwnedFd, told: Rc<Rung>) {
    let file: BufferedFile = descriptors::from_owned_fd(eventfd);
    let reading = async move {
        loop {
            if let Err(error) = file.read_at(0, 8).await {
                tracing::error!(%error, "the wake-up descriptor could not be read");
                sleep(Duration::from_millis(10)).await;
            }
            told.ring();
        }
    };
    // Not one of the tasks that make company: it only listens while somebody sleeps.
    glommio::spawn_local(Polled::new(reading, false)).detach();
}

/// Sleeping through glommio until a descriptor is readable that others wait at too, and that is
/// no eventfd of our own: a bundle of several.
pub struct Lookout {
    fd: OwnedFd,
    rung: Rc<Rung>,
    /// Whether a task waits at the descriptor.
    posted: Rc<Cell<bool>>,
}

impl Lookout {
    /// Looks out for `fd`.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new(fd: impl AsFd) -> io::Result<Self> {
        let fd = descriptors::duplicate(fd)?;
        Ok(Self { fd, rung: Rc::default(), posted: Rc::default() })
    }

    /// Sleep until the descriptor is readable, `until`, or `ready` says that there is work;
    /// `ready` is asked on every wake and keeps the waker. While the process is out of descriptors
    /// the sleep is a nap.
    pub async fn wait(&mut self, until: Instant, ready: impl FnMut(&Context<'_>) -> bool) {
        let mut until = until;
        if !self.posted.get()
            && let Err(error) = self.post()
        {
            tracing::debug!(%error, "no descriptor to sleep at");
            until = until.min(Instant::now() + NAP);
        }
        self.rung.wait(Some(until), ready).await;
    }

    /// Posts a task for the next time that the descriptor is readable. It may outlast a sleep:
    /// for each poll of such an operation glommio would keep another waker.
    fn post(&self) -> io::Result<()> {
        let fd = descriptors::duplicate(&self.fd)?;
        let (rung, posted) = (Rc::clone(&self.rung), Rc::clone(&self.posted));
        posted.set(true);
        let listening = async move {
            if let Err(error) = readable(&fd).await {
                tracing::debug!(%error, "a descriptor could not be waited for");
                sleep(NAP).await;
            }
            posted.set(false);
            rung.ring();
        };
        // It only listens while somebody sleeps, and is no company.
        glommio::spawn_local(Polled::new(listening, false)).detach();
        Ok(())
    }
}
