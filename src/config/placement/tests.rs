//! Placements on the machines of `tests/machines`, and on any machine.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::config::cpus::parse_list;
use crate::config::drawing;
use crate::config::machine::{Cpu, Cpuset, Quota};
use crate::config::tests::fixtures::{expect_golden, machine, machines, names};
use crate::sys::topology::CAPACITY_MAX;

fn pool(name: &str, workers: Workers) -> PoolWish {
    PoolWish { name: name.into(), workers, ..PoolWish::default() }
}

fn pools<const N: usize>(pools: [PoolWish; N]) -> Wishes {
    Wishes { pools: pools.into(), ..Wishes::default() }
}

fn list(text: &str) -> Vec<usize> {
    parse_list(text).unwrap()
}

/// The plans that are drawn for every machine.
fn plans() -> Vec<(&'static str, Wishes)> {
    let apart = PoolWish { share: Share::Off, ..pool("ml", Workers::Auto) };
    let both = pools([pool("ml", Workers::Count(4)), pool("pdf", Workers::Auto)]);
    vec![
        ("no pools", Wishes::default()),
        ("pool.ml", pools([pool("ml", Workers::Auto)])),
        ("pool.ml share = false", pools([apart])),
        ("pool.ml workers = 4, pool.pdf", both.clone()),
        ("the same, policy = latency", Wishes { policy: Policy::Latency, ..both.clone() }),
        ("the same, smt = both", Wishes { smt: Smt::Both, ..both }),
    ]
}

