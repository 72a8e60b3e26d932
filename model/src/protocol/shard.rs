//! The shard: submits jobs and wakes workers, collects what is done, cancels, looks after the
//! dead, sleeps. What a new incarnation does first stands in `adoption`.

use super::memory::{Memory, SHARD, SLOTS, Tag};
use super::settings::{Flaw, Settings};
use super::wake::{Call, Pair, Progress, call};
use super::{POSITION_BITS, State, lowest};
use crate::packing::{Codec, choices};
use crate::search::{Kind, Violation};

choices! {
    /// The next access of the shard.
    enum ShardStep {
        MakeEven,
        // Collect.
        SwapAttention, Collect, CollectFree,
        // Deaths.
        ReadDeaths, Scan, ScanLife, ScanAgain, ScanFree, AgainReady, AgainCell, AgainMirror,
        // Cancelled slots whose hint is passed, or may be.
        ReadHead, PassHint, FreeCancelled,
        // New jobs, clients that leave.
        Take, CancelSlot, CancelStore, CancelWake,
        // Submit.
        SubmitReady, SubmitCell, SubmitMirror,
        // Once per turn: wake as many workers as there are new jobs.
        ReadSpinning, ReadIdle, Wake,
        // Of the tick: a job that waits too long.
        Nudge,
        // Sleep.
        Arm, LookAtAttention, LookAtDeaths, Block,
        // A new incarnation.
        AdoptEpoch, AdoptEven, AdoptDeaths, AdoptMirror, AdoptHead, AdoptCell, AdoptStore,
        AdoptSlot, AdoptCancel, AdoptLife, AdoptFree, AdoptCancelStore, AdoptWake, AdoptPass,
        Dead,
    }

    /// What the shard privately knows of a slot.
    enum Lease {
        /// Nobody has it.
        None,
        /// Its client waits for an answer.
        Open,
        /// Its client is gone; a worker may still have it.
        Orphan,
        /// Cancelled before anybody took it: free once its hint is passed.
        Cancelled,
    }
}

/// The shard's private record of a slot.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    pub(crate) lease: Lease,
    /// Of the last submission.
    pub(crate) generation: u8,
    /// Where its hint is.
    pub(crate) position: u8,
    /// It was submitted twice.
    pub(crate) retried: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Shard {
    pub(crate) step: ShardStep,
    pub(crate) records: [Record; SLOTS],
    pub(crate) tail: u8,
    /// Jobs that wait behind the slots.
    queued: u8,
    /// Slots that this stage still has to look at.
    pub(crate) pending: u8,
    /// New jobs of this turn for which nobody was woken.
    fresh: u8,
    /// Workers that may still be woken.
    pub(crate) idle: u8,
    pub(crate) call: Call,
    /// The turn is one of the tick.
    tick: bool,
    /// A scan saw the job started.
    started: bool,
    /// The position of a hint that is to be passed.
    position: u8,
}

impl ShardStep {
    pub(crate) const fn is_adoption(self) -> bool {
        let step = self as u8;
        Self::AdoptEpoch as u8 <= step && step <= Self::AdoptPass as u8
    }
}

impl Shard {
    pub(crate) const fn new() -> Self {
        Self::at(ShardStep::Take)
    }

    pub(crate) const fn dead() -> Self {
        Self::at(ShardStep::Dead)
    }

    /// A new incarnation knows nothing.
    pub(crate) const fn attached() -> Self {
        Self::at(ShardStep::AdoptEpoch)
    }

    const fn at(step: ShardStep) -> Self {
        let record = Record { lease: Lease::None, generation: 0, position: 0, retried: false };
        Self {
            step,
            records: [record; SLOTS],
            tail: super::memory::CELLS as u8,
            queued: 0,
            pending: 0,
            fresh: 0,
            idle: 0,
            call: Call::Read,
            tick: false,
            started: false,
            position: 0,
        }
    }

    pub(crate) fn visit(&mut self, codec: &mut impl Codec) {
        codec.choice(&mut self.step);
        for record in &mut self.records {
            codec.choice(&mut record.lease);
            codec.bits(&mut record.generation, 3);
            codec.bits(&mut record.position, POSITION_BITS);
            codec.flag(&mut record.retried);
        }
        codec.bits(&mut self.tail, POSITION_BITS);
        codec.bits(&mut self.queued, 2);
        codec.bits(&mut self.pending, 2);
        codec.bits(&mut self.fresh, 2);
        codec.bits(&mut self.idle, 2);
        codec.choice(&mut self.call);
        codec.flag(&mut self.tick);
        codec.flag(&mut self.started);
        codec.bits(&mut self.position, POSITION_BITS);
    }

