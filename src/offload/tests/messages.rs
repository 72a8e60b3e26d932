//! Messages of every length through both ends, on one thread: what arrives, what is held, and that
//! all of it is free afterwards.

use super::plain::Plain;
use super::talk::{Answering, Asking, How, Step};
use crate::offload::chunks::{Broken, Interests, StreamItem, Unsent, WINDOW};
use crate::offload::client::{Client, Refused, TICK_NS, Terms};
use crate::offload::death::{Fault, Registry};
use crate::offload::layout::{BLOCK_BYTES, REQUEST_EXTENTS_MAX, RESPONSE_EXTENTS_MAX, Shape};
use crate::offload::server::{Job, Next, Server, SpinPolicy};
use crate::offload::slot::{Ending, Form, Outcome, Response, Retry};
use crate::offload::word::{Owner, ShardIndex, SlotIndex, SlotState, StateWord, WorkerIndex};
use crate::offload::world::{Ordering, World};

const SLOT: usize = 256;
const BLOCK: usize = BLOCK_BYTES as usize;
const SHAPE: Shape = Shape {
    shards: 1,
    workers: 2,
    slots: 4,
    slot_bytes: SLOT as u32,
    request_blocks: 22,
    response_blocks: 20,
};

struct Pool<'a> {
    plain: &'a Plain,
    registry: Registry<&'a Plain>,
    client: Client<&'a Plain>,
    server: Server<&'a Plain>,
}

impl<'a> Pool<'a> {
    fn new(plain: &'a Plain) -> Self {
        let registry = Registry::create(plain);
        registry.enlist(WORKER);
        let client = Client::attach(plain, SHARD);
        let server = Server::attach(plain, WORKER, 4, SpinPolicy::NEVER);
        Self { plain, registry, client, server }
    }

    fn ask(&mut self, message: &[u8], how: How) -> Asking {
        Asking::begin(&mut self.client, message, how, TERMS).expect("there is room")
    }

    #[track_caller]
    fn job(&mut self) -> Job {
        for _ in 0..3 {
            if let Next::Job(job) = self.server.poll() {
                return job;
            }
        }
        panic!("there is no job");
    }

    #[track_caller]
    fn answering(&mut self) -> Answering {
        let job = self.job();
        Answering::begin(&self.server, job)
    }

    fn outcome(&mut self) -> Option<Outcome> {
        self.client.collect();
        self.client.handle_timeout(self.plain.clock.get());
        self.client.poll_outcome().map(|ended| ended.outcome)
    }

    /// A new incarnation in place of the worker.
    fn replace_worker(&mut self) {
        self.registry.bury(WORKER);
        self.registry.enlist(WORKER);
        self.server = Server::attach(self.plain, WORKER, 4, SpinPolicy::NEVER);
    }