#[test]
fn drawings() {
    for name in names() {
        let machine = machine(&name);
        let mut text = format!("== cores\n{}", drawing::machine(&machine));
        for (title, wishes) in plans() {
            let placement = place(&machine, &wishes).unwrap();
            check_sane(&machine, &wishes, &placement);
            text += &format!("\n== {title}\n{}", drawing::placement(&machine, &placement));
        }
        assert!(text.is_ascii());
        for line in text.lines() {
            assert!(line.len() <= 80, "{name}: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        expect_golden(&machines().join(format!("{name}.drawing")), &text);
    }
}

/// What must hold whatever was wished for.
#[track_caller]
fn check_sane(machine: &Machine, wishes: &Wishes, placement: &Placement) {
    assert!(!placement.shards.is_empty());
    assert_eq!(placement.pools.len(), wishes.pools.len());
    let mut load: BTreeMap<usize, usize> = BTreeMap::new();
    let shards = placement.shards.iter().map(|shard| shard.cpu);
    let workers = placement.pools.iter().flat_map(|pool| &pool.workers);
    for cpu in shards.chain(workers.clone().map(|worker| worker.cpu)) {
        assert_eq!(cpu.is_none(), placement.floating.is_some());
        let Some(cpu) = cpu else { continue };
        assert!(placement.usable.contains(&cpu), "CPU {cpu} is not usable");
        assert!(!placement.reserved.contains(&cpu), "CPU {cpu} is reserved");
        assert_eq!(machine.why_unusable(cpu), None);
        *load.entry(cpu).or_default() += 1;
    }
    let mut seen: Vec<usize> = placement.shards.iter().filter_map(|shard| shard.cpu).collect();
    seen.sort_unstable();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "no CPU has two shards");
    for shard in &placement.shards {
        assert_eq!(shard.dedicated, shard.cpu.is_some_and(|cpu| load[&cpu] == 1));
    }
    for worker in workers.clone() {
        assert_eq!(worker.shared, worker.cpu.is_none_or(|cpu| load[&cpu] > 1));
        assert!(!(worker.spins && (worker.shared || worker.background)));
    }
    for (wish, pool) in wishes.pools.iter().zip(&placement.pools) {
        let lasting = pool.workers.iter().filter(|worker| !worker.on_demand).count();
        assert!(lasting >= 1, "{}", pool.name);
        if let Workers::Count(count) = wish.workers {
            assert_eq!(lasting, count);
        }
        assert_eq!(pool.workers.len(), lasting.max(wish.max_workers));
    }
    if placement.floating.is_none() {
        let sets = [&placement.reserved, &placement.idle_siblings, &placement.unused];
        let mut all: Vec<usize> = sets.into_iter().flatten().copied().collect();
        all.extend(load.keys());
        all.sort_unstable();
        assert_eq!(all, placement.usable, "every CPU is accounted for, once");
        let crowded = load.values().any(|&count| count > 1);
        let noted = placement.notes.iter().any(|note| note.message.contains("processes"));
        let limited = placement.notes.iter().any(|note| note.message.contains("allowed"));
        assert!(!crowded || noted || limited, "sharing is told");
    }
    let explicit = wishes.shards != CpuWish::Auto
        || wishes.pools.iter().any(|pool| pool.cores.is_some() || pool.workers != Workers::Auto);
    if !explicit {
        let own = workers.filter(|worker| !worker.on_demand && !on_shard(placement, worker));
        let most = placement.budget.max(1 + wishes.pools.len());
        assert!(placement.shards.len() + own.count() <= most, "more than the budget");
    }
}

fn on_shard(placement: &Placement, worker: &WorkerPlace) -> bool {
    worker.cpu.is_some() && placement.shards.iter().any(|shard| shard.cpu == worker.cpu)
}

/// CPUs `0..cores` with siblings behind them if there are two threads.
fn made_up(shape: &Shape) -> Machine {
    let cores = shape.nodes * shape.caches * shape.cores;
    let cpu = |number: usize| {
        let core = number % cores;
        let l3 = core / shape.cores;
        let slow = shape.slow.contains(&core);
        Cpu {
            number,
            core,
            l3,
            node: l3 / shape.caches,
            capacity: if slow { CAPACITY_MAX / 2 } else { CAPACITY_MAX },
        }
    };
    let all: Vec<usize> = (0..cores * shape.threads).collect();
    let online = |cpu: &&usize| !shape.offline.contains(cpu);
    let cpus: Vec<Cpu> = all.iter().filter(online).map(|&number| cpu(number)).collect();
    let cpuset = shape.cpuset.clone().map(|cpus| Cpuset {
        cpus,
        exclusive: shape.exclusive,
        path: "/cpuset".into(),
    });
    let offline = all.iter().copied().filter(|cpu| shape.offline.contains(cpu)).collect();
    let quota = shape.quota.map(|thousandths| Quota { thousandths, path: "/cpu.max".into() });
    Machine { cpus, offline, mask: shape.mask.clone(), cpuset, quota, ..Machine::default() }
}

#[derive(Clone, Debug)]
struct Shape {
    nodes: usize,
    caches: usize,
    cores: usize,
    threads: usize,
    slow: Vec<usize>,
    offline: Vec<usize>,
    mask: Vec<usize>,
    cpuset: Option<Vec<usize>>,
    exclusive: bool,
    quota: Option<u64>,
}

fn shape() -> impl Strategy<Value = Shape> {
    (1..3usize, 1..4usize, 1..6usize, 1..3usize).prop_flat_map(|(nodes, caches, cores, threads)| {
        let all: Vec<usize> = (0..nodes * caches * cores * threads).collect();
        let some = || subsequence(all.clone(), 0..=all.len());
        let most = prop_oneof![3 => Just(all.clone()), 1 => some()];
        let few = || prop_oneof![3 => Just(Vec::new()), 1 => some()];
        let limits = (any::<bool>(), proptest::option::weighted(0.3, 1..40_000u64));
        let cpuset = proptest::option::weighted(0.3, some());
        (few(), few(), most, cpuset, limits).prop_map(
            move |(slow, offline, mask, cpuset, (exclusive, quota))| Shape {
                nodes,
                caches,
                cores,
                threads,
                slow,
                offline,
                mask,
                cpuset,
                exclusive,
                quota,
            },
        )
    })
}

fn pool_wish() -> impl Strategy<Value = PoolWish> {
    let workers = prop_oneof![Just(Workers::Auto), (1..9usize).prop_map(Workers::Count)];
    let share = prop_oneof![Just(Share::Auto), Just(Share::Off), Just(Share::On)];
    let priority =
        prop_oneof![Just(Priority::Auto), Just(Priority::Background), Just(Priority::Normal)];
    (workers, share, priority, prop_oneof![Just(0), 1..20usize]).prop_map(
        |(workers, share, priority, max_workers)| PoolWish {
            name: "p".into(),
            workers,
            max_workers,
            cores: None,
            share,
            priority,
        },
    )
}

fn wishes() -> impl Strategy<Value = Wishes> {
    let smt = prop_oneof![Just(Smt::Auto), Just(Smt::One), Just(Smt::Both)];
    let policy = prop_oneof![Just(Policy::Balanced), Just(Policy::Latency)];
    let pin = prop_oneof![Just(Pin::Auto), Just(Pin::Always), Just(Pin::Never)];
    let quota = prop_oneof![Just(QuotaRule::Respect), Just(QuotaRule::Ignore)];
    let pools = proptest::collection::vec(pool_wish(), 0..4);
    (smt, policy, pin, quota, pools).prop_map(|(smt, policy, pin, quota, pools)| Wishes {
        smt,
        policy,
        pin,
        quota,
        pools,
        ..Wishes::default()
    })
}

/// A list of CPUs that may or may not be there.
fn some_list() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::btree_set(0..40usize, 1..8).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn automatic_placement_never_fails(shape in shape(), wishes in wishes()) {
        let machine = made_up(&shape);
        check_sane(&machine, &wishes, &place(&machine, &wishes).unwrap());
    }

    #[test]
    fn explicit_wishes_are_met_or_clash(
        shape in shape(),
        wishes in wishes(),
        shards in prop_oneof![
            (1..50usize).prop_map(CpuWish::Count),
            some_list().prop_map(CpuWish::List),
        ],
        reserve in prop_oneof![
            3 => Just(Reserve::Auto),
            1 => (0..3usize).prop_map(Reserve::PerNode),
            1 => some_list().prop_map(Reserve::List),
        ],
        cores in proptest::option::of(some_list()),
        select in prop_oneof![
            3 => Just("auto"),
            1 => Just("0-19"),
            1 => Just("l3:0"),
            1 => Just("!3"),
        ],
    ) {
        let machine = made_up(&shape);
        let mut wishes = Wishes { shards: shards.clone(), reserve, ..wishes };
        wishes.use_cpus = CpuSelect::parse(select).unwrap();
        if let Some(pool) = wishes.pools.first_mut() {
            pool.cores = cores;
        }
        match place(&machine, &wishes) {
            Ok(placement) => {
                check_sane(&machine, &wishes, &placement);
                match shards {
                    CpuWish::Count(count) => prop_assert_eq!(placement.shards.len(), count),
                    CpuWish::List(cpus) => {
                        let mut placed: Vec<usize> =
                            placement.shards.iter().filter_map(|shard| shard.cpu).collect();
                        placed.sort_unstable();
                        prop_assert_eq!(placed, cpus);
                    }
                    CpuWish::Auto => {}
                }
            }
            Err(clashes) => {
                prop_assert!(!clashes.is_empty());
                prop_assert!(clashes.iter().all(|clash| !clash.message.is_empty()));
            }
        }
    }
}

