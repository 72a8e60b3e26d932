//! A worker on a thread of its own, over real memory; the test is its shard and its supervisor.

mod forms;
mod lives;
mod streams;
mod threads;

use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::http::{HeaderName, HeaderValue, StatusCode};

use super::{Jobs, Owned, Pool, PoolCode, Route, Worker};
use crate::exit::Exit;
use crate::handler::{Handler, IntoHandler, Offload};
use crate::http::{BodyLength, Head, Params, Time, Version};
use crate::offload::chunks::{StreamItem, Unsent};
use crate::offload::client::{Client, Terms, Ticket};
use crate::offload::death::Registry;
use crate::offload::layout::{BLOCK_BYTES, Doorbell, Shape, Span};
use crate::offload::message::{
    Carriage, RequestOut, RequestParts, ResponseIn, RouteId, decode_trailers,
};
use crate::offload::payload::{Payload, Writer};
use crate::offload::region::{Mapped, Region};
use crate::offload::server::SpinPolicy;
use crate::offload::slot::{Outcome, Retry};
use crate::offload::word::{ShardIndex, WorkerIndex, is_asleep};
use crate::offload::world::{Ordering, World};
use crate::sys::channel::{self, Channel, FromChild, Received, ToChild};
use crate::sys::clock::monotonic_ns;
use crate::sys::process::{PidFd, own_pid};
use crate::sys::signal::{Signal, SignalFd};
use crate::sys::{descriptors, poll};

/// The memory: one shard, one worker, few blocks, so that they run out.
const SHAPE: Shape = Shape {
    shards: 1,
    workers: 1,
    slots: 8,
    slot_bytes: 4096,
    request_blocks: 20,
    response_blocks: 20,
};
const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
const SLOT: usize = SHAPE.slot_bytes as usize;
const BLOCK: usize = BLOCK_BYTES as usize;
/// Nothing that comes at all takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the worker is set up; everything that is made of it is made on its own thread.
struct Plan {
    routes: fn() -> Vec<Offload>,
    threads: usize,
    spin: SpinPolicy,
    on_exit: fn(),
    supervisor: PidFd,
}

impl Plan {
    fn of(routes: fn() -> Vec<Offload>) -> Self {
        let supervisor = PidFd::open(own_pid()).unwrap();
        Self { routes, threads: 1, spin: SpinPolicy::NEVER, on_exit: || (), supervisor }
    }

    fn on_threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    fn start(self) -> Company {
        let (mut company, region, channel) = Company::without_worker();
        company.worker = Some(thread::spawn(move || self.live(region, channel)));
        company.wait_for("the worker is ready", |company| {
            company.channel.receive().unwrap() == Received::Message(FromChild::Ready)
        });
        company
    }

    fn live(self, region: Arc<Region>, channel: Channel) -> Exit {
        let routes = routes_of((self.routes)());
        let on_exit = self.on_exit;
        let owned = Owned {
            signals: SignalFd::open(&[Signal::Interrupt]).unwrap(),
            terminate: descriptors::doorbell().unwrap(),
            supervisor: self.supervisor,
        };
        let (threads, spin) = (self.threads, self.spin);
        let worker = Worker {
            code: PoolCode::of(Pool::new().on_exit(move |()| on_exit())),
            state: None,
            jobs: Jobs { region, index: WORKER, routes, jobs_max: None, threads, spin },
            channel,
            owned,
        };
        worker.run()
    }
}

/// A worker with those around it.
struct Company {
    region: Arc<Region>,
    registry: Registry<Mapped>,
    client: Client<Mapped>,
    channel: Channel,
    worker: Option<JoinHandle<Exit>>,
}

/// A response as a shard gets it.
#[derive(Debug, Default, Eq, PartialEq)]
struct Got {
    status: u16,
    fields: Vec<(HeaderName, HeaderValue)>,
    /// What its head says of the body: all in one message, or chunks.
    carriage: Option<Carriage>,
    body: Vec<u8>,
    trailers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the stream broke off.
    failed: bool,
}

impl Company {
    /// Memory with a shard and a place for a worker, which has the other end of the channel.
    fn without_worker() -> (Self, Arc<Region>, Channel) {
        let region = Arc::new(Region::create(SHAPE, SHAPE.workers).unwrap());
        let registry = Registry::of(&region);
        registry.enlist(WORKER);
        let client = Client::of(&region, SHARD);
        let (ours, theirs) = channel::pair().unwrap();
        let memory = Arc::clone(&region);
        (Self { region: memory, registry, client, channel: ours, worker: None }, region, theirs)
    }