    fn answered(&mut self) -> Response {
        match self.outcome() {
            Some(Outcome::Answered(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn assert_all_free(&mut self) {
        assert_eq!(self.client.free(), SHAPE.slots as usize);
        assert_eq!(self.client.free_blocks(), usize::from(SHAPE.request_blocks));
        assert_eq!(self.server.free_blocks(), usize::from(SHAPE.response_blocks));
        for slot in self.plain.layout.slots() {
            let word = self.plain.layout.slot(SHARD, slot).request_extents(0);
            let window = self.plain.words[word.index()].get() as u32;
            assert_eq!(window, 0, "the window of slot {}", slot.0);
        }
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 255) as u8).collect()
}

/// One job from its beginning to its end; the answer is the request, each byte one more.
#[track_caller]
fn pass(pool: &mut Pool<'_>, bytes: usize, there: How, back: How) {
    let (request, expected) = (content(bytes), answer(&content(bytes)));
    let mut asking = pool.ask(&request, there);
    let mut answering = pool.answering();
    let mut held = None;
    for _ in 0..40_000 {
        asking.send(&mut pool.client);
        asking.receive(&mut pool.client, 3);
        pool.client.wake();
        if answering.job.is_some() {
            if !answering.has_all {
                answering.receive(&mut pool.server);
            } else if answering.send(&mut pool.server).is_none() {
                assert_eq!(answering.request, request);
                let reply = answer(&answering.request);
                answering.answer(&mut pool.server, &reply, back, 207);
            }
            pool.server.calls();
        }
        if let Some(outcome) = pool.outcome() {
            let Outcome::Answered(response) = outcome else { panic!("{outcome:?}") };
            held = Some(response);
        }
        while pool.client.poll_moved().is_some() {}
        if let Some(response) = held
            && (response.form != Form::Chunks || asking.end.is_some())
        {
            if response.form != Form::Chunks {
                asking.read(&pool.client, response);
            }
            assert!(asking.answer == expected, "{bytes} bytes, {there:?}, {back:?}");
            assert_eq!(asking.status, 207);
            return pool.client.release(asking.ticket);
        }
    }
    panic!("no end: {bytes} bytes, {there:?}, {back:?}");
}

fn answer(request: &[u8]) -> Vec<u8> {
    request.iter().map(|byte| byte.wrapping_add(1)).collect()
}

#[test]
fn messages_of_every_border_go_there_and_back() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let all_there = SLOT + REQUEST_EXTENTS_MAX * BLOCK;
    let all_back = SLOT + RESPONSE_EXTENTS_MAX * BLOCK;
    let borders = [1, SLOT, SLOT + BLOCK, SLOT + 2 * BLOCK, all_there, all_back];
    let stream = How::Stream { head: 100, piece: BLOCK };
    for border in borders {
        for bytes in [border - 1, border, border + 1] {
            let there = if bytes <= all_there { How::Whole } else { stream };
            pass(&mut pool, bytes, there, How::Whole);
            pool.assert_all_free();
        }
    }
}

#[test]
fn long_messages_are_streams() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let stream = How::Stream { head: SLOT + 3 * BLOCK, piece: BLOCK };
    for bytes in [1 << 20, 10 << 20] {
        pass(&mut pool, bytes, stream, How::Whole);
        pass(&mut pool, bytes, stream, stream);
        pool.assert_all_free();
    }
    for bytes in [0, 1, 5, 700] {
        for piece in [1, 3] {
            let stream = How::Stream { head: 2, piece };
            pass(&mut pool, bytes, stream, stream);
            pass(&mut pool, bytes, How::Whole, stream);
            pass(&mut pool, bytes, stream, How::Whole);
            pool.assert_all_free();
        }
    }
}

#[test]
fn what_no_blocks_hold_is_refused_for_now_or_for_ever() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let all = (SLOT + REQUEST_EXTENTS_MAX * BLOCK) as u64;
    assert_eq!(pool.client.draft(all + 1).unwrap_err(), Refused::TooLong);
    assert_eq!(pool.client.draft(u64::MAX).unwrap_err(), Refused::TooLong);
    assert_eq!(pool.client.draft_opening((SLOT + 8 * BLOCK) as u64).unwrap_err(), Refused::TooLong);
    let first = pool.client.draft(all).unwrap();
    assert_eq!(pool.client.draft(all).unwrap_err(), Refused::NoBlocks);
    let small = pool.client.draft(SLOT as u64).unwrap();
    pool.client.discard(first);
    pool.client.discard(small);
    pool.assert_all_free();
    assert!(pool.server.draft((SLOT + 17 * BLOCK) as u64).is_none());
    let all = pool.server.draft((SLOT + 16 * BLOCK) as u64).unwrap();
    assert!(pool.server.draft((SLOT + 5 * BLOCK) as u64).is_none(), "only four are left");
    assert!(pool.server.draft_opening(SLOT as u64 + 1).is_none(), "they are for pieces");
    pool.server.discard(all);
    pool.assert_all_free();
}

