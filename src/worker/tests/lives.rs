//! How a worker ends, and what it still does until then.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::executor;
use crate::handler::{Request, Response, offload};
use crate::sys::process::Pid;

static GO_ON: AtomicBool = AtomicBool::new(false);
static EXITED: AtomicUsize = AtomicUsize::new(0);

fn until_told(_: &Request) -> Response {
    Response::stream("text/plain", async |sender| {
        sender.send("begun").await?;
        while !GO_ON.load(Ordering::SeqCst) {
            executor::sleep(Duration::from_millis(1)).await;
        }
        sender.send(", ended").await
    })
}

fn hello(_: &Request) -> &'static str {
    "hello"
}

async fn never(_: Request) -> &'static str {
    executor::sleep(Duration::from_secs(3600)).await;
    "too late"
}

fn routes() -> Vec<Offload> {
    vec![offload("cpu", until_told), offload("cpu", hello), offload("cpu", never)]
}

#[test]
fn a_worker_that_is_drained_finishes_its_stream_and_begins_nothing() {
    let mut plan = Plan::of(routes);
    plan.on_exit = || _ = EXITED.fetch_add(1, Ordering::SeqCst);
    let mut company = plan.start();
    let stream = company.submit(0, "/", b"");
    let mut got = Got::default();
    company.wait_for("the beginning", |company| {
        company.take_items(stream, &mut got);
        got.body == b"begun"
    });
    company.order(&ToChild::Drain { grace: PATIENCE });
    // The order and the job come one after the other; the worker looks for both at its own pace.
    let mut others = Vec::new();
    company.wait_for("a job that is left alone", |company| {
        let other = company.submit(1, "/", b"");
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            company.client.collect();
            if let Some(ended) = company.client.poll_outcome() {
                company.client.release(ended.ticket);
                return false;
            }
        }
        others.push(other);
        true
    });
    GO_ON.store(true, Ordering::SeqCst);
    company.wait_for("the end of the stream", |company| company.take_items(stream, &mut got));
    assert_eq!(got.body, b"begun, ended");
    assert_eq!(company.end(), Exit::Clean);
    assert_eq!(EXITED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_worker_leaves_when_its_time_is_over() {
    for order in [ToChild::Stop, ToChild::Drain { grace: Duration::from_millis(20) }] {
        let mut company = Plan::of(routes).start();
        let _pending = company.submit(2, "/", b"");
        let ticket = company.submit(1, "/", b"");
        assert_eq!(company.answer(ticket).body, b"hello", "a sleeping task keeps nobody waiting");
        company.order(&order);
        assert_eq!(company.end(), Exit::Clean);
    }
}

#[test]
fn a_worker_leaves_a_pool_that_stops() {
    let mut company = Plan::of(routes).start();
    let ticket = company.submit(1, "/", b"");
    assert_eq!(company.answer(ticket).body, b"hello");
    company.registry.stop();
    assert_eq!(company.end(), Exit::Clean);
}

#[test]
fn a_supervisor_that_closes_the_channel_wants_the_place() {
    let mut company = Plan::of(routes).start();
    let (ours, theirs) = channel::pair().unwrap();
    drop(theirs);
    company.channel = ours;
    assert_eq!(company.end(), Exit::Clean);
}

/// A process that can be taken for a supervisor.
fn stand_in() -> (Child, PidFd) {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pidfd = PidFd::open_child(Pid::from_number(child.id()).unwrap()).unwrap();
    (child, pidfd)
}

#[test]
fn a_worker_outlives_its_supervisor_as_long_as_there_is_a_shard() {
    let (mut child, supervisor) = stand_in();
    let mut company = Plan { supervisor, ..Plan::of(routes) }.start();
    child.kill().unwrap();
    child.wait().unwrap();
    let (ours, theirs) = channel::pair().unwrap();
    drop(theirs);
    company.channel = ours;
    // Longer than it takes the worker to see it.
    let until = Instant::now() + Duration::from_millis(600);
    while Instant::now() < until {
        let ticket = company.submit(1, "/", b"");
        assert_eq!(company.answer(ticket).body, b"hello");
    }
    let Company { registry, .. } = &company;
    registry.bury_shard(SHARD);
    assert_eq!(company.end(), Exit::Clean);
}

#[test]
fn a_worker_that_spins_and_one_that_sleeps_answer_alike() {
    let spin = SpinPolicy { window_ns: 25_000, gap_ns: 25_000, beside_others: true };
    for spin in [SpinPolicy::NEVER, spin] {
        let mut company = Plan { spin, ..Plan::of(routes) }.start();
        for round in 0..300 {
            let ticket = company.submit(1, "/", b"");
            assert_eq!(company.answer(ticket).body, b"hello");
            if round % 100 == 0 {
                company.wait_for("its sleep", |company| company.is_worker_asleep());
            }
        }
        company.close();
    }
}
