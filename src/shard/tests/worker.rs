//! A worker of the tests: it does what the query of a request says, on a thread of its own.
//!
//! | query | what it does |
//! |---|---|
//! | `echo` | the body back, each byte + 1; as it comes, if it comes in pieces |
//! | `bytes=N` | N bytes |
//! | `stream=NxB` | N pieces of B bytes, then trailers |
//! | `begin=B` | B bytes of a stream that has no end |
//! | `hold` | nothing until the test lets it go |
//! | `refuse` | 403, without reading the body |
//! | `garbage` | an answer that is no message |
//! | `die` | nothing any more: the thread ends as a process that was killed |

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, StatusCode};

use crate::http::ResponseHead;
use crate::offload::chunks::{StreamItem, Unsent};
use crate::offload::death::Registry;
use crate::offload::layout::{Doorbell, Shape};
use crate::offload::message::{Carriage, RequestIn, ResponseOut, encode_trailers};
use crate::offload::payload::Writer;
use crate::offload::region::{Mapped, Region};
use crate::offload::server::{Draft, Job, JobId, Next, Server, SpinPolicy};
use crate::offload::slot::Form;
use crate::offload::word::WorkerIndex;
use crate::offload::world::World;
use crate::sys::poll::wait_readable;

/// The memory of a pool with what the tests know of its workers.
pub(super) struct Pool {
    pub(super) region: Arc<Region>,
    pub(super) registry: Registry<Mapped>,
    pub(super) told: Arc<Told>,
}

/// What workers tell the tests, and the other way round.
#[derive(Default)]
pub(super) struct Told {
    /// Jobs that began, by their queries.
    pub(super) started: Mutex<Vec<String>>,
    /// Running jobs that nobody wanted any more.
    pub(super) withdrawn: AtomicUsize,
    /// Jobs of `hold` that may go on.
    pub(super) released: AtomicUsize,
    stop: AtomicBool,
}

impl Told {
    pub(super) fn started(&self) -> usize {
        self.started.lock().unwrap().len()
    }

    pub(super) fn release(&self, jobs: usize) {
        self.released.fetch_add(jobs, Ordering::SeqCst);
    }
}

impl Pool {
    pub(super) fn new(slots: u32) -> Self {
        let shape = Shape {
            shards: 1,
            workers: 4,
            slots,
            slot_bytes: 4096,
            request_blocks: 64,
            response_blocks: 32,
        };
        let region = Arc::new(Region::create(shape, 4).unwrap());
        Self { registry: Registry::of(&region), region, told: Arc::default() }
    }

    /// Start a worker at a place that is free.
    pub(super) fn start(&self, index: u8) -> TestWorker {
        let worker = WorkerIndex(index);
        self.registry.enlist(worker);
        let (region, told) = (Arc::clone(&self.region), Arc::clone(&self.told));
        TestWorker { worker, thread: std::thread::spawn(move || work(&region, worker, &told)) }
    }

    /// End all workers in good order.
    pub(super) fn stop(&self, workers: Vec<TestWorker>) {
        self.told.stop.store(true, Ordering::SeqCst);
        self.registry.stop();
        for worker in workers {
            worker.thread.join().unwrap();
        }
    }

    /// Wait until a worker has died, and bury it.
    pub(super) fn bury(&self, worker: TestWorker) {
        worker.thread.join().unwrap();
        self.registry.bury(worker.worker);
    }
}

pub(super) struct TestWorker {
    worker: WorkerIndex,
    thread: JoinHandle<()>,
}

/// What a job is about.
struct Running {
    id: JobId,
    job: Job,
    task: Task,
}

enum Task {
    /// The beginning of the body, and whether more of it comes.
    Echo {
        opened: bool,
        body: Vec<u8>,
        ended: bool,
    },
    Hold,
    /// Pieces left, bytes of a piece, bytes of the current one that are sent.
    Stream {
        pieces: usize,
        bytes: usize,
        sent: usize,
        ends: bool,
    },
}

