//! What a new incarnation of the shard does first: it takes over what its predecessor left.

use super::memory::{Memory, SHARD, SLOTS, Tag};
use super::settings::{Flaw, Settings};
use super::shard::{Lease, Shard, ShardStep, cancel_running, wake_owner};
use crate::search::Violation;

pub(super) fn advance(
    memory: &mut Memory,
    me: &mut Shard,
    settings: &Settings,
) -> Result<(), Violation> {
    match me.step {
        ShardStep::AdoptEpoch => {
            memory.next_epoch();
            me.step = ShardStep::AdoptEven;
        }
        // The predecessor may have died asleep, and somebody may be about to wake it: its number
        // must not be the one that this incarnation goes to sleep with.
        ShardStep::AdoptEven => {
            if !settings.has(Flaw::SleepOfTheDeadStays) {
                memory.set_asleep(SHARD, false, settings.has(Flaw::SleepFlag));
            }
            me.step = ShardStep::AdoptDeaths;
        }
        // Before any slot is read: a death from now on is scanned for.
        ShardStep::AdoptDeaths => {
            memory.deaths_moved = false;
            me.step = ShardStep::AdoptMirror;
        }
        ShardStep::AdoptMirror => {
            me.tail = memory.mirror;
            me.step = ShardStep::AdoptHead;
        }
        ShardStep::AdoptHead => {
            me.tail = me.tail.max(memory.head);
            me.step = ShardStep::AdoptCell;
        }
        // The mirror may be a hint behind.
        ShardStep::AdoptCell if memory.hint(me.tail, true).is_some() => me.tail += 1,
        ShardStep::AdoptCell => me.step = ShardStep::AdoptStore,
        ShardStep::AdoptStore => {
            memory.mirror = me.tail;
            me.pending = (1 << SLOTS) - 1;
            me.step = ShardStep::AdoptSlot;
        }
        // All hints below the tail are of slots that are not READY any more.
        ShardStep::AdoptPass => {
            if !memory.pass_head(memory.head.min(me.tail - 1)) {
                me.look_for_passed();
            }
        }
        _ => take_over(memory, me, settings)?,
    }
    Ok(())
}

fn take_over(memory: &mut Memory, me: &mut Shard, settings: &Settings) -> Result<(), Violation> {
    let slot = me.slot();
    let (state, last) = (memory.slots[slot], me.tail - 1);
    let record = &mut me.records[slot];
    match me.step {
        ShardStep::AdoptSlot => {
            record.generation = state.generation;
            match state.tag {
                Tag::Free => next(me),
                Tag::Ready => me.step = ShardStep::AdoptCancel,
                Tag::Done => me.step = ShardStep::AdoptFree,
                Tag::Claimed | Tag::Running => me.step = ShardStep::AdoptLife,
                Tag::Cancelled => {
                    (record.lease, record.position) = (Lease::Cancelled, last);
                    next(me);
                }
            }
        }
        ShardStep::AdoptCancel if memory.cancel(slot, record.generation) => {
            (record.lease, record.position) = (Lease::Cancelled, last);
            next(me);
        }
        ShardStep::AdoptCancel => me.step = ShardStep::AdoptSlot,
        ShardStep::AdoptLife if memory.is_dead(state.owner) => me.step = ShardStep::AdoptFree,
        ShardStep::AdoptLife => {
            me.idle = 1 << state.owner.worker;
            me.step = ShardStep::AdoptCancelStore;
        }
        ShardStep::AdoptFree => {
            me.free(memory, slot)?;
            next(me);
        }
        ShardStep::AdoptCancelStore => {
            cancel_running(memory, me);
            me.step = ShardStep::AdoptWake;
        }
        _ => {
            if wake_owner(memory, me, settings) {
                next(me);
            }
        }
    }
    // The next stage begins behind the last slot; without it the hints wait for workers.
    if me.step == ShardStep::AdoptPass && settings.has(Flaw::CancelledHintsStay) {
        me.look_for_passed();
    }
    Ok(())
}

fn next(me: &mut Shard) {
    me.next_slot(ShardStep::AdoptSlot, |me| me.step = ShardStep::AdoptPass);
}
