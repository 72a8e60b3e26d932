//! Desks with a worker on the same thread, so that every step is the test's.

use std::cell::Cell;

use ::http::StatusCode;

use super::*;
use crate::handler::response::Content;
use crate::handler::{IntoHandler, offload};
use crate::http::{BodyLength, ResponseHead, Version};
use crate::net::ConnId;
use crate::offload::counters::ShardCounter;
use crate::offload::death::Registry;
use crate::offload::layout::Shape;
use crate::offload::message::{Carriage, ResponseOut};
use crate::offload::payload::Writer;
use crate::offload::region::Mapped;
use crate::offload::server::{Job as WorkersJob, Next, Server, SpinPolicy};
use crate::offload::word::WorkerIndex;
use crate::offload::world::{Ordering, World};
use crate::shard::ready::Ready;

const SEAT: ShardIndex = ShardIndex(0);

struct Fixture {
    desks: Desks,
    handlers: Vec<Handler>,
    ready: Rc<Ready>,
    server: Server<Mapped>,
    now: Cell<u64>,
}

impl Fixture {
    fn new(settings: PoolSettings) -> Self {
        let shape = Shape {
            shards: 1,
            workers: 1,
            slots: 8,
            slot_bytes: 4096,
            request_blocks: 8,
            response_blocks: 32,
        };
        let region = Arc::new(Region::create(shape, 1).unwrap());
        Registry::of(&region).enlist(WorkerIndex(0));
        let server = Server::of(&region, WorkerIndex(0), 8, SpinPolicy::NEVER);
        let handlers = vec![offload("cpu", |_: &Request| "").into_handler()];
        let pool = PoolSetup { name: "cpu".to_owned(), region, settings };
        let desks = Desks::new(vec![pool], SEAT, &handlers);
        let mut fixture = Self {
            desks,
            handlers,
            ready: Rc::default(),
            server,
            now: Cell::new(crate::sys::clock::monotonic_ns()),
        };
        fixture.turn();
        fixture
    }

    fn now(&self) -> Time {
        self.now.set(self.now.get().max(crate::sys::clock::monotonic_ns()));
        Time::from_nanos(self.now.get())
    }

    fn offer(&mut self, body: &'static [u8]) -> Result<Lead, Response> {
        let mut request = Request::new();
        let length = BodyLength::Known(body.len() as u64);
        request.head.restore("GET", Version::Http11, "/path", length).unwrap();
        let notify = ConnNotify::new(ConnId { index: 7, generation: 0 }, &self.ready);
        let Handler::Job(job) = &self.handlers[0] else { panic!("it is a job") };
        let now = self.now();
        self.desks.offer(Offer {
            job,
            handler: 0,
            request: &mut request,
            body: JobBody::Whole(body.into()),
            notify: &notify,
            now,
        })
    }

    /// What a shard does from one sleep to the next.
    fn turn(&mut self) {
        let now = self.now();
        self.desks.collect(now);
        self.desks.finish(now);
    }

    /// The next job of the worker.
    fn claim(&mut self) -> Option<WorkersJob> {
        loop {
            match self.server.poll() {
                Next::Job(job) => return Some(job),
                Next::Spin | Next::Moved(_) | Next::Withdrawn(_) => {}
                Next::Block | Next::Leave => return None,
            }
        }
    }

    fn answer(&mut self, job: WorkersJob, body: &[u8]) {
        let head = ResponseHead { status: StatusCode::OK, content_type: None, fields: &[] };
        let out = ResponseOut::new(head, Carriage::Whole(body.len() as u64)).unwrap();
        let bytes = out.head_bytes() + body.len();
        let draft = self.server.draft(bytes as u64).unwrap();
        let payload = self.server.payload(&job, &draft);
        let mut writer = Writer::new(self.server.world(), payload);
        out.encode(&mut writer);
        writer.put(body);
        self.server.complete_draft(job, draft, 200, bytes as u32);
    }

    fn count(&self, counter: ShardCounter) -> u64 {
        let world = self.server.world();
        world.load(counter.word(world, SEAT), Ordering::Relaxed)
    }

    /// Whether the connection was told since the last call.
    fn is_told(&self) -> bool {
        let mut listed = Vec::new();
        self.ready.take(&mut listed);
        !listed.is_empty()
    }
}

fn settings() -> PoolSettings {
    PoolSettings {
        queue: 4,
        queue_wait: QueueWait::Auto,
        timeout: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        cancel_on_disconnect: true,
        cancel_on_half_close: true,
        spin: Duration::from_micros(25),
    }
}

#[track_caller]
fn body(reply: Option<Reply>) -> Vec<u8> {
    match reply {
        Some(Reply::Whole(response)) => match response.content {
            Content::Buffer(bytes) => bytes,
            Content::Static(bytes) => bytes.to_vec(),
            Content::Bytes(_) | Content::Stream(_) => panic!("another kind of body"),
        },
        Some(Reply::Lent(_, mut lent)) => lent.take(usize::MAX).to_vec(),
        None => panic!("no reply"),
    }
}