    /// It sleeps, and no job is left.
    pub(crate) fn is_quiet(&self) -> bool {
        self.step == ShardStep::Block && self.queued == 0 && self.with(|_| true) == 0
    }

    /// The slots with such a record, a bit for each.
    pub(crate) fn with(&self, wanted: impl Fn(&Record) -> bool) -> u8 {
        let bits = self.records.iter().enumerate();
        bits.filter(|(_, record)| record.lease != Lease::None && wanted(record))
            .fold(0, |set, (slot, _)| set | 1 << slot)
    }

    fn busy(&self) -> u8 {
        self.with(|record| record.lease != Lease::Cancelled)
    }

    fn cancelled(&self) -> u8 {
        self.with(|record| record.lease == Lease::Cancelled)
    }

    /// The slot that this stage is about.
    pub(crate) fn slot(&self) -> usize {
        lowest(self.pending)
    }

    /// This slot is dealt with: on to the next one, or to the next stage.
    pub(crate) fn next_slot(&mut self, step: ShardStep, after: fn(&mut Self)) {
        self.pending &= self.pending - 1;
        self.each(step, after);
    }

    fn each(&mut self, step: ShardStep, after: fn(&mut Self)) {
        if self.pending == 0 { after(self) } else { self.step = step }
    }

    /// The hint at the head is of a job that nobody can take any more. The shard wrote all hints,
    /// so that it knows this without looking at shared words.
    fn is_over(&self, memory: &Memory, head: u8) -> bool {
        memory.hint(head, true).is_some_and(|hint| {
            let record = self.records[usize::from(hint.slot)];
            record.lease != Lease::Open || record.generation != hint.generation
        })
    }

    fn outcome(&mut self, slot: usize) -> Result<(), Violation> {
        match self.records[slot].lease {
            Lease::Open => self.records[slot].lease = Lease::Orphan,
            Lease::Orphan => {}
            Lease::None | Lease::Cancelled => return Err("a job had two outcomes"),
        }
        Ok(())
    }

    pub(crate) fn free(&mut self, memory: &mut Memory, slot: usize) -> Result<(), Violation> {
        if self.records[slot].lease == Lease::Open {
            return Err("a slot was freed whose client still waits");
        }
        let generation = self.records[slot].generation;
        self.records[slot] = Record { lease: Lease::None, generation, position: 0, retried: false };
        memory.store_free(slot)
    }
}

/// The stages of a turn, in their order.
impl Shard {
    fn look_for_deaths(&mut self) {
        self.step = ShardStep::ReadDeaths;
    }

    pub(crate) fn look_for_passed(&mut self) {
        self.step = if self.cancelled() == 0 { ShardStep::Take } else { ShardStep::ReadHead };
    }

    fn submit(&mut self) {
        let free = self.with(|_| true) ^ ((1 << SLOTS) - 1);
        if self.queued > 0 && free != 0 {
            self.pending = 1 << lowest(free);
            self.step = ShardStep::SubmitReady;
        } else if self.fresh > 0 {
            self.step = ShardStep::ReadSpinning;
        } else {
            self.nudge();
        }
    }

    fn nudge(&mut self) {
        (self.idle, self.fresh, self.call) = (0, 0, Call::Read);
        self.pending = if std::mem::take(&mut self.tick) { self.busy() } else { 0 };
        self.each(ShardStep::Nudge, Self::sleep);
    }

    fn sleep(&mut self) {
        self.step = ShardStep::Arm;
    }
}

/// All that the shard may do next.
pub(crate) fn steps(
    state: &State,
    settings: &Settings,
    mut found: impl FnMut(Kind, Result<State, Violation>),
) {
    match state.shard.step {
        ShardStep::Dead => {}
        ShardStep::Take => take(state, settings, found),
        ShardStep::Block => wake_ups(state, settings, found),
        _ => found(Kind::Sure, advance(*state, settings)),
    }
}

