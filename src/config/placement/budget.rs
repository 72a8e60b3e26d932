//! How many processes there may be, and whether they are pinned at all.

use super::{Note, Pin, QuotaRule, Wishes};
use crate::config::cpus::{CpuWish, Reserve};
use crate::config::machine::{Machine, Quota};

/// What the limits say about number and freedom.
pub(super) struct Budget {
    /// CPUs' worth of processes, at least 1.
    pub(super) size: usize,
    /// Why nobody is pinned.
    pub(super) floating: Option<String>,
    /// True when the limit of CPU time is below the CPUs and these are shared with others: time
    /// spent anywhere is then missing in the shards.
    pub(super) is_shared_quota: bool,
    pub(super) notes: Vec<Note>,
}

impl Budget {
    /// `usable`: how many CPUs may be used.
    pub(super) fn new(machine: &Machine, wishes: &Wishes, usable: usize) -> Self {
        let quota = machine.quota.as_ref().filter(|_| wishes.quota == QuotaRule::Respect);
        let binding = quota.filter(|quota| quota.thousandths < 1000 * usable as u64);
        let exclusive = machine.cpuset.as_ref().is_some_and(|cpuset| cpuset.exclusive);
        let shared = binding.filter(|_| !exclusive);
        let whole = binding.and_then(|quota| usize::try_from(quota.thousandths / 1000).ok());
        let mut notes = Vec::new();
        Self {
            size: whole.unwrap_or(usable).max(1),
            floating: floating(wishes, shared, usable, &mut notes),
            is_shared_quota: shared.is_some(),
            notes,
        }
    }
}

fn floating(
    wishes: &Wishes,
    shared: Option<&Quota>,
    usable: usize,
    notes: &mut Vec<Note>,
) -> Option<String> {
    if usable == 0 {
        return Some("it is not known which CPUs may be used".into());
    }
    if wishes.pin == Pin::Never {
        return Some("pin = false".into());
    }
    let quota = shared?;
    let why = format!(
        "{} of {usable} CPUs' time is allowed ({}), on CPUs that others use too",
        Thousandths(quota.thousandths),
        quota.path,
    );
    if wishes.pin == Pin::Auto && !names_cpus(wishes) {
        return Some(why);
    }
    notes.push(Note {
        message: format!("pinned although only {why}"),
        fix: "leave cores.pin at \"auto\" and name no CPUs to let processes float".into(),
    });
    None
}

/// True when somebody says on which CPUs processes are to run.
fn names_cpus(wishes: &Wishes) -> bool {
    matches!(wishes.shards, CpuWish::List(_))
        || matches!(wishes.reserve, Reserve::List(_))
        || wishes.pools.iter().any(|pool| pool.cores.is_some())
}

/// Thousandths as people write them: `2.5`.
pub(in crate::config) struct Thousandths(pub(in crate::config) u64);

impl std::fmt::Display for Thousandths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fraction = format!("{:03}", self.0 % 1000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / 1000),
            digits => write!(f, "{}.{digits}", self.0 / 1000),
        }
    }
}