/// Shards and workers as `S0@1 ml0@2b`, in order; `b` is in the background, `d` on demand, and a
/// place without a number floats.
fn short(placement: &Placement) -> String {
    let at = |cpu: Option<usize>| cpu.map(|cpu| cpu.to_string()).unwrap_or_default();
    let shards = placement.shards.iter().enumerate();
    let mut words: Vec<String> =
        shards.map(|(index, shard)| format!("S{index}@{}", at(shard.cpu))).collect();
    for pool in &placement.pools {
        words.extend(pool.workers.iter().enumerate().map(|(index, worker)| {
            let background = if worker.background { "b" } else { "" };
            let on_demand = if worker.on_demand { "d" } else { "" };
            format!("{}{index}@{}{background}{on_demand}", pool.name, at(worker.cpu))
        }));
    }
    words.join(" ")
}

#[track_caller]
fn check_place(name: &str, wishes: &Wishes, expected: &str) -> Placement {
    let machine = machine(name);
    let placement = place(&machine, wishes).unwrap();
    check_sane(&machine, wishes, &placement);
    assert_eq!(short(&placement), expected);
    placement
}

fn ml(workers: Workers) -> PoolWish {
    pool("ml", workers)
}

#[test]
fn two_cpus() {
    let auto = ml(Workers::Auto);
    let alone = check_place("vm-2", &Wishes::default(), "S0@0 S1@1");
    assert!(alone.shards.iter().all(|shard| shard.dedicated));
    let shared = check_place("vm-2", &pools([auto.clone()]), "S0@0 ml0@1 ml1@0b");
    assert!(!shared.shards[0].dedicated, "no watching beside a worker");
    assert!(shared.pools[0].workers[0].spins && !shared.pools[0].workers[1].spins);
    let apart = PoolWish { share: Share::Off, ..auto.clone() };
    check_place("vm-2", &pools([apart]), "S0@0 ml0@1");
    let more = PoolWish { max_workers: 4, ..auto };
    check_place("vm-2", &pools([more]), "S0@0 ml0@1 ml1@0b ml2@1d ml3@1d");
    let two = pools([pool("a", Workers::Auto), pool("b", Workers::Auto)]);
    check_place("vm-2", &two, "S0@0 a0@1 a1@0b b0@1 b1@0b");
    let normal = PoolWish { priority: Priority::Normal, ..ml(Workers::Count(3)) };
    check_place("vm-2", &pools([normal]), "S0@0 ml0@1 ml1@0 ml2@1");
}