fn work(region: &Arc<Region>, worker: WorkerIndex, told: &Told) {
    let mut server = Server::of(region, worker, 64, SpinPolicy::NEVER);
    let mut running: Vec<Running> = Vec::new();
    loop {
        match server.poll() {
            Next::Job(job) => match begin(&mut server, job, told) {
                Begun::Died => return,
                Begun::Done => {}
                Begun::Runs(one) => running.push(one),
            },
            Next::Leave => return server.detach(),
            Next::Withdrawn(id) => {
                told.withdrawn.fetch_add(1, Ordering::SeqCst);
                if let Some(at) = running.iter().position(|one| one.id == id) {
                    let one = running.swap_remove(at);
                    answer(&mut server, one.job, StatusCode::OK, b"late");
                }
            }
            Next::Block => {
                let doorbell = region.doorbell(Doorbell::Worker(worker));
                wait_readable(&[doorbell.as_fd()], Some(Duration::from_micros(500))).unwrap();
                crate::sys::descriptors::take_count(doorbell);
                if told.stop.load(Ordering::SeqCst) && running.is_empty() {
                    return server.detach();
                }
            }
            Next::Moved(_) | Next::Spin => {}
        }
        let all = std::mem::take(&mut running);
        running.extend(all.into_iter().filter_map(|one| advance(&mut server, one, told)));
        server.calls();
    }
}

enum Begun {
    Died,
    Done,
    Runs(Running),
}

fn begin(server: &mut Server<Mapped>, job: Job, told: &Told) -> Begun {
    let id = job.id();
    let mut message = vec![0; job.request().bytes as usize];
    server.request(&job).unwrap().read(server.world(), 0, &mut message);
    let request = RequestIn::open(&message).unwrap();
    let (mut head, mut params) = (crate::http::Head::new(), crate::http::Params::new());
    request.read(&std::rc::Rc::from([]), &mut head, &mut params).unwrap();
    let query = head.query().unwrap_or_default().to_owned();
    told.started.lock().unwrap().push(query.clone());
    let (what, number) = query.split_once('=').unwrap_or((&query, "0"));
    let body = message[request.head_bytes()..].to_vec();
    let task = match what {
        "echo" => {
            let ended = matches!(request.carriage, Carriage::Whole(_));
            Task::Echo { opened: false, body, ended }
        }
        "bytes" => {
            let bytes = number.parse().unwrap();
            if answer_or(server, &job, bytes) {
                return finish(server, job, &vec![b'x'; bytes]);
            }
            Task::Stream { pieces: 1, bytes, sent: 0, ends: true }
        }
        "stream" => {
            let (pieces, bytes) = number.split_once('x').unwrap();
            let (pieces, bytes) = (pieces.parse().unwrap(), bytes.parse().unwrap());
            open(server, &job, None);
            Task::Stream { pieces, bytes, sent: 0, ends: true }
        }
        "begin" => {
            open(server, &job, None);
            Task::Stream { pieces: 1, bytes: number.parse().unwrap(), sent: 0, ends: false }
        }
        "hold" => Task::Hold,
        "refuse" => {
            if job.request().form == Form::Chunks {
                server.refuse(&job);
            }
            answer(server, job, StatusCode::FORBIDDEN, b"no");
            return Begun::Done;
        }
        "garbage" => {
            assert!(server.complete(job, 200, b"this is no message at all").is_ok());
            return Begun::Done;
        }
        "die" => return Begun::Died,
        _ => panic!("{query}"),
    };
    Begun::Runs(Running { id, job, task })
}

/// Whether so many bytes can be answered as a whole; otherwise their stream is opened.
fn answer_or(server: &mut Server<Mapped>, job: &Job, bytes: usize) -> bool {
    match server.draft(bytes as u64 + 1000) {
        Some(draft) => {
            server.discard(draft);
            true
        }
        None => {
            open(server, job, Some(bytes as u64));
            false
        }
    }
}

fn finish(server: &mut Server<Mapped>, job: Job, body: &[u8]) -> Begun {
    answer(server, job, StatusCode::OK, body);
    Begun::Done
}

const FIELDS: [(HeaderName, HeaderValue); 1] =
    [(HeaderName::from_static("x-by"), HeaderValue::from_static("worker"))];

fn head(status: StatusCode, carriage: Carriage) -> ResponseOut<'static> {
    static TEXT: HeaderValue = HeaderValue::from_static("text/x-test");
    static BY: std::sync::LazyLock<[(HeaderName, HeaderValue); 1]> =
        std::sync::LazyLock::new(|| FIELDS);
    let head = ResponseHead { status, content_type: Some(&TEXT), fields: &*BY };
    ResponseOut::new(head, carriage).unwrap()
}