/// What may end the sleep. A doorbell does; the tick does; clients may.
fn wake_ups(
    state: &State,
    settings: &Settings,
    mut found: impl FnMut(Kind, Result<State, Violation>),
) {
    let mut awake = *state;
    awake.shard.step = ShardStep::MakeEven;
    if state.memory.sleepers[SHARD].rung {
        found(Kind::Sure, advance(*state, settings));
    }
    let leaving = state.leavers > 0 && state.shard.with(|r| r.lease == Lease::Open) != 0;
    if state.jobs > 0 || leaving {
        found(Kind::Chance, advance(awake, settings));
    }
    if settings.tick && (state.shard.queued > 0 || state.shard.with(|_| true) != 0) {
        awake.shard.tick = true;
        found(Kind::Sure, advance(awake, settings));
    }
}

/// What may have come in: any number of new jobs, or a client that leaves; or nothing.
fn take(state: &State, settings: &Settings, mut found: impl FnMut(Kind, Result<State, Violation>)) {
    for taken in 0..=state.jobs {
        let mut next = *state;
        next.jobs -= taken;
        next.shard.queued += taken;
        next.shard.submit();
        found(if taken == 0 { Kind::Sure } else { Kind::Chance }, advance(next, settings));
    }
    for slot in (0..SLOTS).filter(|&slot| state.shard.records[slot].lease == Lease::Open) {
        let mut next = *state;
        if state.leavers > 0 {
            next.leavers -= 1;
            next.shard.pending = 1 << slot;
            next.shard.step = ShardStep::CancelSlot;
            found(Kind::Chance, advance(next, settings));
        }
    }
}

fn advance(mut state: State, settings: &Settings) -> Result<State, Violation> {
    let mut me = state.shard;
    let memory = &mut state.memory;
    match me.step {
        ShardStep::MakeEven => {
            memory.set_asleep(SHARD, false, settings.has(Flaw::SleepFlag));
            me.step = ShardStep::SwapAttention;
        }
        ShardStep::Arm => {
            memory.set_asleep(SHARD, true, settings.has(Flaw::SleepFlag));
            me.step = ShardStep::LookAtAttention;
        }
        ShardStep::LookAtAttention if memory.attention != 0 => me.step = ShardStep::MakeEven,
        ShardStep::LookAtAttention => me.step = ShardStep::LookAtDeaths,
        ShardStep::LookAtDeaths if memory.deaths_moved => me.step = ShardStep::MakeEven,
        ShardStep::LookAtDeaths => me.step = ShardStep::Block,
        ShardStep::Block => {
            assert!(memory.hear(SHARD), "the shard goes on only when it was rung");
            me.step = ShardStep::MakeEven;
        }
        ShardStep::Take | ShardStep::Dead => unreachable!("the caller knows what these may do"),
        _ if is_collect(me.step) => collect(memory, &mut me)?,
        _ if is_death(me.step) => look_after_dead(memory, &mut me, settings)?,
        _ if is_cancel(me.step) => cancel(memory, &mut me, settings)?,
        _ if is_submit(me.step) => submit(memory, &mut me, settings)?,
        _ => super::adoption::advance(memory, &mut me, settings)?,
    }
    state.shard = me;
    Ok(state)
}

fn is_collect(step: ShardStep) -> bool {
    matches!(step, ShardStep::SwapAttention | ShardStep::Collect | ShardStep::CollectFree)
}

fn collect(memory: &mut Memory, me: &mut Shard) -> Result<(), Violation> {
    match me.step {
        ShardStep::SwapAttention => {
            me.pending = std::mem::take(&mut memory.attention);
            me.each(ShardStep::Collect, Shard::look_for_deaths);
        }
        ShardStep::Collect => {
            let (slot, record) = (&memory.slots[me.slot()], me.records[me.slot()]);
            let expected = me.busy() >> me.slot() & 1 == 1 && slot.generation == record.generation;
            if expected && slot.tag == Tag::Done {
                me.outcome(me.slot())?;
                me.step = ShardStep::CollectFree;
            } else {
                me.next_slot(ShardStep::Collect, Shard::look_for_deaths);
            }
        }
        _ => {
            me.free(memory, me.slot())?;
            me.next_slot(ShardStep::Collect, Shard::look_for_deaths);
        }
    }
    Ok(())
}

fn is_death(step: ShardStep) -> bool {
    use ShardStep::{AgainCell, AgainMirror, AgainReady};
    use ShardStep::{ReadDeaths, Scan, ScanAgain, ScanFree, ScanLife};
    matches!(step, ReadDeaths | Scan | ScanLife | ScanAgain | ScanFree)
        || matches!(step, AgainReady | AgainCell | AgainMirror)
}

