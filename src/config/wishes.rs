//! From what was written to what is wished of a placement, and from wishes that clash back to the
//! places where they were written.

use super::cpus::CpuWish;
use super::fault::Fault;
use super::options::Id;
use super::origin::Origin;
use super::placement::{
    Clash, Pin, Policy, PoolWish, Priority, QuotaRule, Share, Smt, Wish, Wishes, Workers,
};
use super::settings::{PoolSettings, Setting, Settings};

/// What the settings wish.
pub(super) fn wishes(settings: &Settings) -> Wishes {
    let values = settings.values();
    Wishes {
        use_cpus: values.cpu_select(Id::CoresUse).clone(),
        shards: values.cpus(Id::CoresShards).clone(),
        reserve: values.reserve(Id::CoresReserve).clone(),
        smt: match values.choice(Id::CoresSmt) {
            "one" => Smt::One,
            "both" => Smt::Both,
            _ => Smt::Auto,
        },
        policy: match values.choice(Id::CoresPolicy) {
            "latency" => Policy::Latency,
            _ => Policy::Balanced,
        },
        pin: match values.maybe(Id::CoresPin) {
            None => Pin::Auto,
            Some(true) => Pin::Always,
            Some(false) => Pin::Never,
        },
        quota: match values.choice(Id::CoresQuota) {
            "ignore" => QuotaRule::Ignore,
            _ => QuotaRule::Respect,
        },
        pools: settings.pools().iter().map(pool_wish).collect(),
    }
}

/// The fault of a wish that cannot be met.
pub(super) fn fault(settings: &Settings, clash: Clash) -> Fault {
    let (key, setting) = written(settings, clash.wish);
    let mut fault = Fault::new(clash.code, key, origin(setting, clash.cpu), clash.message)
        .with_label(clash.label)
        .with_help(clash.fix);
    if let Some((wish, label)) = clash.other {
        // Of the two, the one claimed first is shown whole, as a range for instance.
        fault = fault.with_second(written(settings, wish).1.origin.clone(), label);
    }
    if clash.note.is_empty() { fault } else { fault.with_note(clash.note) }
}

fn pool_wish(pool: &PoolSettings) -> PoolWish {
    let values = pool.values();
    PoolWish {
        name: pool.name.clone(),
        workers: values.number_or_auto(Id::PoolWorkers).map_or(Workers::Auto, Workers::Count),
        max_workers: values.number(Id::PoolMaxWorkers),
        cores: match values.cpus(Id::PoolCores) {
            CpuWish::List(cpus) => Some(cpus.clone()),
            CpuWish::Auto | CpuWish::Count(_) => None,
        },
        share: match values.maybe(Id::PoolShare) {
            None => Share::Auto,
            Some(true) => Share::On,
            Some(false) => Share::Off,
        },
        priority: match values.choice(Id::PoolPriority) {
            "normal" => Priority::Normal,
            "background" => Priority::Background,
            _ => Priority::Auto,
        },
    }
}

/// The setting that made a wish, with its key.
fn written(settings: &Settings, wish: Wish) -> (String, &Setting) {
    let id = match wish {
        Wish::Pin => Id::CoresPin,
        Wish::Reserve => Id::CoresReserve,
        Wish::Shards => Id::CoresShards,
        Wish::Use => Id::CoresUse,
        Wish::PoolCores(place) => {
            let pool = &settings.pools()[place];
            return (Id::PoolCores.def().key_in(&pool.name), pool.get(Id::PoolCores));
        }
    };
    (id.def().key(), settings.get(id))
}

fn origin(setting: &Setting, cpu: Option<usize>) -> Origin {
    cpu.map_or_else(|| setting.origin.clone(), |cpu| setting.origin.at_cpu(cpu))
}
