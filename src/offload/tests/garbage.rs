//! Whatever stands in the memory of a pool: a shard neither panics nor works for long.
//!
//! A worker may write to every word of the control memory. Here somebody writes to some of them
//! before each turn: random numbers, small ones, and such as the protocol itself writes at other
//! times. An access outside of the memory would be a panic, because this memory is a vector.

use super::plain::Plain;
use crate::offload::chunks::StreamItem;
use crate::offload::client::{Client, Refused, Terms, Ticket};
use crate::offload::death::Registry;
use crate::offload::layout::{Shape, Word, words_of};
use crate::offload::server::{Job, Next, Server, SpinPolicy};
use crate::offload::slot::{Ending, Form, Outcome, Response, Retry, cancel_word};
use crate::offload::word::{
    Cell as Hint, Generation, Owner, ShardIndex, SlotIndex, SlotState, StateWord, WorkerIndex,
};
use crate::offload::world::World;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    /// A worker that may exist, or not.
    fn owner(&mut self) -> Owner {
        let (worker, incarnation) = (self.below(4) as u8, self.below(4) as u16);
        Owner { worker: WorkerIndex(worker), incarnation }
    }

    /// A response of any form, more often than not one that can be believed.
    fn response(&mut self) -> u64 {
        let form = match self.below(4) {
            0 => return self.word(),
            1 => Form::Inline,
            2 => Form::Extents,
            _ => Form::Chunks,
        };
        let bytes = if self.below(8) == 0 { self.next() as u32 } else { self.below(100) as u32 };
        let status = self.below(700) as u16;
        Response { bytes, status, form, ending: Ending::Answered }.pack()
    }

    /// Half a word: an item, or the number of a block.
    fn half(&mut self) -> u32 {
        let block = self.below(6) as u32;
        match self.below(7) {
            0 => self.next() as u32,
            1 => block,
            2 | 3 => block << 16 | self.below(200) as u32,
            4 => 1 << 31 | block << 16 | self.below(20) as u32,
            5 => 1 << 31 | 1 << 14,
            _ => 1 << 31 | 2 << 14,
        }
    }

    /// A word, more often than not one that means something.
    fn word(&mut self) -> u64 {
        let generation = Generation::new(self.below(6));
        let owner = self.owner();
        match self.below(10) {
            0 => self.next(),
            1 => u64::MAX,
            2 => 0,
            3 => self.below(64),
            4 => StateWord::new(SlotState::Done(owner), generation).pack(),
            5 => StateWord::new(SlotState::Running(owner), generation).pack(),
            6 => StateWord::new(SlotState::Ready, generation).pack(),
            7 => cancel_word(generation),
            8 => {
                let slot = SlotIndex(self.below(8) as u16);
                Hint { slot, lap: self.below(4) as u8, generation }.pack()
            }
            // Response words of all forms, endings and lengths.
            _ => self.below(4) << 56 | self.below(4) << 48 | self.below(200),
        }
    }
}

#[test]
fn a_shard_lives_on_garbage() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let plain = Plain::with(SHAPE);
    let words = words_of(&plain.layout);
    Registry::create(&plain);
    let mut client = Client::attach(&plain, SHARD);
    let (mut answers, mut faults, mut breaks) = (0, 0, 0);
    for round in 0..10_000 {
        let mut open = Vec::new();
        for _ in 0..4 {
            open.extend(submit(&mut client, &plain, &mut random));
        }
        spoil(&plain, &words, &mut random);
        plain.accesses.set(0);
        plain.clock.set(plain.clock.get() + random.below(400_000_000));
        client.collect();
        client.handle_timeout(plain.clock.get());
        for ticket in open {
            stream(&mut client, ticket, &mut random);
            if random.below(3) == 0 {
                client.cancel(ticket);
            }
        }
        while client.poll_moved().is_some() {}
        answers += settle(&mut client);
        client.wake();
        let _ = client.arm();
        client.disarm();
        assert!(plain.accesses.get() < ACCESSES_MAX, "round {round}: {}", plain.accesses.get());
        faults += u64::from(client.poll_fault().is_some());
        let broken = is_broken(&mut client);
        breaks += u64::from(broken);
        // A rebuilt pool is new memory; a successor finds what there is.
        if broken || client.spoiled() > 2 || random.below(20) == 0 {
            if broken || client.spoiled() > 0 {
                plain.words.iter().for_each(|word| word.set(0));
                Registry::create(&plain);
            }
            plain.accesses.set(0);
            client = Client::attach(&plain, SHARD);
            assert!(plain.accesses.get() < ACCESSES_MAX);
        }
    }
    assert!(answers > 100 && faults > 100 && breaks > 100, "{answers}, {faults}, {breaks}");
}

