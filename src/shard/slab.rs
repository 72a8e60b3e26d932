//! The connections of a shard, in chunks that never move: growing costs no copy and an idle
//! connection is one entry.

use std::os::fd::OwnedFd;

use super::conn::Conn;
use super::timer::{Node, Nodes};
use crate::net::ConnId;

/// Entries of a chunk: 32 KiB at 128 bytes each.
const CHUNK: usize = 256;

/// All connections of one shard.
pub(crate) struct Slab {
    chunks: Vec<Box<[Entry]>>,
    /// First vacant entry, as a list through them.
    vacant: Option<u32>,
    /// Entries in use.
    count: usize,
}

pub(crate) struct Entry {
    /// Owner of the entry, counted modulo 2^24.
    generation: u32,
    timer: Node,
    state: State,
}

enum State {
    Occupied(Conn),
    Vacant { next: Option<u32> },
}

impl Slab {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), vacant: None, count: 0 }
    }

    /// Connections alive.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Take an entry for `conn`.
    pub(crate) fn insert(&mut self, conn: Conn) -> ConnId {
        let index = match self.vacant {
            Some(index) => index,
            None => self.grow(),
        };
        let entry = self.entry(index);
        let State::Vacant { next } = entry.state else {
            unreachable!("the list of vacant entries holds only vacant ones")
        };
        entry.state = State::Occupied(conn);
        let generation = entry.generation;
        self.vacant = next;
        self.count += 1;
        ConnId { index, generation }
    }

    /// The connection, if this very one still lives.
    #[inline]
    pub(crate) fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        let entry = &mut self.chunks[id.index as usize / CHUNK][id.index as usize % CHUNK];
        match &mut entry.state {
            State::Occupied(conn) if entry.generation == id.generation => Some(conn),
            State::Occupied(_) | State::Vacant { .. } => None,
        }
    }

    /// Free the entry.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        let next = self.vacant;
        let entry = self.entry(id.index);
        entry.generation = (entry.generation + 1) & ConnId::GENERATION_MASK;
        let state = std::mem::replace(&mut entry.state, State::Vacant { next });
        self.vacant = Some(id.index);
        self.count -= 1;
        match state {
            State::Occupied(conn) => Some(conn),
            State::Vacant { .. } => None,
        }
    }

    /// The id of whoever lives at `index`.
    pub(crate) fn id_at(&mut self, index: u32) -> Option<ConnId> {
        let entry = self.entry(index);
        match entry.state {
            State::Occupied(_) => Some(ConnId { index, generation: entry.generation }),
            State::Vacant { .. } => None,
        }
    }

    /// The ids of all, in no particular order.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        let entries = self.chunks.iter().flatten().zip(0u32..);
        entries
            .filter(|(entry, _)| matches!(entry.state, State::Occupied(_)))
            .map(|(entry, index)| ConnId { index, generation: entry.generation })
            .collect()
    }

    fn entry(&mut self, index: u32) -> &mut Entry {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// Add a chunk; returns its first entry, the head of the list of vacant ones.
    fn grow(&mut self) -> u32 {
        let first = self.chunks.len() * CHUNK;
        let entry = |offset: usize| {
            let next = (offset + 1 < CHUNK).then(|| (first + offset + 1) as u32);
            Entry { generation: 0, timer: Node::new(), state: State::Vacant { next } }
        };
        self.chunks.push((0..CHUNK).map(entry).collect());
        first as u32
    }
}

impl Nodes for Slab {
    fn node(&mut self, index: u32) -> &mut Node {
        &mut self.entry(index).timer
    }
}

const _: () = {
    // What an idle connection costs us, all told.
    assert!(size_of::<Entry>() <= 128);
    assert!(size_of::<OwnedFd>() == 4);
};