#[test]
fn a_draft_of_more_than_is_written_gives_the_rest_back() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let draft = pool.client.draft((SLOT + 3 * BLOCK) as u64).unwrap();
    pool.client.payload(&draft).write(pool.client.world(), 0, b"short");
    let ticket = pool.client.submit_draft(draft, 5, TERMS);
    assert_eq!(pool.client.free_blocks(), usize::from(SHAPE.request_blocks));
    let job = pool.job();
    assert_eq!((job.request().form, job.request().bytes), (Form::Inline, 5));
    let draft = pool.server.draft((SLOT + 3 * BLOCK) as u64).unwrap();
    pool.server.payload(&job, &draft).write(pool.server.world(), 0, &[7; SLOT + 1]);
    pool.server.complete_draft(job, draft, 200, SLOT as u32 + 1);
    let response = pool.answered();
    assert_eq!(pool.client.answer(ticket, response).extents().len(), 1);
    pool.client.release(ticket);
    pool.assert_all_free();
}

#[test]
fn a_full_window_stops_the_worker_and_a_slow_client_lets_it_go_on() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let mut asking = pool.ask(b"stream", How::Whole);
    let mut answering = pool.answering();
    let stream = How::Stream { head: 4, piece: 1 };
    assert_eq!(answering.answer(&mut pool.server, &content(40), stream, 200), Step::More);
    let room = Interests { item: false, room: true };
    let mut sent = 0;
    while answering.send(&mut pool.server) == Some(Step::More) {
        sent += 1;
    }
    assert_eq!(sent, WINDOW - 1, "one is the opening");
    assert_eq!(answering.send(&mut pool.server), Some(Step::Stuck(room)));
    pool.server.wait_for(answering.job.as_ref().unwrap(), room);
    assert!(matches!(pool.server.poll(), Next::Block));
    pool.outcome();
    assert_eq!(pool.client.poll_moved(), Some(asking.ticket));
    assert_eq!(pool.client.poll_moved(), None, "once for all of it");
    assert!(matches!(pool.server.poll(), Next::Block), "nothing was taken yet");
    assert!(asking.receive(&mut pool.client, 2));
    assert!(!plain.has_rung(1), "all wakes of a turn at once");
    pool.client.wake();
    assert!(plain.has_rung(1));
    assert!(
        matches!(pool.server.poll(), Next::Moved(id) if id == answering.job.as_ref().unwrap().id())
    );
    assert!(matches!(pool.server.poll(), Next::Block), "it is said once");
    assert_eq!(answering.send(&mut pool.server), Some(Step::More));
    assert_eq!(answering.send(&mut pool.server), Some(Step::More));
    assert_eq!(answering.send(&mut pool.server), Some(Step::Stuck(room)));
}

#[test]
fn a_worker_that_waits_for_a_block_is_woken_when_an_answer_is_read() {
    let plain = Plain::with(Shape { response_blocks: 1, ..SHAPE });
    let mut pool = Pool::new(&plain);
    let first = pool.ask(b"first", How::Whole);
    let second = pool.ask(b"second", How::Whole);
    let mut answering = pool.answering();
    let whole = answering.answer(&mut pool.server, &content(SLOT + 1), How::Whole, 200);
    assert_eq!(whole, Step::Done);
    let mut answering = pool.answering();
    let head = answering.answer(&mut pool.server, &content(SLOT + 1), How::Whole, 200);
    assert_eq!(head, Step::More, "it became a stream");
    let stuck = Some(Step::Stuck(Interests { item: false, room: true }));
    assert_eq!(answering.send(&mut pool.server), stuck);
    let job = answering.job.as_ref().unwrap();
    assert!(matches!(pool.server.send(job, b"x"), Err(Unsent::NoBlocks)));
    pool.server.wait_for(job, Interests { item: false, room: true });
    assert!(matches!(pool.server.poll(), Next::Block));
    pool.answered();
    pool.client.release(first.ticket);
    pool.client.wake();
    assert!(plain.has_rung(1));
    assert!(matches!(pool.server.poll(), Next::Moved(_)));
    assert_eq!(answering.send(&mut pool.server), Some(Step::More));
    assert!(pool.client.cancel(second.ticket));
}