fn is_broken(client: &mut Client<&Plain>) -> bool {
    match client.draft(0) {
        Ok(draft) => {
            client.discard(draft);
            false
        }
        Err(refused) => refused == Refused::Broken,
    }
}

/// Reads all outcomes and answers; returns how many answers there were.
fn settle(client: &mut Client<&Plain>) -> u64 {
    let mut answers = 0;
    while let Some(ended) = client.poll_outcome() {
        if let Outcome::Answered(response) = ended.outcome {
            read(client, ended.ticket, response);
            receive(client, ended.ticket, 20);
            client.release(ended.ticket);
            answers += 1;
        }
    }
    answers
}

/// A job of any kind.
fn submit(client: &mut Client<&Plain>, plain: &Plain, random: &mut Random) -> Option<Ticket> {
    let terms = terms(plain, random);
    let draft = match random.below(4) {
        0 => client.draft(100),
        1 => client.draft_opening(64),
        2 => client.draft_opening(100),
        _ => return client.submit(&[7; 64], terms).ok(),
    };
    let ticket = client.submit_draft(draft.ok()?, 64, terms);
    stream(client, ticket, random);
    Some(ticket)
}

/// Does something to a stream, whether or not there is one.
fn stream(client: &mut Client<&Plain>, ticket: Ticket, random: &mut Random) {
    for _ in 0..random.below(4) {
        let _ = match random.below(4) {
            0 => client.send_end(ticket, &[1; 9]),
            1 => client.send_failed(ticket),
            _ => client.send(ticket, &[7; 50]).map(|_| ()),
        };
    }
    receive(client, ticket, random.below(4));
}

/// Takes items of an answer.
fn receive(client: &mut Client<&Plain>, ticket: Ticket, items: u64) {
    for _ in 0..items {
        match client.receive(ticket) {
            Ok(Some(StreamItem::Opening(response))) => read(client, ticket, response),
            Ok(Some(StreamItem::Bytes(span) | StreamItem::End(Some(span)))) => {
                client.world().copy_out(span, &mut vec![0; span.bytes() as usize]);
            }
            Ok(Some(StreamItem::End(None) | StreamItem::Failed)) => {}
            Ok(None) | Err(_) => return,
        }
        client.taken(ticket);
    }
}

fn read(client: &Client<&Plain>, ticket: Ticket, response: Response) {
    let answer = client.answer(ticket, response);
    answer.read(client.world(), 0, &mut vec![0; response.bytes as usize]);
}

#[test]
fn a_worker_and_the_supervisor_do_bounded_work_on_garbage() {
    let mut random = Random(0xfeed_5678_9abc_def1);
    let plain = Plain::with(SHAPE);
    let words = words_of(&plain.layout);
    let registry = Registry::create(&plain);
    registry.enlist(WorkerIndex(0));
    let mut client = Client::attach(&plain, SHARD);
    let spin = SpinPolicy { window_ns: 1000, gap_ns: u64::MAX, beside_others: false };
    let mut server = Server::attach(&plain, WorkerIndex(0), 1, spin);
    let mut jobs = 0;
    for round in 0..10_000 {
        if round % 4 == 0 {
            plain.words.iter().for_each(|word| word.set(0));
            Registry::create(&plain).enlist(WorkerIndex(0));
            client = Client::attach(&plain, SHARD);
        }
        submit(&mut client, &plain, &mut random);
        client.wake();
        spoil(&plain, &words, &mut random);
        plain.clock.set(plain.clock.get() + 700);
        plain.accesses.set(0);
        if let Next::Job(job) = server.poll() {
            work(&mut server, job, &mut random);
            jobs += 1;
        }
        let _ = registry.overdue(plain.clock.get(), 0);
        registry.bury(WorkerIndex(1));
        registry.enlist(WorkerIndex(1));
        assert!(plain.accesses.get() < 60_000, "{}", plain.accesses.get());
    }
    assert!(jobs > 10, "{jobs}");
}

