//! Plain handlers on threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use super::*;
use crate::executor;
use crate::handler::{Request, Response, offload};

static MEETING: Barrier = Barrier::new(2);

fn meet(_: &Request) -> Response {
    MEETING.wait();
    Response::fixed("met")
}

async fn beside(_: Request) -> &'static str {
    "beside"
}

#[test]
fn two_jobs_run_at_once() {
    let mut company = Plan::of(|| vec![offload("cpu", meet)]).on_threads(2).start();
    for _ in 0..20 {
        let tickets = [company.submit(0, "/", b""), company.submit(0, "/", b"")];
        let mut left = 2;
        company.wait_for("two answers", |company| {
            while let Some(ended) = company.client.poll_outcome() {
                assert!(tickets.contains(&ended.ticket));
                let Outcome::Answered(_) = ended.outcome else { panic!("{:?}", ended.outcome) };
                company.client.release(ended.ticket);
                left -= 1;
            }
            left == 0
        });
    }
    company.close();
}

static LOCKED: Mutex<()> = Mutex::new(());
static ENTERED: AtomicUsize = AtomicUsize::new(0);

fn wait_for_lock(_: &Request) -> Response {
    ENTERED.fetch_add(1, Ordering::SeqCst);
    let _guard = LOCKED.lock().unwrap();
    Response::fixed("unlocked")
}

#[test]
fn a_thread_that_blocks_blocks_no_async_handler_and_takes_its_answer_along() {
    let mut company = Plan::of(|| vec![offload("cpu", wait_for_lock), offload("cpu", beside)])
        .on_threads(2)
        .start();
    let guard = LOCKED.lock().unwrap();
    let blocked = company.submit(0, "/", b"");
    company.wait_for("the handler", |_| ENTERED.load(Ordering::SeqCst) == 1);
    let ticket = company.submit(1, "/", b"");
    assert_eq!(company.answer(ticket).body, b"beside");
    drop(guard);
    assert_eq!(company.answer(blocked).body, b"unlocked");
    // One that is taken back keeps its slot until its thread is done.
    let guard = LOCKED.lock().unwrap();
    let blocked = company.submit(0, "/", b"");
    company.wait_for("the handler", |_| ENTERED.load(Ordering::SeqCst) == 2);
    assert!(company.client.cancel(blocked));
    assert_eq!(company.outcome(blocked), Outcome::Cancelled);
    let ticket = company.submit(1, "/", b"");
    assert_eq!(company.answer(ticket).body, b"beside");
    assert_eq!(company.client.free(), SHAPE.slots as usize - 1);
    drop(guard);
    company.close();
}

static DROPPED: AtomicBool = AtomicBool::new(false);
static PRODUCED: AtomicUsize = AtomicUsize::new(0);

struct Flag;

impl Drop for Flag {
    fn drop(&mut self) {
        DROPPED.store(true, Ordering::SeqCst);
    }
}

fn endless(_: &Request) -> Response {
    Response::stream("text/plain", async |sender| {
        let _flag = Flag;
        loop {
            // The executor's own means work on a thread as they do elsewhere.
            executor::sleep(Duration::from_micros(10)).await;
            sender.send(vec![b'.'; BLOCK]).await?;
            PRODUCED.fetch_add(1, Ordering::SeqCst);
        }
    })
}

#[test]
fn a_stream_of_a_thread_waits_for_room_and_ends_when_nobody_wants_it() {
    let mut company =
        Plan::of(|| vec![offload("cpu", endless), offload("cpu", beside)]).on_threads(2).start();
    let stream = company.submit(0, "/", b"");
    company.wait_for("a full window", |_| PRODUCED.load(Ordering::SeqCst) >= 8);
    for _ in 0..100 {
        let ticket = company.submit(1, "/", b"");
        assert_eq!(company.answer(ticket).body, b"beside");
    }
    assert!(PRODUCED.load(Ordering::SeqCst) <= 20);
    let mut got = Got::default();
    company.wait_for("more than a window", |company| {
        company.take_items(stream, &mut got);
        got.body.len() > 40 * BLOCK
    });
    assert!(company.client.cancel(stream));
    assert_eq!(company.outcome(stream), Outcome::Cancelled);
    company.wait_for("the end of the producer", |_| DROPPED.load(Ordering::SeqCst));
    company.close();
}

fn echo(request: &Request) -> Response {
    Response::bytes(plus_one(request.body()))
}

#[test]
fn more_jobs_than_threads_are_all_answered() {
    let mut company = Plan::of(|| vec![offload("cpu", echo)]).on_threads(3).start();
    for size in [0, 1, SLOT, SLOT + BLOCK, 14 * BLOCK] {
        let body = content(size);
        for _ in 0..5 {
            let ticket = company.submit(0, "/", &body);
            assert!(company.answer(ticket).body == plus_one(&body));
        }
    }
    let ticket = company.submit_open(0, "/", None);
    assert!(company.answer_sending(ticket, &content(2 << 20)).body == plus_one(&content(2 << 20)));
    let small: Vec<_> = (0..SHAPE.slots).map(|_| company.submit(0, "/", b"small")).collect();
    let mut left = small.len();
    company.wait_for("all answers", |company| {
        while let Some(ended) = company.client.poll_outcome() {
            company.client.release(ended.ticket);
            left -= 1;
        }
        left == 0
    });
    company.close();
}