fn answer(server: &mut Server<Mapped>, job: Job, status: StatusCode, body: &[u8]) {
    let out = head(status, Carriage::Whole(body.len() as u64));
    let bytes = out.head_bytes() + body.len();
    let draft = server.draft(bytes as u64).expect("there are blocks");
    write(server, &job, &draft, &out, body);
    server.complete_draft(job, draft, status.as_u16(), bytes as u32);
}

fn open(server: &mut Server<Mapped>, job: &Job, length: Option<u64>) {
    let out = head(StatusCode::OK, Carriage::Chunks(length));
    let draft = server.draft_opening(out.head_bytes() as u64).expect("there is room for a head");
    write(server, job, &draft, &out, b"");
    server.open(job, draft, 200, out.head_bytes() as u32);
}

fn write(server: &Server<Mapped>, job: &Job, draft: &Draft, out: &ResponseOut<'_>, body: &[u8]) {
    let mut writer = Writer::new(server.world(), server.payload(job, draft));
    out.encode(&mut writer);
    writer.put(body);
}

/// Does what can be done now; gives the job back unless it is finished.
fn advance(server: &mut Server<Mapped>, mut one: Running, told: &Told) -> Option<Running> {
    let is_over = match &mut one.task {
        Task::Hold => {
            let released = &told.released;
            let less = |number: usize| number.checked_sub(1);
            if released.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
                return Some(one);
            }
            answer(server, one.job, StatusCode::OK, b"held");
            return None;
        }
        Task::Echo { opened, body, ended } => {
            if *ended && !*opened && body.len() <= 64 << 10 {
                let body: Vec<u8> = body.iter().map(|byte| byte.wrapping_add(1)).collect();
                answer(server, one.job, StatusCode::OK, &body);
                return None;
            }
            echo(server, &one.job, opened, body, ended)
        }
        Task::Stream { pieces, bytes, sent, ends } => {
            stream(server, &one.job, (pieces, sent), *bytes) && *ends && end(server, &one.job)
        }
    };
    if is_over {
        server.finish_stream(one.job);
        return None;
    }
    Some(one)
}

/// Passes the body on as it comes; whether all of it was.
fn echo(
    server: &mut Server<Mapped>,
    job: &Job,
    opened: &mut bool,
    body: &mut Vec<u8>,
    ended: &mut bool,
) -> bool {
    if !std::mem::replace(opened, true) {
        open(server, job, None);
    }
    loop {
        if !body.is_empty() {
            let piece: Vec<u8> =
                body.iter().take(65_536).map(|byte| byte.wrapping_add(1)).collect();
            match server.send(job, &piece) {
                Ok(sent) => drop(body.drain(..sent)),
                Err(_) => return false,
            }
            continue;
        }
        if *ended {
            return server.send_end(job, b"").is_ok();
        }
        match server.receive(job).unwrap() {
            None => return false,
            Some(StreamItem::Bytes(span)) => {
                *body = vec![0; span.bytes() as usize];
                server.world().copy_out(span, body);
            }
            Some(StreamItem::End(_)) => *ended = true,
            Some(StreamItem::Failed) => {
                let _ = server.send_failed(job);
                return true;
            }
            Some(StreamItem::Opening(_)) => panic!("a request has no opening item"),
        }
        server.taken(job);
    }
}

/// Sends what goes; whether all bytes were sent.
fn stream(
    server: &mut Server<Mapped>,
    job: &Job,
    (pieces, sent): (&mut usize, &mut usize),
    bytes: usize,
) -> bool {
    while *pieces > 0 {
        match server.send(job, &vec![b'x'; bytes - *sent]) {
            Ok(more) => *sent += more,
            Err(Unsent::Over) => return true,
            Err(Unsent::Full | Unsent::NoBlocks) => return false,
        }
        if *sent == bytes {
            (*pieces, *sent) = (*pieces - 1, 0);
        }
    }
    true
}

fn end(server: &mut Server<Mapped>, job: &Job) -> bool {
    let mut trailers = Vec::new();
    let fields = [(HeaderName::from_static("x-last"), HeaderValue::from_static("yes"))];
    encode_trailers(&fields, &mut trailers).unwrap();
    matches!(server.send_end(job, &trailers), Ok(()) | Err(Unsent::Over))
}
