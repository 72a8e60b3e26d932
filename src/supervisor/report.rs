//! What people are told of the life of processes, one line each.

use std::io;
use std::time::Duration;

use super::Supervisor;
use super::process::Child;
use super::restart::RestartLimits;
use super::state::{ChildId, REBUILD_PAUSE, Report, Role};
use crate::sys::clock::monotonic_ns;
use crate::sys::memory;
use crate::sys::process::{Ended, Pid};
use crate::sys::signal::Signal;
use crate::telemetry::log::Form;

impl Supervisor<'_> {
    pub(super) fn report(&self, report: &Report) {
        let generation = self.nursery.generation;
        // The process may be reaped already; its number then is not known any more.
        let living = self.children.iter().filter_map(|child| Some((child.id, child.pid()?)));
        let known: Vec<(ChildId, Pid)> = living.chain(self.reaped.iter().copied()).collect();
        let pid =
            |id: &ChildId| known.iter().find(|(known, _)| known == id).map(|(_, pid)| pid.get());
        macro_rules! line {
            ($level:ident, $id:expr, $rest:literal $(, $($field:tt)+)?) => {
                match $id.role {
                    Role::Shard(shard) => tracing::$level!(
                        pid = pid($id),
                        shard,
                        generation,
                        incarnation = $id.incarnation,
                        $($($field)+,)?
                        concat!("shard ", $rest)
                    ),
                    Role::Template { .. } => tracing::$level!(
                        pid = pid($id),
                        template = self.nursery.name($id.role),
                        generation,
                        incarnation = $id.incarnation,
                        $($($field)+,)?
                        concat!("template ", $rest)
                    ),
                    Role::Worker { .. } => tracing::$level!(
                        pid = pid($id),
                        worker = self.nursery.name($id.role),
                        generation,
                        incarnation = $id.incarnation,
                        $($($field)+,)?
                        concat!("worker ", $rest)
                    ),
                }
            };
        }
        match report {
            Report::BootTimeout(id) => line!(error, id, "was not ready in time"),
            Report::Died { child, ended, restart_in: Some(pause) } => {
                let restart_in_ms = millis(*pause);
                line!(warn, child, "died, its place is filled again", %ended, restart_in_ms);
            }
            Report::Died { child, ended, restart_in: None } => {
                line!(error, child, "died", %ended);
            }
            Report::Failed { child, text } => {
                line!(error, child, "cannot go on", reason = text);
            }
            Report::CutOff { shards, workers } => {
                tracing::warn!(
                    shards,
                    workers,
                    "the time to finish is over: processes are ended at work"
                );
            }
            Report::ForceEnded(id) => line!(warn, id, "did not leave in time and is ended"),
            Report::GivingUp(id) => {
                let tries = self.tries(id.role);
                line!(error, id, "never became ready: giving up", tries);
            }
            Report::Gone { child, ended: Ended::Code(0) } => line!(info, child, "left"),
            Report::Gone { child, ended } => line!(warn, child, "left badly", %ended),
            Report::MemoryBroken { pool } => {
                let pool = &self.nursery.config.pools[usize::from(*pool)].name;
                tracing::error!(pool, "the memory of a pool is broken and is made anew");
            }
            Report::NotSupported(signal) => tracing::warn!(%signal, "signal not supported yet"),
            Report::Overdue { child, job } => {
                let (route, ran_ms) = (&job.route, millis(job.ran));
                line!(error, child, "does not come back from a job and is ended", route, ran_ms);
            }
            // The start screen says it for all of them.
            Report::Ready(id) if !self.announced && self.logger.form() == Form::Pretty => {
                line!(debug, id, "ready");
            }
            Report::Ready(id) => line!(info, id, "ready"),
            Report::Retiring(id) => line!(info, id, "was told to leave, a successor starts"),
            Report::Stalled(id) => line!(error, id, "stalled: a turn takes too long"),
            Report::Stopping { signal, grace } => {
                let grace_ms = millis(*grace);
                tracing::info!(%signal, grace_ms, "stopping");
            }
            Report::Suspended(gap) => {
                let gap_ms = millis(*gap);
                tracing::warn!(gap_ms, "supervisor stood still");
            }
            Report::WorkerBroken(id) => {
                line!(error, id, "has written what cannot be and is ended");
            }
            Report::TemplateStuck(id) => line!(error, id, "does not fork workers and is ended"),
        }
    }

    /// What a worker had in hand when it died, before anybody else takes it over; and what is
    /// known of the death besides.
    pub(super) fn report_end(&mut self, child: &Child, pid: Pid, ended: Ended) {
        let Role::Worker { .. } = child.id.role else { return };
        let worker = self.nursery.name(child.id.role);
        let pid = pid.get();
        let before = self.ended_for_lack;
        self.ended_for_lack = memory::ended_for_lack();
        let is_killed = ended.is_by(Signal::Kill) && !child.is_killed;
        if is_killed && before < self.ended_for_lack {
            tracing::error!(pid, worker, "the kernel ended a process for lack of memory");
        }
        let jobs = self.pools.jobs(child.id, monotonic_ns(), self.nursery.roles.routes);
        for job in jobs.iter().take(JOBS_SHOWN) {
            let (route, ran_ms) = (&job.route, millis(job.ran));
            tracing::error!(pid, worker, route, ran_ms, %ended, "a job died with its worker");
        }
        if let Some(more) = jobs.len().checked_sub(JOBS_SHOWN).filter(|&more| more > 0) {
            tracing::error!(pid, worker, more, %ended, "more jobs died with their worker");
        }
    }

    /// The memory of a pool could not be made anew. Until it is, its workers go on in the old one.
    pub(super) fn report_not_rebuilt(&self, pool: u16, error: &io::Error) {
        let pool = &self.nursery.config.pools[usize::from(pool)].name;
        let retry_in_ms = millis(REBUILD_PAUSE);
        tracing::error!(pool, %error, retry_in_ms, "new memory cannot be made");
    }

    /// A process could not even be made.
    pub(super) fn report_not_started(&self, role: Role, error: &io::Error) {
        let name = self.nursery.name(role);
        match role {
            Role::Shard(shard) => tracing::error!(shard, %error, "shard cannot be started"),
            Role::Template { .. } => {
                tracing::error!(template = name, %error, "template cannot be started");
            }
            Role::Worker { .. } => {
                tracing::error!(worker = name, %error, "worker cannot be ordered");
            }
        }
    }

    /// Deaths before ready that were too many.
    fn tries(&self, role: Role) -> usize {
        let pool = role.pool().map(|pool| &self.nursery.config.pools[usize::from(pool)]);
        pool.map_or(RestartLimits::OF_SHARDS.tries, |pool| pool.restart.tries)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A worker that runs many jobs at a time has a line for each of the first ones.
const JOBS_SHOWN: usize = 8;