#[test]
fn an_idle_pool_costs_nothing() {
    let mut fixture = Fixture::new(settings());
    let world = fixture.server.world().clone();
    let sleep = world.layout().shard_sleep(SEAT);
    let is_idle = |desks: &mut Desks| {
        let before = world.load(sleep, Ordering::Relaxed);
        let armed = desks.arm();
        // Nobody is told that the shard sleeps, and nothing makes it wake.
        let untouched = world.load(sleep, Ordering::Relaxed) == before;
        desks.disarm();
        !desks.busy && armed && untouched && desks.next_deadline().is_none()
    };
    assert!(is_idle(&mut fixture.desks));
    let lead = fixture.offer(b"").unwrap();
    assert!(!is_idle(&mut fixture.desks));
    let job = fixture.claim().unwrap();
    fixture.answer(job, b"answer");
    fixture.turn();
    assert!(fixture.is_told());
    assert_eq!(body(lead.take_reply()), b"answer");
    drop(lead);
    fixture.turn();
    assert!(is_idle(&mut fixture.desks), "as before");
}

#[test]
fn the_jobs_of_a_turn_are_one_wake() {
    let mut fixture = Fixture::new(settings());
    assert!(fixture.claim().is_none(), "the worker sleeps now");
    let leads: Vec<Lead> = (0..8).map(|_| fixture.offer(b"body").unwrap()).collect();
    assert_eq!(fixture.count(ShardCounter::SignalsSent), 0, "it is woken at the end of the turn");
    fixture.turn();
    assert_eq!(fixture.count(ShardCounter::SignalsSent), 1);
    drop(leads);
    fixture.turn();
    assert!(fixture.claim().is_none(), "what nobody waits for is not begun");
    fixture.turn();
    assert_eq!(fixture.count(ShardCounter::Cancelled), 8);
}

#[test]
fn a_shard_sleeps_only_while_no_answer_is_there() {
    let mut fixture = Fixture::new(settings());
    let lead = fixture.offer(b"").unwrap();
    fixture.turn();
    let job = fixture.claim().unwrap();
    assert!(fixture.desks.arm());
    fixture.desks.disarm();
    assert!(!fixture.desks.is_work_waiting());
    assert_eq!(fixture.desks.spin(), settings().spin);
    fixture.answer(job, b"");
    assert!(fixture.desks.is_work_waiting());
    assert!(!fixture.desks.arm());
    fixture.turn();
    assert!(fixture.desks.spin().is_zero() && !fixture.desks.is_work_waiting());
    drop(lead);
}

#[test]
fn a_loan_keeps_the_slot_until_it_is_dropped() {
    let mut fixture = Fixture::new(settings());
    let content: Vec<u8> = (0..200_000u32).map(|at| (at / 7) as u8).collect();
    let mut leads = Vec::new();
    for _ in 0..8 {
        leads.push(fixture.offer(b"").unwrap());
        let job = fixture.claim().unwrap();
        fixture.answer(job, &content);
    }
    fixture.turn();
    let replies: Vec<Option<Reply>> = leads.drain(..).map(|lead| lead.take_reply()).collect();
    fixture.turn();
    assert!(fixture.desks.busy, "somebody has something of it");
    assert!(fixture.desks.is_done(), "but no job is under way");
    // All slots are lent.
    let waits = fixture.offer(b"").unwrap();
    fixture.turn();
    assert!(fixture.claim().is_none());
    for reply in replies {
        assert!(body(reply) == content);
    }
    fixture.turn();
    let job = fixture.claim().unwrap();
    fixture.answer(job, b"later");
    fixture.turn();
    assert_eq!(body(waits.take_reply()), b"later");
    drop(waits);
    fixture.turn();
    assert!(!fixture.desks.busy);
}

#[test]
fn what_was_not_taken_leaves_nothing_behind() {
    let mut fixture = Fixture::new(PoolSettings { queue: 0, ..settings() });
    let leads: Vec<Lead> = (0..8).map(|_| fixture.offer(b"").unwrap()).collect();
    for _ in 0..100 {
        let Err(refused) = fixture.offer(b"") else { panic!("there is no room") };
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    drop(leads);
    fixture.turn();
    assert!(fixture.desks.is_done());
    // No worker looks at what they left in the queue, so the shard does, in its time.
    fixture.now.set(fixture.now.get() + 1_000_000_000);
    fixture.turn();
    assert!(!fixture.desks.busy);
    assert!(fixture.offer(b"").is_ok());
}

#[test]
fn a_desk_that_is_closed_takes_its_jobs_back() {
    let mut fixture = Fixture::new(settings());
    let lead = fixture.offer(b"").unwrap();
    let job = fixture.claim().unwrap();
    let waits = fixture.offer(b"").unwrap();
    let now = fixture.now();
    fixture.desks.close(now);
    assert!(fixture.server.is_cancelled(&job));
    fixture.answer(job, b"");
    assert!(fixture.claim().is_none());
    assert!(!fixture.server.sees_a_shard());
    drop((lead, waits));
}