#[test]
fn streams_go_on_while_slow_clients_hold_all_blocks() {
    let plain = Plain::with(Shape { response_blocks: 4, ..SHAPE });
    let mut pool = Pool::new(&plain);
    let long = content(SLOT + 6 * BLOCK);
    let stalled: Vec<_> = (0..2)
        .map(|_| {
            let asking = pool.ask(b"slow", How::Whole);
            let mut answering = pool.answering();
            answering.answer(&mut pool.server, &long, How::Stream { head: 9, piece: BLOCK }, 200);
            while answering.send(&mut pool.server) == Some(Step::More) {}
            (asking, answering)
        })
        .collect();
    assert_eq!(pool.server.free_blocks(), 0);
    let reply = content(5 * SLOT);
    for how in [How::Stream { head: SLOT, piece: BLOCK }, How::Whole] {
        let mut asking = pool.ask(b"quick", How::Whole);
        let mut answering = pool.answering();
        answering.answer(&mut pool.server, &reply, how, 200);
        let (mut outcome, mut rounds) = (None, 0);
        while asking.end.is_none() {
            while answering.job.is_some() && answering.send(&mut pool.server) == Some(Step::More) {}
            pool.server.calls();
            outcome = outcome.or(pool.outcome());
            assert!(asking.receive(&mut pool.client, 1), "nothing comes any more");
            asking.receive(&mut pool.client, 9);
            rounds += 1;
        }
        assert!(rounds >= 5, "a slot's worth in a round");
        assert_eq!(asking.answer, reply);
        assert!(matches!(asking.end, Some(StreamItem::End(Some(_)))));
        assert!(matches!(outcome, Some(Outcome::Answered(_))), "{outcome:?}");
        pool.client.release(asking.ticket);
    }
    for (asking, answering) in stalled {
        assert!(answering.job.is_some() && pool.client.cancel(asking.ticket));
    }
}

#[test]
fn a_shard_hears_of_a_free_block() {
    let plain = Plain::with(Shape { request_blocks: 2, ..SHAPE });
    let mut pool = Pool::new(&plain);
    let stream = How::Stream { head: 1, piece: 10 };
    let mut first = pool.ask(b"first", stream);
    let mut second = pool.ask(b"second", stream);
    first.send(&mut pool.client);
    second.send(&mut pool.client);
    assert_eq!(pool.client.send(second.ticket, b"x"), Err(Unsent::NoBlocks));
    assert_eq!(pool.client.poll_moved(), None);
    let mut answering = pool.answering();
    assert_eq!(answering.receive(&mut pool.server), Step::More);
    pool.server.calls();
    pool.outcome();
    let moved: Vec<_> = std::iter::from_fn(|| pool.client.poll_moved()).collect();
    assert_eq!(moved, [first.ticket, second.ticket]);
    assert!(pool.client.cancel(first.ticket) && pool.client.cancel(second.ticket));
}

#[test]
fn a_worker_may_refuse_the_rest_of_a_request() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let mut asking = pool.ask(&content(30), How::Stream { head: 1, piece: 2 });
    asking.send(&mut pool.client);
    let job = pool.job();
    pool.server.refuse(&job);
    pool.server.calls();
    pool.outcome();
    assert_eq!(pool.client.poll_moved(), Some(asking.ticket));
    assert!(!asking.send(&mut pool.client), "nothing more is taken");
    assert_eq!(pool.client.free_blocks(), usize::from(SHAPE.request_blocks));
    pool.server.complete(job, 413, b"").unwrap();
    assert_eq!(pool.answered().status, 413);
    pool.client.release(asking.ticket);
    pool.assert_all_free();
}

