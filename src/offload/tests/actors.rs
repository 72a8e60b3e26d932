//! What the processes of the simulated machine do, and the ledger in which every job is kept.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::machine::{Process, Role};
use super::talk::{Answering, Asking, How, Step};
use crate::offload::chunks::StreamItem;
use crate::offload::client::{Client, Ended, Terms, Ticket};
use crate::offload::death::Registry;
use crate::offload::server::{BLOCK_NS_MAX, JobId, Next, Server, SpinPolicy};
use crate::offload::slot::{Form, Outcome, Retry};
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
    /// Whether messages may be longer than a slot, and come in pieces.
    pub(super) long: bool,
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
    /// Free blocks of each process as it has seen them last.
    pub(super) free_blocks: RefCell<HashMap<Role, usize>>,
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
            free_blocks: RefCell::default(),
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
    /// The jobs of this life of the shard that are not through.
    open: HashMap<Ticket, Open>,
}

/// A job that was submitted.
struct Open {
    number: u64,
    asking: Asking,
    /// Its answer is a stream that is complete, or will not be.
    held: bool,
    /// There may be something to receive: its client was slow.
    behind: bool,
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
            while let Some(ticket) = self.client.poll_moved() {
                if let Some(open) = self.open.get_mut(&ticket) {
                    open.asking.send(&mut self.client);
                    open.behind = true;
                }
            }
            self.read_on();
            assert_eq!(self.client.poll_fault(), None, "nobody writes garbage here");
            self.submit_some();
            self.cancel_some();
            self.client.wake();
            let free = self.client.free_blocks();
            self.ledger.free_blocks.borrow_mut().insert(Role::Shard(self.shard), free);
            if self.client.arm() {
                // A slow client comes back without the machine falling quiet.
                if self.open.values().any(|open| open.behind) {
                    self.process.step();
                } else {
                    self.process.block(self.wake_at());
                }
                self.client.disarm();
            }
        }
    }

    /// Takes some of what has come, as slow clients do.
    fn read_on(&mut self) {
        let mut behind: Vec<Ticket> =
            self.open.iter().filter(|(_, open)| open.behind).map(|(ticket, _)| *ticket).collect();
        behind.sort_unstable_by_key(|ticket| ticket.slot());
        for ticket in behind {
            let open = self.open.get_mut(&ticket).expect("it is open");
            let items = self.process.machine.random(4) as usize;
            open.behind = open.asking.receive(&mut self.client, items);
            if open.held && open.asking.end.is_some() {
                let open = self.open.remove(&ticket).expect("it is open");
                self.check_answer(&open);
            }
        }
    }

    /// An answer is complete.
    fn check_answer(&mut self, open: &Open) {
        let Open { number, asking, .. } = open;
        assert_eq!(asking.answer, answer(&body(*number, self.ledger.plan.long)), "job {number}");
        assert_eq!(u64::from(asking.status), number & 0xffff);
        assert!(!matches!(asking.end, Some(StreamItem::Failed)), "job {number} broke off");
        self.client.release(asking.ticket);
        *self.ledger.answered.borrow_mut() += 1;
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
            let message = body(number, self.ledger.plan.long);
            let how = how(self.process, self.ledger.plan.long);
            let Ok(mut asking) = Asking::begin(&mut self.client, &message, how, terms) else {
                self.ledger.entries.borrow_mut().remove(&number);
                return;
            };
            let ticket = asking.ticket;
            asking.send(&mut self.client);
            self.ledger.left.borrow_mut()[usize::from(self.shard.0)] -= 1;
            let mut entries = self.ledger.entries.borrow_mut();
            entries.get_mut(&number).unwrap().ticket = Some(ticket);
            self.open.insert(ticket, Open { number, asking, held: false, behind: false });
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
            .filter(|(_, open)| !open.held)
            .map(|(ticket, open)| (*ticket, open.number))
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
        let mut open = self.open.remove(&ended.ticket).expect("an outcome of a job of ours, once");
        let number = open.number;
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
                assert!(entry.executions > 0, "job {number} was answered and never ran");
                if response.form == Form::Chunks {
                    (open.held, open.behind) = (true, true);
                    self.open.insert(ended.ticket, open);
                } else {
                    open.asking.read(&self.client, response);
                    self.check_answer(&open);
                }
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

/// A job that a worker runs.
struct Task {
    answering: Answering,
    id: JobId,
    /// `None` until the request said it.
    number: Option<u64>,
    stuck: bool,
    withdrawn: bool,
}

fn work(process: &Process<'_>, worker: WorkerIndex, ledger: &Ledger) {
    let plan = ledger.plan;
    let mut server = Server::attach(process, worker, plan.jobs_max, plan.spin);
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        match server.poll() {
            Next::Job(job) => {
                let id = job.id();
                let answering = Answering::begin(&server, job);
                let task = Task { answering, id, number: None, stuck: false, withdrawn: false };
                tasks.push(task);
            }
            Next::Moved(id) => find(&mut tasks, id).stuck = false,
            Next::Withdrawn(id) => {
                let task = find(&mut tasks, id);
                (task.stuck, task.withdrawn) = (false, true);
            }
            Next::Block if tasks.iter().all(|task| task.stuck) => {
                let free = server.free_blocks();
                ledger.free_blocks.borrow_mut().insert(Role::Worker(worker), free);
                let bound = if plan.bounded_wait { BLOCK_NS_MAX } else { u64::MAX / 2 };
                process.block(process.now() + bound);
            }
            Next::Block | Next::Spin => process.step(),
            Next::Leave => return server.detach(),
        }
        let full = tasks.len() == plan.jobs_max;
        let ready: Vec<usize> = (0..tasks.len()).filter(|&at| !tasks[at].stuck).collect();
        if !ready.is_empty() && (full || process.machine.chance(2)) {
            let at = ready[process.machine.random(ready.len() as u64) as usize];
            match go_on(process, &mut server, &mut tasks[at], ledger) {
                Step::Done => drop(tasks.swap_remove(at)),
                Step::More => {}
                // Nobody goes on with what was taken back.
                Step::Stuck(_) if tasks[at].withdrawn => {}
                Step::Stuck(interests) => {
                    let job = tasks[at].answering.job.as_ref().expect("it runs");
                    server.wait_for(job, interests);
                    tasks[at].stuck = true;
                }
            }
        }
    }
}

