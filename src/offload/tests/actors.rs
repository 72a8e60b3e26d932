//! What the processes of the simulated machine do, and the ledger in which every job is kept.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::machine::{Process, Role};
use crate::offload::client::{Client, Ended, Terms, Ticket};
use crate::offload::death::Registry;
use crate::offload::server::{BLOCK_NS_MAX, Next, Server, SpinPolicy};
use crate::offload::slot::{Outcome, Retry};
use crate::offload::word::{ShardIndex, WorkerIndex};
use crate::offload::world::World;

/// What is asked of the processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Jobs of each shard.
    pub(super) jobs: u32,
    /// One job in so many is taken back; 0 is none.
    pub(super) cancel_one_in: u64,
    /// One job in so many has deadlines; 0 is none.
    pub(super) deadline_one_in: u64,
    /// Jobs that a worker runs at a time.
    pub(super) jobs_max: usize,
    pub(super) spin: SpinPolicy,
    /// Whether workers look by themselves from time to time.
    pub(super) bounded_wait: bool,
    /// Whether somebody may die.
    pub(super) deaths: bool,
}

/// A job as its client knows it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// None while it is being submitted.
    ticket: Option<Ticket>,
    terms: Terms,
    cancelled: bool,
    ended: bool,
    executions: u32,
}

/// All jobs of all shards, and what is left to do.
pub(super) struct Ledger {
    plan: Plan,
    entries: RefCell<HashMap<u64, Entry>>,
    left: RefCell<Vec<u32>>,
    next: RefCell<u64>,
    pub(super) answered: RefCell<u64>,
    pub(super) ended: RefCell<u64>,
}

impl Ledger {
    pub(super) fn new(plan: Plan, shards: u16) -> Rc<Self> {
        Rc::new(Self {
            plan,
            entries: RefCell::default(),
            left: RefCell::new(vec![plan.jobs; usize::from(shards)]),
            next: RefCell::new(1),
            answered: RefCell::default(),
            ended: RefCell::default(),
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.borrow().iter().all(|&left| left == 0)
    }
}

/// What a process does, by its role.
pub(super) fn act(process: &Process<'_>, role: Role, context: &Rc<dyn Any>) {
    let ledger = Rc::clone(context).downcast::<Ledger>().unwrap();
    match role {
        Role::Shard(shard) => ShardActor::new(process, shard, &ledger).run(),
        Role::Supervisor => supervise(process),
        Role::Worker(worker) => work(process, worker, &ledger),
    }
}

struct ShardActor<'a> {
    process: &'a Process<'a>,
    client: Client<&'a Process<'a>>,
    shard: ShardIndex,
    ledger: &'a Ledger,
    /// The jobs of this life of the shard that have not ended.
    open: HashMap<Ticket, u64>,
}

impl<'a> ShardActor<'a> {
    fn new(process: &'a Process<'a>, shard: ShardIndex, ledger: &'a Ledger) -> Self {
        let client = Client::attach(process, shard);
        Self { process, client, shard, ledger, open: HashMap::new() }
    }

    /// A shard's turns, until the machine is switched off.
    fn run(mut self) {
        loop {
            self.client.collect();
            self.client.handle_timeout(self.process.now());
            while let Some(ended) = self.client.poll_outcome() {
                self.settle(ended);
            }
            assert_eq!(self.client.poll_fault(), None, "nobody writes garbage here");
            self.submit_some();
            self.cancel_some();
            self.client.wake();
            if self.client.arm() {
                self.process.block(self.wake_at());
                self.client.disarm();
            }
        }
    }

    /// Soon while there is something to submit and room for it.
    fn wake_at(&self) -> u64 {
        let left = self.ledger.left.borrow()[usize::from(self.shard.0)];
        if left > 0 && self.client.free() > 0 {
            return self.process.now() + 10_000;
        }
        self.client.poll_timeout().unwrap_or(u64::MAX)
    }

    fn submit_some(&mut self) {
        for _ in 0..self.process.machine.random(4) {
            let left = self.ledger.left.borrow()[usize::from(self.shard.0)];
            if left == 0 {
                return;
            }
            let number = self.ledger.next.replace_with(|next| *next + 1);
            let terms = self.terms();
            let entry =
                Entry { ticket: None, terms, cancelled: false, ended: false, executions: 0 };
            self.ledger.entries.borrow_mut().insert(number, entry);
            let Ok(ticket) = self.client.submit(&body(number), terms) else {
                self.ledger.entries.borrow_mut().remove(&number);
                return;
            };
            self.ledger.left.borrow_mut()[usize::from(self.shard.0)] -= 1;
            let mut entries = self.ledger.entries.borrow_mut();
            entries.get_mut(&number).unwrap().ticket = Some(ticket);
            self.open.insert(ticket, number);
        }
    }

    fn terms(&self) -> Terms {
        let machine = &self.process.machine;
        let retry = if machine.chance(2) { Retry::Started } else { Retry::Unstarted };
        let one_in = self.ledger.plan.deadline_one_in;
        if one_in == 0 || !machine.chance(one_in) {
            return Terms { start_by: u64::MAX, deadline: u64::MAX, retry };
        }
        let (wait, run) = (machine.random(100_000), machine.random(100_000));
        let start_by = self.process.now() + wait;
        Terms { start_by, deadline: start_by + run, retry }
    }