/// Answers a job in any way.
fn work(server: &mut Server<&Plain>, job: Job, random: &mut Random) {
    if let Ok(request) = server.request(&job) {
        request.read(server.world(), 0, &mut vec![0; job.request().bytes as usize]);
    }
    for _ in 0..random.below(10) {
        let Ok(Some(item)) = server.receive(&job) else { break };
        if let StreamItem::Bytes(span) | StreamItem::End(Some(span)) = item {
            server.world().copy_out(span, &mut vec![0; span.bytes() as usize]);
        }
        server.taken(&job);
    }
    let bytes = 50 + random.below(100) as u32;
    match server.draft(bytes.into()) {
        Some(draft) if random.below(2) == 0 => server.complete_draft(job, draft, 200, bytes),
        draft => {
            draft.into_iter().for_each(|draft| server.discard(draft));
            let Some(draft) = server.draft_opening(64) else {
                return server.complete(job, 200, &[1]).unwrap();
            };
            server.open(&job, draft, 200, 64);
            for _ in 0..random.below(10) {
                let _ = server.send(&job, &[1; 70]);
            }
            let _ = server.send_end(&job, b"");
            server.finish_stream(job);
        }
    }
}

/// Writes to a few words, or to many.
fn spoil(plain: &Plain, words: &[Word], random: &mut Random) {
    let few = random.below(3) > 0;
    for _ in 0..random.below(if few { 12 } else { 2 * words.len() as u64 }) {
        let at = words[random.below(words.len() as u64) as usize];
        plain.words[at.index()].set(random.word());
    }
    // The slots are few among all words, and what matters most.
    for slot in plain.layout.slots().filter(|_| few) {
        if random.below(4) == 0 {
            let slot = plain.layout.slot(SHARD, slot);
            plain.words[slot.response().index()].set(random.response());
            let generation = StateWord::unpack(plain.words[slot.state().index()].get())
                .map_or(0, |word| word.generation.get());
            // Windows of this submission with few items, items and lists that may be some.
            let window = generation << 24 | random.below(2) << 16 | random.below(12) << 8;
            plain.words[slot.worker_window().index()].set(window | random.below(12));
            for pair in 0..8 {
                let halves = (random.half(), random.half());
                let word = u64::from(halves.0) | u64::from(halves.1) << 32;
                plain.words[slot.response_extents(pair).index()].set(word);
            }
            let state = &plain.words[slot.state().index()];
            // Half of the time an ending that fits what the shard waits for.
            let fits = StateWord::unpack(state.get()).filter(|_| random.below(2) == 0);
            state.set(match fits {
                None => random.word(),
                Some(word) => {
                    StateWord::new(SlotState::Done(random.owner()), word.generation).pack()
                }
            });
            plain.words[plain.layout.attention(SHARD, 0).index()].set(random.next());
        }
    }
}

fn terms(plain: &Plain, random: &mut Random) -> Terms {
    let start_by = plain.clock.get() + random.below(1_000_000_000);
    Terms { start_by, deadline: start_by + random.below(1_000_000_000), retry: Retry::Started }
}

const SHARD: ShardIndex = ShardIndex(0);
const SHAPE: Shape = Shape {
    shards: 1,
    workers: 2,
    slots: 5,
    slot_bytes: 64,
    request_blocks: 5,
    response_blocks: 5,
};
/// Some dozens for each slot, cell and item.
const ACCESSES_MAX: u64 = 4000;