fn find(tasks: &mut [Task], id: JobId) -> &mut Task {
    tasks.iter_mut().find(|task| task.id == id).expect("a job that runs")
}

/// One step of a job.
fn go_on(
    process: &Process<'_>,
    server: &mut Server<&Process<'_>>,
    task: &mut Task,
    ledger: &Ledger,
) -> Step {
    let answering = &mut task.answering;
    if task.withdrawn && process.machine.chance(2) {
        answering.stop(server);
        return Step::Done;
    }
    if let Some(step) = answering.send(server) {
        return step;
    }
    if task.number.is_none()
        && let Some(number) = answering.request.first_chunk()
    {
        let number = u64::from_le_bytes(*number);
        count_execution(ledger, number);
        task.number = Some(number);
    }
    if !answering.has_all {
        let bored = task.number.is_some() && process.machine.chance(12);
        if !bored {
            return answering.receive(server);
        }
        let job = answering.job.as_ref().expect("it runs");
        server.refuse(job);
    }
    let number = task.number.expect("all of the request is there");
    let message = body(number, ledger.plan.long);
    assert!(message.starts_with(&answering.request), "the request of job {number}");
    assert!(!answering.has_all || answering.request == message);
    let how = how(process, ledger.plan.long);
    answering.answer(server, &answer(&message), how, (number & 0xffff) as u16)
}

/// A way to send a message.
fn how(process: &Process<'_>, long: bool) -> How {
    if !long || process.machine.chance(3) {
        return How::Whole;
    }
    let (head, piece) = (process.machine.random(80), 1 + process.machine.random(90));
    How::Stream { head: head as usize, piece: piece as usize }
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

/// The request of a job: its number, then bytes that belong to no other; some do not fit a slot.
fn body(number: u64, long: bool) -> Vec<u8> {
    let length = 8 + (number * 7 % if long { 290 } else { 56 }) as usize;
    let tail = (8..length).map(|index| (number.wrapping_mul(31) + index as u64) as u8);
    number.to_le_bytes().into_iter().chain(tail).collect()
}

fn answer(request: &[u8]) -> Vec<u8> {
    request.iter().map(|byte| byte.wrapping_add(1)).collect()
}