/// A death was counted: what do its slots say? Once the life word says that the owner is dead, the
/// slot's word is final; what was read before it is not.
fn look_after_dead(
    memory: &mut Memory,
    me: &mut Shard,
    settings: &Settings,
) -> Result<(), Violation> {
    if me.step == ShardStep::ReadDeaths {
        me.pending = if std::mem::take(&mut memory.deaths_moved) { me.busy() } else { 0 };
        me.each(ShardStep::Scan, Shard::look_for_passed);
        return Ok(());
    }
    let slot = me.slot();
    let state = memory.slots[slot];
    match me.step {
        ShardStep::Scan if state.tag == Tag::Done => finish(me)?,
        ShardStep::Scan if matches!(state.tag, Tag::Claimed | Tag::Running) => {
            me.started = state.tag == Tag::Running;
            me.step = ShardStep::ScanLife;
        }
        ShardStep::Scan => me.next_slot(ShardStep::Scan, Shard::look_for_passed),
        ShardStep::ScanLife => {
            let life = memory.lives[usize::from(state.owner.worker)];
            let last_only =
                life.incarnation > state.owner.incarnation + 1 && settings.has(Flaw::LastDeathOnly);
            if !memory.is_dead(state.owner) || last_only {
                me.started = false;
                me.next_slot(ShardStep::Scan, Shard::look_for_passed);
            } else if settings.has(Flaw::StateBeforeLife) {
                settle(me, settings)?;
            } else {
                me.step = ShardStep::ScanAgain;
            }
        }
        ShardStep::ScanAgain if state.tag == Tag::Done => finish(me)?,
        ShardStep::ScanAgain => {
            me.started = state.tag == Tag::Running;
            settle(me, settings)?;
        }
        ShardStep::ScanFree => {
            me.free(memory, slot)?;
            me.next_slot(ShardStep::Scan, Shard::look_for_passed);
        }
        ShardStep::AgainReady => {
            store_ready(memory, me, true)?;
            me.step = ShardStep::AgainCell;
        }
        ShardStep::AgainCell => {
            store_cell(memory, me)?;
            me.step = ShardStep::AgainMirror;
        }
        _ => {
            memory.mirror = me.tail;
            me.next_slot(ShardStep::Scan, Shard::look_for_passed);
        }
    }
    Ok(())
}

fn finish(me: &mut Shard) -> Result<(), Violation> {
    me.started = false;
    me.step = ShardStep::ScanFree;
    me.outcome(me.slot())
}

/// A job of the dead: once more, if nobody has seen it or it may be seen twice; else 502.
fn settle(me: &mut Shard, settings: &Settings) -> Result<(), Violation> {
    let record = me.records[me.slot()];
    let started = std::mem::take(&mut me.started);
    let again = record.lease == Lease::Open && !record.retried && (!started || settings.repeatable);
    if again {
        me.step = ShardStep::AgainReady;
        return Ok(());
    }
    finish(me)
}

fn is_cancel(step: ShardStep) -> bool {
    use ShardStep::{CancelSlot, CancelStore, CancelWake, FreeCancelled, PassHint, ReadHead};
    matches!(step, CancelSlot | CancelStore | CancelWake | ReadHead | PassHint | FreeCancelled)
}

/// A client left, or its deadline passed.
fn cancel(memory: &mut Memory, me: &mut Shard, settings: &Settings) -> Result<(), Violation> {
    match me.step {
        ShardStep::CancelSlot => {
            let (slot, generation) = (me.slot(), me.records[me.slot()].generation);
            if memory.cancel(slot, generation) {
                me.records[slot].lease = Lease::Cancelled;
                me.pending = 0;
                me.look_for_passed();
            } else if memory.slots[slot].tag == Tag::Done {
                // Its bit is set, or will be: it is collected like any other.
                me.pending = 0;
                me.step = ShardStep::Take;
            } else {
                me.idle = 1 << memory.slots[slot].owner.worker;
                me.step = ShardStep::CancelStore;
            }
        }
        ShardStep::CancelStore => {
            cancel_running(memory, me);
            me.step = ShardStep::CancelWake;
        }
        ShardStep::CancelWake => {
            if wake_owner(memory, me, settings) {
                me.pending = 0;
                me.step = ShardStep::Take;
            }
        }
        ShardStep::ReadHead => {
            let head = memory.head;
            me.pending = me.cancelled() & me.with(|record| record.position < head);
            if me.pending != 0 {
                me.step = ShardStep::FreeCancelled;
            } else if me.is_over(memory, head) && !settings.has(Flaw::CancelledHintsStay) {
                me.position = head;
                me.step = ShardStep::PassHint;
            } else {
                me.step = ShardStep::Take;
            }
        }
        ShardStep::PassHint => {
            memory.pass_head(std::mem::take(&mut me.position));
            me.step = ShardStep::ReadHead;
        }
        _ => {
            me.free(memory, me.slot())?;
            me.next_slot(ShardStep::FreeCancelled, Shard::look_for_passed);
        }
    }
    Ok(())
}

