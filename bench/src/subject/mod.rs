//! The servers under test: what each is, where it lies, how it is started, checked, held and
//! ended.
//!
//! A subject is a small file in `bench/subjects` and no code of ours: `Description` reads it,
//! `find` turns it into a `Ready` program of this machine, `start` into a `Running` server that
//! has given a right answer. Nothing here knows what is measured.

mod answer;
mod command;
mod description;
mod guard;
mod port;
mod running;
mod start;
mod system;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use self::answer::Route;
pub(crate) use self::description::{Description, Event};
pub(crate) use self::running::Running;
pub(crate) use self::start::Place;
pub(crate) use self::system::{Ready, find_program};
pub(crate) use self::tree::kill;
