//! The CPUs that may be used, and whether those that were named explicitly are among them, once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Clash, Pin, Share, Wish, Wishes};
use crate::config::cpus::{CpuWish, Group, Reserve, cpu_list};
use crate::config::fault::{
    CPU_TWICE, CPU_UNUSABLE, NO_SUCH_GROUP, PIN_CONTRADICTS, USE_LEAVES_NOTHING,
};
use crate::config::machine::{Cpu, Machine, Unusable};

/// CPUs that are online, allowed and not cut by `cores.use`, ascending.
pub(super) fn usable(machine: &Machine, wishes: &Wishes, clashes: &mut Vec<Clash>) -> Vec<usize> {
    let allowed = machine.usable();
    let terms = wishes.use_cpus.terms();
    if terms.is_empty() {
        return allowed;
    }
    let everything = terms.iter().all(|term| term.excluded);
    let mut chosen: Vec<usize> = if everything { allowed.clone() } else { Vec::new() };
    let (excluded, included): (Vec<_>, Vec<_>) = terms.iter().partition(|term| term.excluded);
    for term in included {
        let numbers = term.numbers.clone();
        if term.group == Group::Cpu {
            let named: Vec<usize> = numbers.collect();
            let unusable = |&cpu: &usize| machine.why_unusable(cpu).map(Reason::Machine);
            check_usable(Wish::Use, &named, &allowed, unusable, clashes);
            chosen.extend(named);
        } else {
            check_group(machine, term.group, &numbers, clashes);
            chosen.extend(members(machine, term.group, &numbers));
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen.retain(|cpu| allowed.contains(cpu));
    for term in excluded {
        let cut: Vec<usize> = members(machine, term.group, &term.numbers).collect();
        chosen.retain(|cpu| !cut.contains(cpu));
    }
    if chosen.is_empty() && clashes.is_empty() && !allowed.is_empty() {
        let message = format!("cores.use = \"{}\" leaves no CPU", wishes.use_cpus);
        let fix = format!("CPUs that can be used: {}", cpu_list(&allowed));
        clashes.push(Clash::new(USE_LEAVES_NOTHING, Wish::Use, message, fix));
    }
    chosen
}

/// Checks the CPUs that are named explicitly: each usable, none twice.
pub(super) fn check(
    machine: &Machine,
    wishes: &Wishes,
    usable: &[usize],
    clashes: &mut Vec<Clash>,
) {
    let claims = claims(wishes);
    let reason = |cpu: &usize| match machine.why_unusable(*cpu) {
        Some(why) => Some(Reason::Machine(why)),
        None => (!usable.contains(cpu)).then_some(Reason::Cut),
    };
    for claim in &claims {
        check_usable(claim.wish, claim.cpus, usable, reason, clashes);
        if wishes.pin == Pin::Never && claim.wish != Wish::Reserve {
            clashes.push(claim.against_pin());
        }
    }
    for (index, claim) in claims.iter().enumerate() {
        for first in claims[..index].iter().filter(|first| !may_share(first, claim)) {
            let twice: Vec<usize> =
                claim.cpus.iter().copied().filter(|cpu| first.cpus.contains(cpu)).collect();
            if !twice.is_empty() {
                clashes.push(claim.twice(first, &twice));
            }
        }
    }
}

/// Somebody who names CPUs.
struct Claim<'a> {
    wish: Wish,
    /// "shards", "pool `ml`".
    who: String,
    cpus: &'a [usize],
    share: Share,
}

fn claims(wishes: &Wishes) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    if let CpuWish::List(cpus) = &wishes.shards {
        claims.push(Claim { wish: Wish::Shards, who: "shards".into(), cpus, share: Share::Off });
    }
    for (index, pool) in wishes.pools.iter().enumerate() {
        if let Some(cpus) = &pool.cores {
            let who = format!("pool `{}`", pool.name);
            claims.push(Claim { wish: Wish::PoolCores(index), who, cpus, share: pool.share });
        }
    }
    if let Reserve::List(cpus) = &wishes.reserve {
        let who = "the reserve".into();
        claims.push(Claim { wish: Wish::Reserve, who, cpus, share: Share::Off });
    }
    claims
}

/// A pool with `share = true` goes wherever somebody is already; nobody goes to the reserve.
fn may_share(first: &Claim<'_>, second: &Claim<'_>) -> bool {
    let reserved = [first.wish, second.wish].contains(&Wish::Reserve);
    !reserved && (first.share == Share::On || second.share == Share::On)
}

