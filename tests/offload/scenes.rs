//! The parts that are killed at every instruction: what was before, and what is played.

use corewise::offload::client::Terms;
use corewise::offload::server::SpinPolicy;
use corewise::offload::slot::Retry;
use corewise::offload::word::WorkerIndex;

use crate::pool::{Role, Stage};
use crate::talk::Kind;

/// A part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// What happened before, in this process.
    pub(crate) prepare: fn(&mut Stage),
    /// What the process does that is killed.
    pub(crate) play: fn(&mut Stage),
}

pub(crate) const SCENES: [Scene; 23] = [
    worker("a worker attaches, answers and sleeps", one_job, attach_and_work),
    worker("a worker answers a shard that sleeps", one_job_of_a_sleeper, attach_and_work),
    worker("a worker is woken and wakes another", two_jobs_for_two, work),
    worker("a worker spins, answers and hands on", two_jobs_for_a_spinner, work),
    worker("a worker skips what is late or withdrawn", nothing_wanted, attach_and_work),
    worker("a worker is told that nobody waits", withdrawn_while_it_runs, work),
    worker("a worker is told to leave", stopped, work),
    worker("a second life finds what the first one left", after_a_death, attach_and_work),
    worker("a worker answers with blocks", blocks_for_a_sleeper, attach_and_work),
    worker("a worker reads a stream", an_upload, attach_and_work),
    worker("a worker sends a stream", a_download, attach_and_work),
    worker("a second life leaves the blocks that are lent", lent_blocks, attach_and_work),
    shard("a shard attaches, submits and sleeps", one_worker, attach_and_submit),
    shard("a shard collects", two_done_one_running, turn_until_asleep),
    shard("a shard takes jobs back", four_out, take_back),
    shard("a shard finds deaths", jobs_of_the_dead, turn_until_asleep),
    shard("a shard leaves", two_done_one_running, Stage::detach_shard),
    shard("a shard adopts", every_state, attach_and_turn),
    shard("a shard adopts from one that only attached", every_state_twice, attach_and_turn),
    shard("a shard submits blocks and sends a stream", one_worker, attach_and_submit_more),
    shard("a shard reads blocks and streams", answers_in_blocks, turn_until_asleep),
    shard("a shard takes streams back", streams_on_their_way, take_back),
    shard("a shard adopts blocks and streams", left_streams, attach_and_turn),
];

const fn worker(name: &'static str, prepare: fn(&mut Stage), play: fn(&mut Stage)) -> Scene {
    Scene { name, role: Role::Worker(FIRST), prepare, play }
}

const fn shard(name: &'static str, prepare: fn(&mut Stage), play: fn(&mut Stage)) -> Scene {
    Scene { name, role: Role::Shard, prepare, play }
}

fn one_job(stage: &mut Stage) {
    stage.enlist(FIRST);
    stage.attach_shard();
    submit(stage);
    stage.wake();
}

fn one_job_of_a_sleeper(stage: &mut Stage) {
    one_job(stage);
    stage.sleep_shard();
}

fn two_jobs_for_two(stage: &mut Stage) {
    stage.employ(FIRST, 1);
    stage.employ(SECOND, 1);
    stage.attach_shard();
    submit(stage);
    stage.wake();
    // One more, of which only the first worker can tell the second one.
    submit(stage);
}

fn two_jobs_for_a_spinner(stage: &mut Stage) {
    stage.employ(SECOND, 1);
    stage.enlist(FIRST);
    let spin = SpinPolicy { window_ns: 1_000, gap_ns: u64::MAX, beside_others: false };
    stage.attach_worker(FIRST, 1, spin);
    let _ = stage.look(FIRST);
    stage.attach_shard();
    submit(stage);
    submit(stage);
    stage.sleep_shard();
}

fn nothing_wanted(stage: &mut Stage) {
    stage.enlist(FIRST);
    stage.attach_shard();
    let late = stage.now() + 1;
    stage.submit(Kind::Inline, Terms { start_by: late, deadline: late, ..stage.terms() });
    let withdrawn = submit(stage);
    submit(stage);
    stage.cancel(withdrawn);
    stage.wake();
}

fn withdrawn_while_it_runs(stage: &mut Stage) {
    stage.employ(FIRST, 2);
    stage.attach_shard();
    let withdrawn = submit(stage);
    stage.begin(FIRST);
    stage.cancel(withdrawn);
    submit(stage);
    stage.sleep_shard();
}

fn stopped(stage: &mut Stage) {
    stage.employ(FIRST, 1);
    stage.employ(SECOND, 1);
    stage.attach_shard();
    submit(stage);
    stage.stop();
    stage.sleep_shard();
}

fn after_a_death(stage: &mut Stage) {
    stage.employ(FIRST, 2);
    stage.attach_shard();
    let again = Terms { retry: Retry::Started, ..stage.terms() };
    stage.submit(Kind::Inline, again);
    stage.begin(FIRST);
    submit(stage);
    stage.begin(FIRST);
    stage.bury(Role::Worker(FIRST));
    submit(stage);
    stage.enlist(FIRST);
}

fn one_worker(stage: &mut Stage) {
    stage.employ(FIRST, 1);
}

fn two_done_one_running(stage: &mut Stage) {
    stage.employ(FIRST, 1);
    stage.employ(SECOND, 1);
    stage.attach_shard();
    submit(stage);
    submit(stage);
    stage.work_until_blocked(FIRST);
    submit(stage);
    stage.begin(SECOND);
}

