//! What a worker does between two jobs: give way to tasks, look up, sleep.
//!
//! While no task is alive on its executor the worker sleeps in the kernel, at the bundle of its
//! descriptors: that is one system call, and waking up from it costs what waking up costs. While
//! tasks are alive it sleeps through the executor, so that their timers and files are served.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::ready::Ready;
use crate::executor::{self, Lookout};
use crate::sys::poll::{Bundle, Rang};

/// The descriptors, and what was last done when. All times are nanoseconds of the monotonic clock.
pub(super) struct Rest {
    bundle: Bundle,
    /// The same, for sleeping through the executor.
    lookout: Lookout,
    /// When the descriptors were last looked at.
    looked: u64,
    /// When the executor last looked at its rings while others were alive.
    polled: u64,
    /// When the executor was last searched for tasks that we do not know of.
    searched: u64,
    /// Whether a handler may have run since.
    unsearched: bool,
    /// Whether somebody who gives orders has rung.
    orders: bool,
}

impl Rest {
    /// At two doorbells, which only wake, and at those who give orders.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(super) fn new(
        doorbells: [BorrowedFd<'_>; 2],
        orders: [BorrowedFd<'_>; 4],
    ) -> io::Result<Self> {
        let bundle = Bundle::of(&[&doorbells[..], &orders[..]].concat())?;
        Ok(Self {
            lookout: Lookout::new(bundle.as_fd())?,
            bundle,
            looked: 0,
            polled: 0,
            searched: 0,
            unsearched: true,
            orders: true,
        })
    }

    /// Whether orders may have come since the last call.
    pub(super) fn take_orders(&mut self) -> bool {
        std::mem::take(&mut self.orders)
    }

    /// A job was begun or went on: now it is the others' turn.
    pub(super) async fn breathe(&mut self, now: u64) -> io::Result<()> {
        self.unsearched = true;
        self.pause(now).await
    }

    /// There is nothing to do, but there may be at once.
    pub(super) async fn pause(&mut self, now: u64) -> io::Result<()> {
        if executor::has_company() {
            executor::census().await;
            if now.saturating_sub(self.polled) >= POLL_NS {
                self.polled = now;
                executor::poll_io().await;
            }
        } else {
            std::hint::spin_loop();
        }
        if now.saturating_sub(self.looked) >= LOOK_NS { self.look(now, 0) } else { Ok(()) }
    }

    /// Sleeps until somebody rings, a job is ready, or `until`.
    pub(super) async fn sleep(&mut self, now: u64, until: u64, ready: &Ready) -> io::Result<()> {
        if executor::has_company() {
            return self.sleep_in_company(now, until, ready).await;
        }
        if self.unsearched && now.saturating_sub(self.searched) >= CENSUS_NS {
            self.unsearched = false;
            self.searched = now;
            executor::census().await;
            if executor::has_company() {
                return Ok(());
            }
        }
        if !ready.is_empty() {
            return Ok(());
        }
        // Not for long while handlers may have spawned tasks that nobody knows of yet.
        let search = if self.unsearched { self.searched + CENSUS_NS } else { u64::MAX };
        self.look(now, until.min(search).saturating_sub(now))
    }

    async fn sleep_in_company(&mut self, now: u64, until: u64, ready: &Ready) -> io::Result<()> {
        self.polled = now;
        executor::census().await;
        let until = Instant::now() + Duration::from_nanos(until.saturating_sub(now));
        self.lookout.wait(until, |cx| ready.is_ready(cx)).await;
        self.look(now, 0)
    }

    fn look(&mut self, now: u64, wait_ns: u64) -> io::Result<()> {
        self.looked = now;
        let rang: Rang = self.bundle.wait(Duration::from_nanos(wait_ns))?;
        self.orders |= rang.any_from(FIRST_ORDER);
        Ok(())
    }
}

/// The first of the descriptors at which orders come.
const FIRST_ORDER: usize = 2;
/// While there is always something to do, orders are looked for this often.
const LOOK_NS: u64 = 10_000_000;
/// While tasks are alive, timers and files are served this often.
const POLL_NS: u64 = 200_000;
/// Tasks that nobody knows of are searched for this often.
const CENSUS_NS: u64 = 1_000_000;