#[test]
fn one_cpu_is_shared() {
    let placement = check_place("one-core", &pools([ml(Workers::Auto)]), "S0@0 ml0@0b");
    assert!(!placement.shards[0].dedicated);
    assert_eq!(placement.notes.len(), 1, "{:?}", placement.notes);
}

#[test]
fn a_shared_quota_lets_everybody_float() {
    let placement = check_place("kubernetes-quota", &pools([ml(Workers::Auto)]), "S0@ ml0@");
    assert_eq!(placement.budget, 2);
    assert_eq!(placement.floating_cpus().len(), 64);
    assert!(placement.floating.as_ref().unwrap().contains("2.5 of 64"));
    let share = PoolWish { share: Share::On, ..ml(Workers::Auto) };
    let told = check_place("kubernetes-quota", &pools([share]), "S0@ ml0@");
    assert!(told.notes[0].message.contains("background"), "{:?}", told.notes);
    let always = Wishes { pin: Pin::Always, ..pools([ml(Workers::Auto)]) };
    let pinned = check_place("kubernetes-quota", &always, "S0@1 ml0@2");
    assert!(pinned.notes[0].message.contains("pinned although"), "{:?}", pinned.notes);
    let named = Wishes { shards: CpuWish::List(vec![3, 5]), ..Wishes::default() };
    check_place("kubernetes-quota", &named, "S0@3 S1@5");
    let ignored = Wishes { quota: QuotaRule::Ignore, ..Wishes::default() };
    assert_eq!(place(&machine("kubernetes-quota"), &ignored).unwrap().shards.len(), 31);
}

#[test]
fn a_quota_on_cpus_of_our_own_only_sizes() {
    let mut machine = machine("cpuset-holes");
    machine.quota = Some(Quota { thousandths: 2500, path: "/cpu.max".into() });
    let placement = place(&machine, &Wishes::default()).unwrap();
    assert_eq!(short(&placement), "S0@1 S1@3");
    assert_eq!(placement.unused, [4, 9, 14]);
    machine.quota = Some(Quota { thousandths: 5000, path: "/cpu.max".into() });
    assert_eq!(place(&machine, &Wishes::default()).unwrap().shards.len(), 5);
}