fn four_out(stage: &mut Stage) {
    stage.employ(FIRST, 2);
    stage.attach_shard();
    let soon = stage.now() + 1_000_000_000;
    submit(stage);
    stage.submit(Kind::Inline, Terms { start_by: soon, deadline: soon, ..stage.terms() });
    stage.begin(FIRST);
    stage.begin(FIRST);
    submit(stage);
    stage.submit(Kind::Inline, Terms { start_by: soon, deadline: soon, ..stage.terms() });
    stage.pass(2_000_000_000);
}

fn jobs_of_the_dead(stage: &mut Stage) {
    stage.employ(FIRST, 3);
    stage.employ(SECOND, 1);
    stage.attach_shard();
    let again = Terms { retry: Retry::Started, ..stage.terms() };
    stage.submit(Kind::Inline, again);
    stage.begin(FIRST);
    stage.advance(FIRST);
    stage.submit(Kind::Inline, again);
    stage.begin(FIRST);
    submit(stage);
    stage.begin(FIRST);
    stage.bury(Role::Worker(FIRST));
}

fn every_state(stage: &mut Stage) {
    stage.employ(FIRST, 1);
    stage.employ(SECOND, 2);
    stage.attach_shard();
    submit(stage);
    stage.begin(SECOND);
    stage.advance(SECOND);
    submit(stage);
    stage.begin(SECOND);
    submit(stage);
    stage.begin(FIRST);
    stage.bury(Role::Worker(FIRST));
    let withdrawn = submit(stage);
    submit(stage);
    stage.cancel(withdrawn);
    stage.enlist(FIRST);
    stage.attach_worker(FIRST, 1, SpinPolicy::NEVER);
    stage.bury(Role::Shard);
}

fn every_state_twice(stage: &mut Stage) {
    every_state(stage);
    stage.attach_shard();
    stage.bury(Role::Shard);
}

fn blocks_for_a_sleeper(stage: &mut Stage) {
    stage.enlist(FIRST);
    stage.attach_shard();
    stage.submit(Kind::Blocks, stage.terms());
    stage.sleep_shard();
}

fn an_upload(stage: &mut Stage) {
    stage.enlist(FIRST);
    stage.attach_shard();
    stage.submit(Kind::Upload, stage.terms());
    stage.sleep_shard();
}

fn a_download(stage: &mut Stage) {
    stage.enlist(FIRST);
    stage.attach_shard();
    stage.submit(Kind::Download, stage.terms());
    stage.sleep_shard();
}

fn lent_blocks(stage: &mut Stage) {
    stage.employ(FIRST, 2);
    stage.attach_shard();
    stage.submit(Kind::Blocks, stage.terms());
    stage.submit(Kind::Download, stage.terms());
    stage.begin(FIRST);
    stage.begin(FIRST);
    stage.advance(FIRST);
    stage.bury(Role::Worker(FIRST));
    stage.submit(Kind::Blocks, stage.terms());
    stage.enlist(FIRST);
}

fn answers_in_blocks(stage: &mut Stage) {
    stage.employ(FIRST, 1);
    stage.employ(SECOND, 1);
    stage.attach_shard();
    stage.submit(Kind::Blocks, stage.terms());
    stage.work_until_blocked(FIRST);
    stage.submit(Kind::Echo, stage.terms());
    stage.begin(SECOND);
    stage.work_until_blocked(SECOND);
}

fn streams_on_their_way(stage: &mut Stage) {
    stage.employ(FIRST, 2);
    stage.attach_shard();
    stage.submit(Kind::Download, stage.terms());
    stage.submit(Kind::Upload, stage.terms());
    stage.begin(FIRST);
    stage.begin(FIRST);
    stage.work_until_blocked(FIRST);
}

fn left_streams(stage: &mut Stage) {
    stage.employ(FIRST, 2);
    stage.employ(SECOND, 1);
    stage.attach_shard();
    stage.submit(Kind::Blocks, stage.terms());
    stage.begin(FIRST);
    stage.advance(FIRST);
    stage.submit(Kind::Download, stage.terms());
    stage.begin(FIRST);
    stage.work_until_blocked(FIRST);
    stage.submit(Kind::Echo, stage.terms());
    stage.begin(SECOND);
    stage.work_until_blocked(SECOND);
    stage.bury(Role::Worker(FIRST));
    stage.enlist(FIRST);
    stage.attach_worker(FIRST, 1, SpinPolicy::NEVER);
    stage.bury(Role::Shard);
}

fn attach_and_submit_more(stage: &mut Stage) {
    stage.attach_shard();
    stage.submit(Kind::Blocks, stage.terms());
    stage.submit(Kind::Upload, stage.terms());
    stage.sleep_shard();
}

fn attach_and_work(stage: &mut Stage) {
    stage.attach_worker(FIRST, 1, SpinPolicy::NEVER);
    stage.work_until_blocked(FIRST);
}

fn work(stage: &mut Stage) {
    stage.work_until_blocked(FIRST);
}

fn attach_and_submit(stage: &mut Stage) {
    stage.attach_shard();
    submit(stage);
    submit(stage);
    stage.sleep_shard();
}

fn attach_and_turn(stage: &mut Stage) {
    stage.attach_shard();
    stage.sleep_shard();
}

fn turn_until_asleep(stage: &mut Stage) {
    stage.sleep_shard();
}

fn take_back(stage: &mut Stage) {
    stage.cancel_endless();
    stage.sleep_shard();
    submit(stage);
    stage.wake();
}

fn submit(stage: &mut Stage) -> corewise::offload::client::Ticket {
    stage.submit(Kind::Inline, stage.terms())
}

pub(crate) const FIRST: WorkerIndex = WorkerIndex(0);
pub(crate) const SECOND: WorkerIndex = WorkerIndex(1);