    fn cancel_some(&mut self) {
        let one_in = self.ledger.plan.cancel_one_in;
        let chosen = self
            .open
            .iter()
            .map(|(ticket, number)| (*ticket, *number))
            .min_by_key(|(ticket, _)| ticket.slot());
        if let Some((ticket, number)) = chosen
            && one_in > 0
            && self.process.machine.chance(one_in)
        {
            self.ledger.entries.borrow_mut().get_mut(&number).unwrap().cancelled = true;
            assert!(self.client.cancel(ticket), "it was open");
        }
    }

    /// Checks an outcome against what may be.
    fn settle(&mut self, ended: Ended) {
        let number = self.open.remove(&ended.ticket).expect("an outcome of a job of ours, once");
        let entry = {
            let mut entries = self.ledger.entries.borrow_mut();
            let entry = entries.get_mut(&number).unwrap();
            assert!(!std::mem::replace(&mut entry.ended, true), "job {number} ended twice");
            assert_eq!(entry.ticket, Some(ended.ticket));
            *entry
        };
        let again = entry.terms.retry == Retry::Started && self.ledger.plan.deaths;
        assert!(entry.executions <= 1 + u32::from(again), "job {number} ran too often");
        *self.ledger.ended.borrow_mut() += 1;
        let now = self.process.now();
        match ended.outcome {
            Outcome::Answered(response) => {
                let mut bytes = vec![0; response.bytes as usize];
                self.client.answer(ended.ticket, response).read(&self.process, 0, &mut bytes);
                assert_eq!(bytes, answer(&body(number)), "the answer of job {number}");
                assert_eq!(u64::from(response.status), number & 0xffff);
                assert!(entry.executions > 0, "job {number} was answered and never ran");
                self.client.release(ended.ticket);
                *self.ledger.answered.borrow_mut() += 1;
            }
            Outcome::Broken => panic!("job {number} is broken, and nobody broke it"),
            Outcome::Cancelled => assert!(entry.cancelled, "nobody took job {number} back"),
            Outcome::Died { started } => {
                assert!(self.ledger.plan.deaths, "nobody died");
                let never_again = entry.terms.retry == Retry::Unstarted;
                assert!(!started || entry.executions <= 2);
                assert!(started || entry.executions == 0 || !never_again);
            }
            Outcome::Expired => {
                assert!(now >= entry.terms.start_by, "job {number} had time");
                let ran = entry.executions > 0;
                assert!(!ran || again, "job {number} expired after it ran");
            }
            Outcome::TimedOut => assert!(now >= entry.terms.deadline, "job {number} had time"),
        }
    }
}

fn work(process: &Process<'_>, worker: WorkerIndex, ledger: &Ledger) {
    let plan = ledger.plan;
    let mut server = Server::attach(process, worker, plan.jobs_max, plan.spin);
    let mut running = Vec::new();
    loop {
        match server.poll() {
            Next::Job(job) => {
                let mut request = vec![0; job.request().bytes as usize];
                server.read_request(&job, &mut request);
                let number = u64::from_le_bytes(request[..8].try_into().unwrap());
                assert_eq!(request, body(number), "the request of job {number}");
                count_execution(ledger, number);
                running.push((job, number, answer(&request)));
            }
            Next::Block if running.is_empty() => {
                let bound = if plan.bounded_wait { BLOCK_NS_MAX } else { u64::MAX / 2 };
                process.block(process.now() + bound);
            }
            Next::Block | Next::Spin => process.step(),
            Next::Moved(_) | Next::Withdrawn(_) => {}
            Next::Leave => return server.detach(),
        }
        let full = running.len() == plan.jobs_max;
        if !running.is_empty() && (full || process.machine.chance(2)) {
            let (job, number, bytes) = running.swap_remove(0);
            server.complete(job, (number & 0xffff) as u16, &bytes).expect("it fits");
        }
    }
}

fn count_execution(ledger: &Ledger, number: u64) {
    ledger.entries.borrow_mut().get_mut(&number).expect("it was entered first").executions += 1;
}

fn supervise(process: &Process<'_>) {
    let registry = Registry::create(process);
    for worker in process.machine.layout().workers() {
        registry.enlist(worker);
        process.machine.births.borrow_mut().push_back(Role::Worker(worker));
    }
    for shard in process.machine.layout().shards() {
        process.machine.births.borrow_mut().push_back(Role::Shard(shard));
    }
    loop {
        let dead = process.machine.dead.borrow().front().copied();
        match dead {
            Some(Role::Worker(worker)) => {
                registry.bury(worker);
                registry.enlist(worker);
            }
            Some(Role::Shard(shard)) => registry.bury_shard(shard),
            Some(Role::Supervisor) => unreachable!("it does not bury itself"),
            None => {
                process.block(u64::MAX);
                continue;
            }
        }
        process.machine.dead.borrow_mut().pop_front();
        process.machine.births.borrow_mut().extend(dead);
    }
}

/// The request of a job: its number, then bytes that belong to no other.
fn body(number: u64) -> Vec<u8> {
    let length = 8 + (number * 7 % 56) as usize;
    let tail = (8..length).map(|index| (number.wrapping_mul(31) + index as u64) as u8);
    number.to_le_bytes().into_iter().chain(tail).collect()
}

fn answer(request: &[u8]) -> Vec<u8> {
    request.iter().map(|byte| byte.wrapping_add(1)).collect()
}