#[test]
fn explicit_wishes_hold() {
    let never = Wishes { pin: Pin::Never, ..Wishes::default() };
    check_place("vm-2", &never, "S0@ S1@");
    let half = Wishes { use_cpus: CpuSelect::parse("node:1").unwrap(), ..Wishes::default() };
    let placement = place(&machine("cpuset-holes"), &half).unwrap();
    assert_eq!(short(&placement), "S0@9 S1@14");
    let spread_out = Wishes { shards: CpuWish::Count(2), ..Wishes::default() };
    check_place("two-sockets", &spread_out, "S0@4 S1@12");
    let list = Wishes { shards: CpuWish::List(list("1,20")), ..pools([ml(Workers::Count(1))]) };
    let placement = check_place("two-sockets", &list, "S0@1 S1@20 ml0@2");
    assert_eq!(placement.reserved, [0, 8, 16, 24]);
    let all = Wishes { shards: CpuWish::Count(16), ..Wishes::default() };
    let placement = place(&machine("two-sockets"), &all).unwrap();
    assert!(placement.reserved.is_empty(), "what is automatic gives way");
    assert!(placement.shards.iter().all(|shard| shard.cpu < Some(16)));
    let threads = Wishes { shards: CpuWish::Count(32), ..Wishes::default() };
    check_sane(
        &machine("two-sockets"),
        &threads,
        &place(&machine("two-sockets"), &threads).unwrap(),
    );
    let slow = Wishes { shards: CpuWish::Count(8), ..Wishes::default() };
    let placement = place(&machine("hybrid"), &slow).unwrap();
    assert!(placement.notes[0].message.contains("CPUs 13-14 are slower"), "{:?}", placement.notes);
    let one = Wishes { reserve: Reserve::PerNode(2), smt: Smt::One, ..Wishes::default() };
    let placement = place(&machine("two-sockets"), &one).unwrap();
    assert_eq!((placement.shards.len(), placement.reserved.len()), (12, 8));
}

#[test]
fn pools_on_named_cpus() {
    let named = PoolWish { cores: Some(list("1,5-7")), ..ml(Workers::Auto) };
    check_place(
        "offline",
        &pools([PoolWish { cores: Some(list("6-7")), ..named.clone() }]),
        "S0@0 S1@1 S2@3 S3@4 ml0@6 ml1@7",
    );
    let fewer = PoolWish { cores: Some(list("4,6-7")), max_workers: 4, ..ml(Workers::Count(2)) };
    check_place("offline", &pools([fewer]), "S0@0 S1@1 S2@3 ml0@4 ml1@6 ml2@7d ml3@4d");
    let half = PoolWish { cores: Some(list("0-0")), ..named.clone() };
    let beside = Wishes { shards: CpuWish::Count(1), ..pools([half]) };
    check_place("vm-2-threads", &beside, "S0@1 ml0@0");
    let everything = PoolWish { cores: Some(list("0-1")), ..named };
    check_place("vm-2", &pools([everything]), "S0@0 ml0@1 ml1@0b");
}

#[test]
fn shards_go_to_every_cpu_that_a_sharing_pool_leaves_or_shares() {
    let shape = Shape {
        nodes: 2,
        caches: 3,
        cores: 3,
        threads: 2,
        slow: Vec::new(),
        offline: Vec::new(),
        mask: (0..36).collect(),
        cpuset: None,
        exclusive: false,
        quota: None,
    };
    let cores = Some(vec![0, 8, 10, 19, 30, 32, 33]);
    let pool = PoolWish { cores, max_workers: 15, share: Share::On, ..ml(Workers::Auto) };
    let wishes = |count: usize| Wishes {
        use_cpus: CpuSelect::parse("!3").unwrap(),
        shards: CpuWish::Count(count),
        pin: Pin::Always,
        ..pools([pool.clone()])
    };
    let machine = made_up(&shape);
    // 21 CPUs on cores that the pool does not name, 7 beside the ones it names, and those 7.
    for count in [21, 28, 33, 35] {
        let placement = place(&machine, &wishes(count)).unwrap();
        check_sane(&machine, &wishes(count), &placement);
        assert_eq!(placement.shards.len(), count);
    }
    assert_eq!(place(&machine, &wishes(36)).unwrap_err()[0].code, "E0201");
}

#[track_caller]
fn check_clash(name: &str, wishes: &Wishes, code: &str, message: &str, fix: &str) -> Clash {
    let mut clashes = place(&machine(name), wishes).unwrap_err();
    assert_eq!(clashes.len(), 1, "{clashes:?}");
    let clash = clashes.remove(0);
    assert_eq!((clash.code, clash.message.as_str()), (code, message));
    assert!(clash.fix.contains(fix), "{:?} lacks {fix:?}", clash.fix);
    clash
}

fn shards(text: &str) -> Wishes {
    Wishes { shards: CpuWish::parse(text).unwrap(), ..Wishes::default() }
}

fn using(text: &str) -> Wishes {
    Wishes { use_cpus: CpuSelect::parse(text).unwrap(), ..Wishes::default() }
}