#[test]
fn an_answer_is_readable_after_its_worker_and_all_is_free_at_last() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    for how in [How::Whole, How::Stream { head: SLOT + BLOCK, piece: 9 }] {
        let bytes = SLOT + BLOCK + 40;
        let mut asking = pool.ask(b"x", How::Whole);
        let mut answering = pool.answering();
        let mut step = answering.answer(&mut pool.server, &content(bytes), how, 200);
        while step == Step::More {
            step = answering.send(&mut pool.server).unwrap();
        }
        assert_eq!(step, Step::Done);
        pool.replace_worker();
        // The successor has all but what the slot lists.
        let listed = if how == How::Whole { 2 } else { 1 + 5 + 1 };
        let free = usize::from(SHAPE.response_blocks) - listed;
        assert_eq!(pool.server.free_blocks(), free);
        let response = pool.answered();
        if how == How::Whole {
            asking.read(&pool.client, response);
        } else {
            asking.receive(&mut pool.client, 20);
            assert!(asking.end.is_some());
        }
        assert!(asking.answer == content(bytes));
        pool.client.release(asking.ticket);
        pool.assert_all_free();
    }
}

#[test]
fn a_stream_that_loses_its_worker_is_cut() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let mut asking = pool.ask(b"x", How::Whole);
    let mut answering = pool.answering();
    let stream = How::Stream { head: 2, piece: 3 };
    answering.answer(&mut pool.server, &content(30), stream, 200);
    answering.send(&mut pool.server);
    pool.server.calls();
    pool.outcome();
    asking.receive(&mut pool.client, 2);
    assert_eq!(asking.answer, content(5));
    pool.replace_worker();
    // What the shard may still read is kept until it has seen the death.
    let job = pool.outcome();
    assert_eq!(job, Some(Outcome::Died { started: true }));
    assert_eq!(pool.client.receive(asking.ticket), Ok(None));
    assert_eq!(pool.client.send(asking.ticket, b"x"), Err(Unsent::Over));
    pool.client.taken(asking.ticket);
    pool.assert_all_free();
}

#[test]
fn a_streamed_request_that_nobody_took_is_sent_again() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    for took in [false, true] {
        let message = content(20);
        let stream = How::Stream { head: 3, piece: 5 };
        let terms = Terms { retry: Retry::Started, ..TERMS };
        let mut asking = Asking::begin(&mut pool.client, &message, stream, terms).unwrap();
        asking.send(&mut pool.client);
        let mut answering = pool.answering();
        if took {
            answering.receive(&mut pool.server);
            pool.server.calls();
            pool.outcome();
        }
        pool.replace_worker();
        let outcome = pool.outcome();
        if took {
            assert_eq!(outcome, Some(Outcome::Died { started: true }));
            pool.assert_all_free();
            continue;
        }
        assert_eq!(outcome, None);
        let mut answering = pool.answering();
        while !answering.has_all {
            assert_eq!(answering.receive(&mut pool.server), Step::More);
            asking.send(&mut pool.client);
        }
        assert_eq!(answering.request, message);
        answering.answer(&mut pool.server, b"ok", How::Whole, 200);
        pool.answered();
        pool.client.release(asking.ticket);
        pool.assert_all_free();
    }
}

#[test]
fn an_answer_that_was_begun_by_a_dead_worker_begins_anew() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let terms = Terms { retry: Retry::Started, ..TERMS };
    let asking = Asking::begin(&mut pool.client, &content(SLOT + 9), How::Whole, terms);
    let mut asking = asking.unwrap();
    let stream = How::Stream { head: 2, piece: 3 };
    let mut answering = pool.answering();
    answering.answer(&mut pool.server, &content(30), stream, 200);
    answering.send(&mut pool.server);
    pool.server.calls();
    // The shard has heard of it, but read nothing.
    assert_eq!(pool.outcome(), None);
    pool.replace_worker();
    assert_eq!(pool.outcome(), None);
    let mut answering = pool.answering();
    assert!(answering.request == content(SLOT + 9));
    let mut step = answering.answer(&mut pool.server, &content(12), stream, 200);
    while step == Step::More {
        step = answering.send(&mut pool.server).unwrap();
    }
    assert_eq!(pool.answered().form, Form::Chunks);
    asking.receive(&mut pool.client, 20);
    assert_eq!((asking.answer, asking.end.is_some()), (content(12), true));
    pool.client.release(asking.ticket);
    pool.assert_all_free();
}

