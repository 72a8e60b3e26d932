//! A worker whose thread has nothing else to do than to wait for its shard: the wait alone, as
//! `Server` does it among everything else.

use crate::offload::layout::Doorbell;
use crate::offload::wake::{self, signal};
use crate::offload::word::WorkerIndex;
use crate::offload::world::{Ordering, World};

/// What a worker does next that can go no further without its shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    /// Block on the own doorbell, for at most the tick of 250 ms, then ask again.
    Block,
    /// What was waited for has come, or the job was taken back.
    Over,
    /// Ask again at once.
    Spin,
}

/// One wait of a worker whose thread has nothing else to do.
///
/// A worker that runs several jobs at a time does not block for one of them. It looks for news of
/// each where it decides whether to sleep, behind its own fence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    worker: WorkerIndex,
    spins_left: u32,
    /// The worker has said that it sleeps.
    asleep: bool,
}

impl Waiting {
    /// Begins to wait; looks `spins` times before it sleeps.
    pub(super) const fn new(worker: WorkerIndex, spins: u32) -> Self {
        Self { worker, spins_left: spins, asleep: false }
    }

    /// What to do next. `is_over` reads what is waited for, and whether the job was taken back
    /// (`Link::has_news`, `Link::is_cancelled`): whoever changes one of them calls `wake_worker`
    /// afterwards. It is called until it is over: before, the worker looks asleep to others.
    pub(super) fn poll(&mut self, world: &impl World, is_over: impl Fn() -> bool) -> Pause {
        let sleep = world.layout().worker_sleep(self.worker);
        if std::mem::take(&mut self.asleep) {
            // Each sleep has a number of its own. A waker that has rung and not yet marked it would
            // otherwise mark the next one, for which nobody rings then.
            wake::awake(world, sleep);
        }
        if is_over() {
            return Pause::Over;
        }
        if self.spins_left > 0 {
            self.spins_left -= 1;
            return Pause::Spin;
        }
        wake::fall_asleep(world, sleep);
        // Excludes that we see no news while the shard sees us awake: it writes its window or the
        // cancel word, fences and looks at our word (`wake_worker`).
        world.fence(Ordering::SeqCst);
        if is_over() {
            wake::awake(world, sleep);
            return Pause::Over;
        }
        self.asleep = true;
        Pause::Block
    }
}

/// A shard wakes the worker of a job if it sleeps: something was sent, or taken, or the job is not
/// wanted any more.
pub(super) fn wake_worker(world: &impl World, worker: WorkerIndex) {
    // Excludes that we find the worker awake while it finds no news: it marks itself, fences and
    // looks (`Waiting::poll`); we have written the news, fence here and look at its mark.
    world.fence(Ordering::SeqCst);
    signal(world, world.layout().worker_sleep(worker), Doorbell::Worker(worker), Ordering::Relaxed);
}