    /// Waits until something is so.
    #[track_caller]
    fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < until, "not in time: {what}");
            self.rest();
            self.client.collect();
            self.client.handle_timeout(monotonic_ns());
            // Whoever waits looks at all there is.
            while self.client.poll_moved().is_some() {}
        }
    }

    /// Sleeps until the worker rings, and for a moment at most: others may bring what is waited
    /// for.
    fn rest(&mut self) {
        if self.client.arm() {
            let doorbell = self.region.doorbell(Doorbell::Shard(SHARD));
            poll::wait_readable(&[doorbell], Some(Duration::from_millis(1))).unwrap();
            descriptors::take_count(doorbell);
            self.client.disarm();
        }
    }

    fn is_worker_asleep(&self) -> bool {
        let world = self.client.world();
        is_asleep(world.load(world.layout().worker_sleep(WORKER), Ordering::Relaxed))
    }

    /// Submits a request to route `route`, all of it in one message.
    fn submit(&mut self, route: u16, target: &str, body: &[u8]) -> Ticket {
        let carriage = Carriage::Whole(body.len() as u64);
        self.submit_as("POST", (route, target), carriage, body)
    }

    /// Submits a request whose body follows in chunks.
    fn submit_open(&mut self, route: u16, target: &str, length: Option<u64>) -> Ticket {
        self.submit_as("POST", (route, target), Carriage::Chunks(length), b"")
    }

    fn submit_as(
        &mut self,
        method: &str,
        (route, target): (u16, &str),
        carriage: Carriage,
        body: &[u8],
    ) -> Ticket {
        let mut head = Head::new();
        head.restore(method, Version::Http11, target, BodyLength::None).unwrap();
        head.restore_field(b"X-Test", b"yes").unwrap();
        let mut params = Params::new();
        params.begin(&Rc::from(["name".into()]));
        params.push_decoded("value");
        let (route, deadline) = (RouteId(route), Time::from_nanos(u64::MAX / 2));
        let parts = RequestParts { head: &head, params: &params, route, carriage, deadline };
        let out = RequestOut::new(parts).unwrap();
        let bytes = out.head_bytes() + body.len();
        let draft = match carriage {
            Carriage::Whole(_) => self.client.draft(bytes as u64),
            Carriage::Chunks(_) => self.client.draft_opening(bytes as u64),
        };
        let draft = draft.unwrap();
        let payload = self.client.payload(&draft);
        let mut writer = Writer::new(self.client.world(), payload);
        out.encode(&mut writer);
        writer.put(body);
        let ticket = self.client.submit_draft(draft, u32::try_from(bytes).unwrap(), far());
        self.client.wake();
        ticket
    }

    /// Submits bytes that are whatever they are.
    fn submit_raw(&mut self, message: &[u8]) -> Ticket {
        let ticket = self.client.submit(message, far()).unwrap();
        self.client.wake();
        ticket
    }

    /// Sends all of `bytes`, as fast as the worker takes them; false if it wants no more.
    fn send(&mut self, ticket: Ticket, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let mut sent = Err(Unsent::Full);
            self.wait_for("room for a chunk", |company| {
                sent = company.client.send(ticket, bytes);
                !matches!(sent, Err(Unsent::Full | Unsent::NoBlocks))
            });
            match sent {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => return false,
            }
        }
        self.client.wake();
        true
    }

    fn send_end(&mut self, ticket: Ticket, trailers: &[u8]) {
        self.wait_for("room for the end", |company| {
            match company.client.send_end(ticket, trailers) {
                Ok(()) | Err(Unsent::Over) => true,
                Err(Unsent::Full | Unsent::NoBlocks) => false,
            }
        });
        self.client.wake();
    }

    /// The outcome of the only job that ends next.
    #[track_caller]
    fn outcome(&mut self, ticket: Ticket) -> Outcome {
        let mut outcome = None;
        self.wait_for("an outcome", |company| {
            outcome = company.client.poll_outcome();
            outcome.is_some()
        });
        let ended = outcome.unwrap();
        assert_eq!(ended.ticket, ticket);
        ended.outcome
    }

    /// The answer of a job, whichever way it comes.
    #[track_caller]
    fn answer(&mut self, ticket: Ticket) -> Got {
        self.answer_while(ticket, |_| ())
    }

    /// The same for a request of which `body` is still to be sent.
    #[track_caller]
    fn answer_sending(&mut self, ticket: Ticket, body: &[u8]) -> Got {
        let mut rest = Some(body);
        self.answer_while(ticket, |company| {
            while let Some(bytes) = rest {
                rest = match company.client.send(ticket, bytes) {
                    _ if bytes.is_empty() => match company.client.send_end(ticket, b"") {
                        Ok(()) | Err(Unsent::Over) => None,
                        Err(Unsent::Full | Unsent::NoBlocks) => return,
                    },
                    Ok(count) => Some(&bytes[count..]),
                    Err(Unsent::Over) => None,
                    Err(Unsent::Full | Unsent::NoBlocks) => return,
                };
            }
        })
    }

    #[track_caller]
    fn answer_while(&mut self, ticket: Ticket, mut work: impl FnMut(&mut Self)) -> Got {
        let mut got = Got::default();
        let mut ended = None;
        let mut over = false;
        self.wait_for("an answer", |company| {
            work(company);
            over |= company.take_items(ticket, &mut got);
            while let Some(next) = company.client.poll_outcome() {
                assert_eq!(next.ticket, ticket);
                let Outcome::Answered(response) = next.outcome else {
                    panic!("no answer but {:?}", next.outcome)
                };
                if got.carriage.is_none() {
                    let answer = company.client.answer(ticket, response);
                    over |= company.read_head(&answer, response.bytes, &mut got);
                }
                ended = Some(response);
            }
            over && ended.is_some()
        });
        assert_eq!(got.status, ended.unwrap().status);
        self.client.release(ticket);
        got
    }

    /// Takes what has come of a stream; true when it has ended.
    fn take_items(&mut self, ticket: Ticket, into: &mut Got) -> bool {
        while let Some(item) = self.client.receive(ticket).unwrap() {
            let mut over = false;
            match item {
                StreamItem::Opening(response) => {
                    let answer = self.client.answer(ticket, response);
                    self.read_head(&answer, response.bytes, into);
                }
                StreamItem::Bytes(span) => into.body.extend(self.copy(span)),
                StreamItem::End(trailers) => {
                    over = true;
                    let bytes = trailers.map(|span| self.copy(span));
                    into.trailers = bytes.map_or(vec![], |bytes| decode_trailers(&bytes).unwrap());
                }
                StreamItem::Failed => (over, into.failed) = (true, true),
            }
            self.client.taken(ticket);
            if over {
                return true;
            }
        }
        false
    }

    /// Reads a head, and the body behind it; true when that is all.
    fn read_head(&self, answer: &Payload, bytes: u32, into: &mut Got) -> bool {
        let mut message = vec![0; bytes as usize];
        answer.read(self.client.world(), 0, &mut message);
        let opened = ResponseIn::open(&message).unwrap();
        opened.check_length(bytes.into()).unwrap();
        into.status = opened.status.as_u16();
        let content_type = opened.read(&mut into.fields).unwrap();
        into.fields.extend(content_type.map(|value| (::http::header::CONTENT_TYPE, value)));
        into.carriage = Some(opened.carriage);
        into.body.extend_from_slice(&message[opened.head_bytes()..]);
        matches!(opened.carriage, Carriage::Whole(_))
    }

    fn copy(&self, span: Span) -> Vec<u8> {
        let mut bytes = vec![0; span.bytes() as usize];
        self.client.world().copy_out(span, &mut bytes);
        bytes
    }

    fn order(&self, order: &ToChild) {
        self.channel.send(order).unwrap();
    }

    /// Waits for the end of the worker.
    #[track_caller]
    fn end(&mut self) -> Exit {
        self.wait_for("the end of the worker", |company| {
            company.worker.as_ref().is_some_and(JoinHandle::is_finished)
        });
        self.worker.take().unwrap().join().unwrap()
    }

    /// Everything is free again, and the worker leaves in good order.
    #[track_caller]
    fn close(mut self) {
        self.wait_for("free slots and blocks", |company| {
            company.client.is_idle()
                && company.client.free() == SHAPE.slots as usize
                && company.client.free_blocks() == SHAPE.request_blocks as usize
        });
        self.order(&ToChild::Drain { grace: PATIENCE });
        assert_eq!(self.end(), Exit::Clean);
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        // A test that fails leaves no worker behind.
        let _ = self.channel.send(&ToChild::Stop);
    }
}

fn routes_of(handlers: Vec<Offload>) -> Vec<Option<Route>> {
    let route = |(number, offload): (usize, Offload)| {
        let Handler::Job(job) = offload.into_handler() else { panic!("not a job") };
        Some(Route { name: format!("/{number}"), params: vec!["name".into()], run: job.run })
    };
    handlers.into_iter().enumerate().map(route).collect()
}

/// Terms that do not matter.
fn far() -> Terms {
    let far = u64::MAX / 2;
    Terms { start_by: far, deadline: far, retry: Retry::Unstarted }
}

/// Bytes of which no two pieces look alike.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn plus_one(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.wrapping_add(1)).collect()
}

const OK: u16 = StatusCode::OK.as_u16();