pub(crate) fn cancel_running(memory: &mut Memory, me: &mut Shard) {
    let slot = me.slot();
    memory.slots[slot].cancel = true;
    me.records[slot].lease = Lease::Orphan;
    me.call = Call::Read;
}

/// One access of waking the only worker in `idle`; true when that is done.
pub(crate) fn wake_owner(memory: &mut Memory, me: &mut Shard, settings: &Settings) -> bool {
    let pair = Pair { waker: SHARD, sleeper: lowest(me.idle) };
    match call(memory, pair, me.call, settings) {
        Progress::Next(call) => me.call = call,
        Progress::Awake | Progress::Rung => (me.idle, me.call) = (0, Call::Read),
    }
    me.idle == 0
}

fn is_submit(step: ShardStep) -> bool {
    use ShardStep::{Nudge, ReadIdle, ReadSpinning, SubmitCell, SubmitMirror, SubmitReady, Wake};
    matches!(step, SubmitReady | SubmitCell | SubmitMirror)
        || matches!(step, ReadSpinning | ReadIdle | Wake | Nudge)
}

fn submit(memory: &mut Memory, me: &mut Shard, settings: &Settings) -> Result<(), Violation> {
    match me.step {
        ShardStep::SubmitReady => {
            me.queued -= 1;
            store_ready(memory, me, false)?;
            me.step = ShardStep::SubmitCell;
        }
        ShardStep::SubmitCell => {
            store_cell(memory, me)?;
            me.step = ShardStep::SubmitMirror;
        }
        ShardStep::SubmitMirror => {
            memory.mirror = me.tail;
            me.pending = 0;
            me.submit();
        }
        ShardStep::ReadSpinning if memory.spinning != 0 => me.nudge(),
        ShardStep::ReadSpinning => me.step = ShardStep::ReadIdle,
        ShardStep::ReadIdle => {
            me.idle = memory.idle;
            if me.idle == 0 { me.nudge() } else { me.step = ShardStep::Wake }
        }
        ShardStep::Wake => wake(memory, me, settings),
        _ if memory.slots[me.slot()].tag == Tag::Ready => {
            (me.pending, me.fresh) = (0, 1);
            let heeds = settings.has(Flaw::NudgeHeedsSpinners);
            me.step = if heeds { ShardStep::ReadSpinning } else { ShardStep::ReadIdle };
        }
        _ => me.next_slot(ShardStep::Nudge, Shard::sleep),
    }
    Ok(())
}

/// Who is awake already does not count; who was rung does, even if somebody else was quicker.
fn wake(memory: &mut Memory, me: &mut Shard, settings: &Settings) {
    let pair = Pair { waker: SHARD, sleeper: lowest(me.idle) };
    match call(memory, pair, me.call, settings) {
        Progress::Next(call) => {
            me.call = call;
            return;
        }
        Progress::Awake => {}
        Progress::Rung => me.fresh -= 1,
    }
    me.call = Call::Read;
    me.idle &= me.idle - 1;
    if me.idle == 0 || me.fresh == 0 {
        me.nudge();
    }
}

fn store_ready(memory: &mut Memory, me: &mut Shard, again: bool) -> Result<(), Violation> {
    let slot = me.slot();
    let generation = me.records[slot].generation + 1;
    me.records[slot] = Record { lease: Lease::Open, generation, position: me.tail, retried: again };
    memory.store_ready(slot, generation, again)
}

fn store_cell(memory: &mut Memory, me: &mut Shard) -> Result<(), Violation> {
    memory.store_hint(me.tail, me.slot())?;
    me.tail += 1;
    me.fresh += 1;
    Ok(())
}