#[test]
fn unusable_cpus_say_why() {
    let unusable = |cpus: &str, why: &str| format!("{cpus} cannot be used: {why}");
    let offline = unusable("CPU 2", "offline");
    let clash = check_clash("offline", &shards("1-3"), "E0202", &offline, "switch it on");
    assert_eq!((clash.wish, clash.cpu), (Wish::Shards, Some(2)));
    let missing = unusable("CPUs 8-9", "not in this machine");
    check_clash("offline", &shards("7-9"), "E0202", &missing, "0-1,3-4,6-7");
    let cpuset = unusable("CPU 3", "outside of the cpuset of the control group");
    check_clash("container-cpuset", &shards("3-4"), "E0202", &cpuset, "4-7");
    let mut masked = machine("vm-2");
    masked.mask = vec![1];
    let clashes = place(&masked, &shards("0-0")).unwrap_err();
    assert!(clashes[0].message.ends_with("outside of the affinity mask of this process"));
    let wishes = Wishes { shards: CpuWish::List(vec![0, 2]), ..using("0-1,4") };
    let cut = unusable("CPU 2", "left out by cores.use");
    let clash = check_clash("desktop-8", &wishes, "E0202", &cut, "0-1,4");
    assert_eq!(clash.other.unwrap().0, Wish::Use);
    let huge = unusable("CPUs 2-1023", "not in this machine");
    check_clash("vm-2", &using("0-1023"), "E0202", &huge, "0-1");
    let pool = pools([PoolWish { cores: Some(vec![9]), ..ml(Workers::Auto) }]);
    let missing = unusable("CPU 9", "not in this machine");
    let clash = check_clash("vm-2", &pool, "E0202", &missing, "0-1");
    assert_eq!(clash.wish, Wish::PoolCores(0));
    let reserve = Wishes { reserve: Reserve::List(vec![7]), ..Wishes::default() };
    let missing = unusable("CPU 7", "not in this machine");
    assert_eq!(check_clash("vm-2", &reserve, "E0202", &missing, "0-1").wish, Wish::Reserve);
}

#[test]
fn selections_that_do_not_fit() {
    let message = "this machine has no L3 cache 7";
    check_clash("two-sockets", &using("l3:0,7"), "E0214", message, "L3 cache 0-3");
    check_clash("vm-2", &using("node:1-3"), "E0214", "this machine has no node 1-3", "node 0");
    let message = "cores.use = \"0-1,!0-1\" leaves no CPU";
    check_clash("vm-2", &using("0-1,!0-1"), "E0211", message, "0-1");
    check_clash("vm-2", &using("!node:0"), "E0211", "cores.use = \"!node:0\" leaves no CPU", "0-1");
}

#[test]
fn cpus_that_are_given_twice() {
    let named = |cores: &str| PoolWish { cores: Some(list(cores)), ..ml(Workers::Auto) };
    let both = Wishes { shards: CpuWish::List(list("0-3")), ..pools([named("1,5-7")]) };
    let message = "CPU 1 is given to shards and to pool `ml`";
    let clash = check_clash("desktop-8", &both, "E0210", message, "share = true");
    assert_eq!((clash.wish, clash.cpu), (Wish::PoolCores(0), Some(1)));
    assert_eq!(clash.other, Some((Wish::Shards, "first claimed by shards".into())));
    assert!(clash.note.contains("whole time slice"));
    let meant = PoolWish { share: Share::On, ..named("1,5-7") };
    let both = Wishes { shards: CpuWish::List(list("0-3")), ..pools([meant]) };
    check_place("desktop-8", &both, "S0@0 S1@1 S2@2 S3@3 ml0@5 ml1@6 ml2@7 ml3@1b");
    let other = PoolWish { name: "pdf".into(), ..named("6-8") };
    let message = "CPUs 6-7 are given to pool `ml` and to pool `pdf`";
    check_clash("desktop-8", &pools([named("1,5-7"), other]), "E0210", message, "of its own");
    let reserved = Wishes { reserve: Reserve::List(vec![1]), ..shards("0-1") };
    let message = "CPU 1 is given to shards and to the reserve";
    check_clash("vm-2", &reserved, "E0210", message, "reserve other CPUs");
}

