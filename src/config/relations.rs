//! Settings that contradict each other. Two that were both written and cannot both hold are a
//! fault; where one of them is a default it is a warning, because nobody asked for it.

use std::time::Duration;

use super::fault::{
    CONCURRENCY_ABOVE_SLOTS, Fault, Faults, MAX_BELOW_WORKERS, NO_CODE, NOT_FOR_THIS_KIND, Notice,
    ONCE_WITHOUT_CALL, REQUEST_ABOVE_GRACE, THREADS_FOR_ASGI, WAIT_ABOVE_REQUEST,
};
use super::options::Id;
use super::placement::Placement;
use super::pool::PoolKind;
use super::quantity::Span;
use super::settings::{PoolSettings, Setting, Settings};

/// Checks all settings against each other.
pub(super) fn check(settings: &Settings, faults: &mut Faults, notices: &mut Vec<Notice>) {
    let mut found = Found { faults, notices };
    found.keep_alive(settings);
    for pool in settings.pools() {
        found.request_and_grace(settings, pool);
        found.wait_and_request(pool);
        found.workers(pool);
        found.concurrency(pool);
        found.threads(pool);
        found.native(pool);
        found.once(pool);
    }
}

/// What is said about shards that are to spin on a CPU that is not their own: they sleep.
pub(super) fn idle_and_placement(settings: &Settings, placement: &Placement) -> Option<Notice> {
    let setting = settings.get(Id::CoresIdle);
    let all_may = placement.shards.iter().all(|shard| shard.dedicated);
    if settings.values().choice(Id::CoresIdle) != "spin" || all_may {
        return None;
    }
    let message = "shards that do not have a CPU of their own sleep all the same";
    let fault = Fault::new("", Id::CoresIdle.def().key(), setting.origin.clone(), message)
        .with_note("who spins on a CPU that others use takes it from them")
        .with_help("pin them to CPUs of their own, or write \"adaptive\"");
    Some(Notice::warning(fault))
}

struct Found<'a> {
    faults: &'a mut Faults,
    notices: &'a mut Vec<Notice>,
}

/// A setting with its key.
struct Named<'a> {
    key: String,
    setting: &'a Setting,
}