#[test]
fn a_new_shard_leaves_to_a_living_worker_what_it_reads() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let whole = pool.ask(&content(SLOT + 2 * BLOCK), How::Whole);
    let mut stream = pool.ask(&content(30), How::Stream { head: SLOT, piece: 7 });
    let mut stream_more = pool.ask(&content(SLOT + 30), How::Stream { head: SLOT, piece: 7 });
    stream.send(&mut pool.client);
    stream_more.send(&mut pool.client);
    let queued = pool.ask(&content(SLOT + BLOCK), How::Whole);
    let first = pool.answering();
    let second = pool.answering();
    let mut third = pool.answering();
    assert_eq!(third.receive(&mut pool.server), Step::More, "one piece is taken");
    let _ = (whole, queued);
    pool.registry.bury_shard(SHARD);
    pool.client = Client::attach(&plain, SHARD);
    // Two blocks of the first, one piece and two ends with trailers, 4 of 5 pieces.
    let kept = 2 + 1 + (4 + 1);
    assert_eq!(pool.client.free_blocks(), usize::from(SHAPE.request_blocks) - kept);
    assert_eq!(pool.client.free(), 1);
    for mut answering in [first, second, third] {
        let withdrawn = std::iter::from_fn(|| Some(pool.server.poll()));
        let withdrawn = withdrawn.take(3).any(|next| matches!(next, Next::Withdrawn(_)));
        assert!(withdrawn, "it is said for each");
        answering.stop(&mut pool.server);
    }
    assert_eq!(pool.outcome(), None);
    pool.assert_all_free();
}

#[test]
fn a_stream_is_taken_back_at_any_time() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let stream = How::Stream { head: 2, piece: 3 };
    // Before it was claimed: at once.
    let mut asking = pool.ask(&content(20), stream);
    asking.send(&mut pool.client);
    assert!(pool.client.cancel(asking.ticket));
    assert_eq!(pool.outcome(), Some(Outcome::Cancelled));
    assert_eq!(pool.client.free_blocks(), usize::from(SHAPE.request_blocks));
    // While it runs: what was sent stays until the worker lets go of it.
    let mut asking = pool.ask(&content(20), stream);
    asking.send(&mut pool.client);
    let mut answering = pool.answering();
    answering.receive(&mut pool.server);
    answering.has_all = true;
    answering.answer(&mut pool.server, &content(20), stream, 200);
    answering.send(&mut pool.server);
    assert!(pool.client.cancel(asking.ticket));
    assert_eq!(pool.outcome(), Some(Outcome::Cancelled));
    assert!(pool.client.free_blocks() < usize::from(SHAPE.request_blocks));
    assert!(matches!(pool.server.poll(), Next::Withdrawn(_)));
    assert_eq!(answering.receive(&mut pool.server), Step::More, "it may still be read");
    answering.stop(&mut pool.server);
    // The hint of the first one is passed at the next tick at the latest.
    plain.clock.set(plain.clock.get() + TICK_NS);
    assert_eq!(pool.outcome(), None);
    pool.assert_all_free();
}