impl Claim<'_> {
    fn twice(&self, first: &Claim<'_>, cpus: &[usize]) -> Clash {
        let verb = if cpus.len() == 1 { "is" } else { "are" };
        let (note, fix) = match (first.wish, self.wish) {
            (_, Wish::Reserve) => ("", "reserve other CPUs, or name others there"),
            (Wish::Shards, _) => (
                "a busy worker there adds its whole time slice to the shard's latency",
                "set `share = true` in the pool if this is meant (small machines)",
            ),
            _ => ("", "give each pool CPUs of its own, or set `share = true` in one of them"),
        };
        let message = format!("{} {verb} given to {} and to {}", named(cpus), first.who, self.who);
        Clash {
            cpu: cpus.first().copied(),
            label: "claimed a second time here".into(),
            other: Some((first.wish, format!("first claimed by {}", first.who))),
            note: note.into(),
            ..Clash::new(CPU_TWICE, self.wish, message, fix.into())
        }
    }

    fn against_pin(&self) -> Clash {
        let message = format!("{} cannot be put on CPUs while nobody is pinned", self.who);
        let fix = "write a number instead of a list, cut the CPUs of all with cores.use, or leave \
                   cores.pin at \"auto\"";
        Clash {
            label: "CPUs are named here".into(),
            other: Some((Wish::Pin, "pinning is switched off here".into())),
            ..Clash::new(PIN_CONTRADICTS, self.wish, message, fix.into())
        }
    }
}

impl Clash {
    pub(super) fn new(code: &'static str, wish: Wish, message: String, fix: String) -> Self {
        let (label, note) = (String::new(), String::new());
        Self { code, wish, cpu: None, message, label, other: None, note, fix }
    }
}

/// Why a CPU that was named cannot be used.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Reason {
    /// `cores.use` cuts it.
    Cut,
    Machine(Unusable),
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::Cut => "left out by cores.use",
            Self::Machine(Unusable::Cpuset) => "outside of the cpuset of the control group",
            Self::Machine(Unusable::Mask) => "outside of the affinity mask of this process",
            Self::Machine(Unusable::Missing) => "not in this machine",
            Self::Machine(Unusable::Offline) => "offline",
        }
    }

    fn fix(self, usable: &[usize]) -> String {
        let usable = cpu_list(usable);
        match self {
            Self::Machine(Unusable::Offline) => format!(
                "switch it on (/sys/devices/system/cpu/cpuN/online), or choose from {usable}"
            ),
            _ => format!("CPUs that can be used: {usable}"),
        }
    }
}

/// One clash for each reason, however many CPUs it hits.
fn check_usable(
    wish: Wish,
    named_cpus: &[usize],
    usable: &[usize],
    reason: impl Fn(&usize) -> Option<Reason>,
    clashes: &mut Vec<Clash>,
) {
    let mut reasons: BTreeMap<Reason, Vec<usize>> = BTreeMap::new();
    for cpu in named_cpus {
        if let Some(reason) = reason(cpu) {
            reasons.entry(reason).or_default().push(*cpu);
        }
    }
    for (reason, cpus) in reasons {
        let why = reason.text();
        let message = format!("{} cannot be used: {why}", named(&cpus));
        let other = (reason == Reason::Cut).then(|| (Wish::Use, "cut here".to_owned()));
        clashes.push(Clash {
            cpu: cpus.first().copied(),
            label: why.into(),
            other,
            ..Clash::new(CPU_UNUSABLE, wish, message, reason.fix(usable))
        });
    }
}

fn check_group(
    machine: &Machine,
    group: Group,
    numbers: &RangeInclusive<usize>,
    clashes: &mut Vec<Clash>,
) {
    let mut known: Vec<usize> = machine.cpus.iter().map(|cpu| number_of(cpu, group)).collect();
    known.sort_unstable();
    known.dedup();
    let word = if group == Group::L3 { "L3 cache" } else { "node" };
    let missing: Vec<usize> = numbers.clone().filter(|number| !known.contains(number)).collect();
    if !missing.is_empty() {
        let message = format!("this machine has no {word} {}", cpu_list(&missing));
        let fix = format!("choose from {word} {}", cpu_list(&known));
        clashes.push(Clash::new(NO_SUCH_GROUP, Wish::Use, message, fix));
    }
}

/// The CPUs of caches, nodes, or themselves.
fn members(
    machine: &Machine,
    group: Group,
    numbers: &RangeInclusive<usize>,
) -> impl Iterator<Item = usize> {
    let inside = machine.cpus.iter().filter(move |cpu| numbers.contains(&number_of(cpu, group)));
    inside.map(|cpu| cpu.number)
}

fn number_of(cpu: &Cpu, group: Group) -> usize {
    match group {
        Group::Cpu => cpu.number,
        Group::L3 => cpu.l3,
        Group::Node => cpu.node,
    }
}

/// `CPU 3` or `CPUs 3-5`.
fn named(cpus: &[usize]) -> String {
    format!("CPU{} {}", if cpus.len() == 1 { "" } else { "s" }, cpu_list(cpus))
}