impl Found<'_> {
    fn keep_alive(&mut self, settings: &Settings) {
        let setting = settings.get(Id::LimitsKeepAlive);
        let time = settings.values().time(Id::LimitsKeepAlive);
        if !setting.origin.is_written() || time >= BALANCER_IDLE {
            return;
        }
        let message = format!(
            "{} is below the {} that load balancers keep a connection for",
            Span(time),
            Span(BALANCER_IDLE)
        );
        let fault =
            Fault::new("", Id::LimitsKeepAlive.def().key(), setting.origin.clone(), message)
                .with_note("who sends a request just when the other side closes has lost it")
                .with_help("write \"75s\", unless clients connect without one");
        self.notices.push(Notice::warning(fault));
    }

    fn request_and_grace(&mut self, settings: &Settings, pool: &PoolSettings) {
        let request = pool.values().time(Id::PoolRequestTimeout);
        let grace = settings.values().time(Id::ShutdownGrace);
        if request > grace {
            let message = format!(
                "a request may take {}, but a stop waits {} for it",
                Span(request),
                Span(grace)
            );
            let (here, other) =
                (of(pool, Id::PoolRequestTimeout), server(settings, Id::ShutdownGrace));
            let fault = clash(REQUEST_ABOVE_GRACE, &here, message)
                .with_second_of(&other, "what still runs is cancelled after this")
                .with_help(format!("write shutdown.grace = \"{}\" or more", Span(request)));
            self.add(fault, &[here.setting, other.setting]);
        }
    }

    fn wait_and_request(&mut self, pool: &PoolSettings) {
        let request = pool.values().time(Id::PoolRequestTimeout);
        let Some(wait) = pool.values().time_or_auto(Id::PoolQueueWait) else { return };
        if wait >= request {
            let message = format!(
                "a job may wait {}, but its request is answered with 504 after {}",
                Span(wait),
                Span(request)
            );
            let (here, other) = (of(pool, Id::PoolQueueWait), of(pool, Id::PoolRequestTimeout));
            let fault = clash(WAIT_ABOVE_REQUEST, &here, message)
                .with_second_of(&other, "counts from the admission, waiting included")
                .with_help("let it wait for less than the request may take");
            self.add(fault, &[here.setting, other.setting]);
        }
    }

    fn workers(&mut self, pool: &PoolSettings) {
        let most: usize = pool.values().number(Id::PoolMaxWorkers);
        let Some(workers) = pool.values().number_or_auto::<usize>(Id::PoolWorkers) else { return };
        if most != 0 && most < workers {
            let (here, other) = (of(pool, Id::PoolMaxWorkers), of(pool, Id::PoolWorkers));
            let message = format!("at most {most} workers, but {workers} to begin with");
            let fault = clash(MAX_BELOW_WORKERS, &here, message)
                .with_second_of(&other, "more than the most")
                .with_help(format!("write 0 for no more than `workers`, or more than {workers}"));
            self.add(fault, &[here.setting, other.setting]);
        }
    }

    fn concurrency(&mut self, pool: &PoolSettings) {
        let slots: usize = pool.values().number(Id::PoolSlots);
        let Some(jobs) = pool.values().number_or_auto::<usize>(Id::PoolConcurrency) else { return };
        if jobs > slots {
            let (here, other) = (of(pool, Id::PoolConcurrency), of(pool, Id::PoolSlots));
            let message = format!("a worker runs {jobs} jobs, but a shard has {slots} slots");
            let fault = clash(CONCURRENCY_ABOVE_SLOTS, &here, message)
                .with_second_of(&other, "each job that runs holds one of these")
                .with_help(format!("write slots = {jobs} or more, or fewer jobs"));
            self.add(fault, &[here.setting, other.setting]);
        }
    }

    fn threads(&mut self, pool: &PoolSettings) {
        let threads: u64 = pool.values().number(Id::PoolThreads);
        if threads > 1 && pool.values().choice(Id::PoolInterface) == "asgi" {
            let (here, other) = (of(pool, Id::PoolThreads), of(pool, Id::PoolInterface));
            let message = format!("{threads} threads for an ASGI application, which runs on one");
            let fault = clash(THREADS_FOR_ASGI, &here, message)
                .with_second_of(&other, "one event loop does everything")
                .with_help("write threads = 1, and more workers if it is to use more cores");
            self.add(fault, &[here.setting, other.setting]);
        }
    }

    fn native(&mut self, pool: &PoolSettings) {
        if pool.built_in && pool.kind() != PoolKind::Native {
            let kind = of(pool, Id::PoolKind);
            let message = "this pool is built into the program".to_owned();
            let help = "remove it, or give the pool another name";
            self.faults.0.push(clash(NO_CODE, &kind, message).with_help(help));
        }
        if pool.values().choice(Id::PoolKind) != "native" {
            return;
        }
        let kind = of(pool, Id::PoolKind);
        for id in FOR_PYTHON {
            let here = of(pool, id);
            if here.setting.origin.is_written() {
                let fault =
                    clash(NOT_FOR_THIS_KIND, &here, "this is for pools of Python".to_owned())
                        .with_second_of(&kind, "this pool runs built-in handlers")
                        .with_help("remove it, or write kind = \"python\"");
                self.add(fault, &[here.setting, kind.setting]);
            }
        }
    }

    fn once(&mut self, pool: &PoolSettings) {
        if !pool.values().text(Id::PoolOnceCall).is_empty() {
            return;
        }
        for id in DETAILS_OF_ONCE {
            let here = of(pool, id);
            if here.setting.origin.is_written() {
                let message = "without a call this has no effect".to_owned();
                let help = "write what to call, as in once.call = \"main:migrate\"";
                self.faults.0.push(clash(ONCE_WITHOUT_CALL, &here, message).with_help(help));
            }
        }
    }

    fn add(&mut self, fault: Fault, settings: &[&Setting]) {
        if settings.iter().all(|setting| setting.origin.is_written()) {
            self.faults.0.push(fault);
        } else {
            self.notices.push(Notice::warning(fault));
        }
    }
}

fn server(settings: &Settings, id: Id) -> Named<'_> {
    Named { key: id.def().key(), setting: settings.get(id) }
}

fn of(pool: &PoolSettings, id: Id) -> Named<'_> {
    Named { key: id.def().key_in(&pool.name), setting: pool.get(id) }
}

fn clash(code: &'static str, here: &Named<'_>, message: String) -> Fault {
    Fault::new(code, here.key.as_str(), here.setting.origin.clone(), message)
}

impl Fault {
    /// The other setting, with the key where there is no line to show.
    fn with_second_of(self, other: &Named<'_>, label: &str) -> Self {
        let value = &other.setting.value;
        match other.setting.origin.place() {
            Some(_) => self.with_second(other.setting.origin.clone(), label),
            None => self
                .with_note(format!("{} is {value} ({}): {label}", other.key, other.setting.origin)),
        }
    }
}

/// What balancers of the great platforms keep an idle connection for.
const BALANCER_IDLE: Duration = Duration::from_secs(60);

const FOR_PYTHON: [Id; 5] =
    [Id::PoolInterface, Id::PoolApp, Id::PoolProject, Id::PoolPython, Id::PoolOnceCall];

const DETAILS_OF_ONCE: [Id; 4] =
    [Id::PoolOnceOnFailure, Id::PoolOnceRetries, Id::PoolOnceTimeout, Id::PoolOnceOnReload];