#[test]
fn a_stream_without_an_end_has_broken_off() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let mut asking = pool.ask(b"x", How::Whole);
    let mut answering = pool.answering();
    answering.answer(&mut pool.server, &content(9), How::Stream { head: 1, piece: 3 }, 200);
    answering.send(&mut pool.server);
    answering.stop(&mut pool.server);
    pool.answered();
    asking.receive(&mut pool.client, 9);
    assert_eq!((asking.answer, asking.end), (content(4), Some(StreamItem::Failed)));
    assert_eq!(pool.client.receive(asking.ticket), Ok(None), "once");
    assert_eq!(pool.client.poll_fault(), None);
    pool.client.release(asking.ticket);
    pool.assert_all_free();
}

/// What a shard makes of a job that its worker ended, or sent items for, in a way that cannot be.
#[track_caller]
fn check_broken(write: impl FnOnce(&Plain, SlotIndex, &mut Pool<'_>, Job)) {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let asking = pool.ask(b"x", How::Whole);
    let job = pool.job();
    let state = plain.layout.slot(SHARD, job.slot()).state();
    let running = StateWord::unpack((&plain).load(state, Ordering::Relaxed)).unwrap();
    write(&plain, job.slot(), &mut pool, job);
    (&plain).fetch_or(plain.layout.attention(SHARD, 0), u64::MAX, Ordering::SeqCst);
    let mut outcome = pool.outcome();
    if outcome.is_none() {
        assert!(matches!(pool.client.receive(asking.ticket), Err(_) | Ok(None)));
        outcome = pool.outcome();
    }
    assert_eq!(outcome, Some(Outcome::Broken));
    assert_eq!(pool.client.poll_fault(), running.state.owner().map(Fault::Worker));
    pool.replace_worker();
    assert_eq!(pool.outcome(), None);
    pool.assert_all_free();
}

#[test]
fn memory_of_which_most_is_spoiled_is_made_anew() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    let mut faults = Vec::new();
    for _ in 0..SHAPE.slots {
        let _asking = pool.ask(b"x", How::Whole);
        let job = pool.job();
        let word = plain.layout.slot(SHARD, job.slot()).state();
        let state = &plain.words[word.index()];
        let word = StateWord::unpack(state.get()).unwrap();
        // Of another submission: nobody who works writes that.
        state.set(StateWord { generation: word.generation.next(), ..word }.pack());
        (&plain).fetch_or(plain.layout.attention(SHARD, 0), u64::MAX, Ordering::SeqCst);
        assert_eq!(pool.outcome(), Some(Outcome::Broken));
        faults.extend(pool.client.poll_fault());
        pool.replace_worker();
    }
    let whose = |incarnation| Fault::Worker(Owner { worker: WORKER, incarnation });
    assert_eq!(faults, [whose(1), whose(2), Fault::Memory, Fault::Memory]);
}

/// Ends a job with this response, whatever it lists.
fn end(plain: &Plain, slot: SlotIndex, response: Response) {
    let words = plain.layout.slot(SHARD, slot);
    plain.words[words.response().index()].set(response.pack());
    let state = &plain.words[words.state().index()];
    let generation = StateWord::unpack(state.get()).unwrap().generation;
    let done = SlotState::Done(Owner { worker: WORKER, incarnation: 1 });
    state.set(StateWord::new(done, generation).pack());
}

fn response(form: Form, bytes: u32) -> Response {
    Response { bytes, status: 200, form, ending: Ending::Answered }
}