#[test]
fn shards_and_reserves_that_do_not_fit() {
    let message = "3 shards do not fit on 2 usable CPUs";
    check_clash("vm-2", &shards("3"), "E0201", message, "at most 2; usable: 0-1");
    let one = Wishes { smt: Smt::One, ..shards("2") };
    let message = "2 shards do not fit on 2 usable CPUs, of which 1 can be had, one of each core \
                   (cores.smt = \"one\")";
    check_clash("vm-2-threads", &one, "E0201", message, "at most 1");
    let reserved = Wishes { reserve: Reserve::List(vec![0]), ..shards("2") };
    let message = "2 shards do not fit on 2 usable CPUs, of which 1 can be had";
    let clash = check_clash("vm-2", &reserved, "E0201", message, "at most 1");
    assert_eq!(clash.other, Some((Wish::Reserve, "reserved here".into())));
    let named = PoolWish { cores: Some(vec![1]), ..ml(Workers::Auto) };
    let claimed = Wishes { shards: CpuWish::Count(2), ..pools([named]) };
    let clash = check_clash("vm-2", &claimed, "E0201", message, "at most 1");
    assert_eq!(clash.other, Some((Wish::PoolCores(0), "claimed here".into())));
    let greedy = Wishes { reserve: Reserve::PerNode(2), ..Wishes::default() };
    let message = "cores.reserve = 2 leaves no CPU to work on";
    check_clash("vm-2", &greedy, "E0212", message, "reserve fewer");
}

#[test]
fn named_cpus_need_pins() {
    let unpinned = Wishes { pin: Pin::Never, ..shards("0-1") };
    let message = "shards cannot be put on CPUs while nobody is pinned";
    let clash = check_clash("vm-2", &unpinned, "E0213", message, "a number instead");
    assert_eq!(clash.other.unwrap().0, Wish::Pin);
}

#[test]
fn a_machine_that_says_nothing_gets_one_floating_shard() {
    let machine = Machine::default();
    let placement = place(&machine, &pools([ml(Workers::Count(2))])).unwrap();
    assert_eq!(short(&placement), "S0@ ml0@ ml1@");
    assert!(placement.floating_cpus().is_empty());
    assert!(drawing::placement(&machine, &placement).contains("on any CPU"));
    assert!(drawing::machine(&machine).contains("0 CPUs"));
}

#[test]
fn memory_caps_workers() {
    const MIB: u64 = 1 << 20;
    assert_eq!(workers_that_fit(1000 * MIB, 200 * MIB, 100 * MIB), 7, "80 % of 800 holds 6 more");
    assert_eq!(workers_that_fit(100 * MIB, 200 * MIB, 100 * MIB), 1, "the first one is there");
    assert_eq!(workers_that_fit(u64::MAX, 0, 1 << 40), 13_421_773);
    assert!(workers_that_fit(u64::MAX, 0, 0) > 1, "and nothing is divided by");
}

#[test]
fn sentences_name_every_process() {
    let wishes = pools([PoolWish { max_workers: 3, ..ml(Workers::Auto) }]);
    let text = drawing::sentences(&place(&machine("vm-2"), &wishes).unwrap());
    assert_eq!(
        text,
        "  shard/0 on CPU 0 (L3 0, node 0), never watches\n  \
         ml/0 on CPU 1 (L3 0, node 0), shares its CPU\n  \
         ml/1 on CPU 0 (L3 0, node 0), in the background, shares its CPU\n  \
         ml/2 on CPU 1 (L3 0, node 0), shares its CPU, only while the queue waits\n"
    );
    let floating = place(&machine("kubernetes-quota"), &Wishes::default()).unwrap();
    assert!(drawing::sentences(&floating).contains("shard/1 wherever the kernel puts it\n"));
}

#[test]
fn long_names_of_pools_get_letters() {
    let placement =
        place(&machine("vm-2"), &pools([pool("image-resizer", Workers::Count(1))])).unwrap();
    let text = drawing::placement(&machine("vm-2"), &placement);
    assert!(text.contains("1:P1.0"), "{text}");
    assert!(text.contains("P1.0   image-resizer/0, and so on"), "{text}");
}