#[test]
fn lists_that_cannot_be_break_the_job_alone() {
    let list = |plain: &Plain, slot, pair, word| {
        plain.words[plain.layout.slot(SHARD, slot).response_extents(pair).index()].set(word);
    };
    let block = BLOCK as u32;
    check_broken(|plain, slot, _, _| {
        list(plain, slot, 0, 99);
        end(plain, slot, response(Form::Extents, 2 * SLOT as u32));
    });
    check_broken(|plain, slot, _, _| {
        list(plain, slot, 0, 5 | 5 << 32);
        end(plain, slot, response(Form::Extents, 2 * block));
    });
    check_broken(|plain, slot, _, _| end(plain, slot, response(Form::Extents, u32::MAX)));
    check_broken(|plain, slot, _, _| end(plain, slot, response(Form::Chunks, 9 * block)));
    // What was opened as a stream ends as one, and with the head that it began with.
    for form in [Form::Inline, Form::Chunks] {
        check_broken(|plain, slot, pool, job| {
            let draft = pool.server.draft_opening(1).unwrap();
            pool.server.open(&job, draft, 200, 1);
            pool.server.calls();
            pool.outcome();
            let ticket = pool.client.poll_moved().unwrap();
            assert!(matches!(pool.client.receive(ticket), Ok(Some(StreamItem::Opening(_)))));
            end(plain, slot, response(form, 3));
        });
    }
}

#[test]
fn windows_that_cannot_be_break_the_job_alone() {
    let window = |plain: &Plain, slot, bits: u64| {
        let words = plain.layout.slot(SHARD, slot);
        let state = plain.words[words.state().index()].get();
        let generation = StateWord::unpack(state).unwrap().generation.get();
        plain.words[words.worker_window().index()].set(generation << 24 | bits);
    };
    check_broken(|plain, slot, _, _| window(plain, slot, 0x0101));
    check_broken(|plain, slot, _, _| window(plain, slot, 9));
    check_broken(|plain, slot, _, _| {
        let items = plain.layout.slot(SHARD, slot).response_extents(4);
        plain.words[items.index()].set(u64::MAX);
        window(plain, slot, 1);
    });
    // An opening whose response word is none.
    check_broken(|plain, slot, pool, job| {
        let draft = pool.server.draft_opening(1).unwrap();
        pool.server.open(&job, draft, 200, 1);
        plain.words[plain.layout.slot(SHARD, slot).response().index()].set(3);
    });
}

#[test]
fn a_worker_is_not_misled_by_what_another_one_wrote() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    pool.ask(&content(SLOT + 1), How::Whole);
    let job = pool.job();
    let words = plain.layout.slot(SHARD, job.slot());
    plain.words[words.request_extents(0).index()].set(u64::MAX);
    assert!(matches!(pool.server.request(&job), Err(Broken::Extents(_))));
    pool.server.complete(job, 500, b"").unwrap();
    let mut asking = pool.ask(&content(30), How::Stream { head: 1, piece: 2 });
    asking.send(&mut pool.client);
    let job = pool.job();
    let words = plain.layout.slot(SHARD, job.slot());
    plain.words[words.request_extents(0).index()].set(77);
    assert!(matches!(pool.server.receive(&job), Err(Broken::Sequence { seq: 77 })));
}

#[test]
fn the_state_of_a_pool_can_be_told() {
    let plain = Plain::with(SHAPE);
    let mut pool = Pool::new(&plain);
    assert!(pool.client.is_idle());
    pool.client.set_queued(7);
    let first = pool.ask(b"first", How::Whole);
    pool.ask(b"second", How::Whole);
    let state = pool.client.pool_state();
    assert_eq!((state.waiting, state.completed, state.alive), (9, 0, true));
    assert_eq!((state.own_waiting, state.begun), (9, 0));
    let job = pool.job();
    assert!(!pool.client.is_idle() && !pool.client.is_work_waiting());
    pool.server.complete(job, 200, b"").unwrap();
    assert!(pool.client.is_work_waiting());
    pool.answered();
    pool.client.release(first.ticket);
    let state = pool.client.pool_state();
    assert_eq!((state.waiting, state.completed, state.alive), (8, 1, true));
    assert_eq!((state.own_waiting, state.begun), (8, 1));
    pool.registry.bury(WORKER);
    assert!(!pool.client.pool_state().alive);
    let client = Client::attach(&plain, SHARD);
    assert_eq!(client.pool_state().waiting, 0);
}

const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
const TERMS: Terms = Terms { start_by: u64::MAX, deadline: u64::MAX, retry: Retry::Unstarted };
