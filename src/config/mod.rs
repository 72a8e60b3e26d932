//! Settings: what was written, and what it means on this machine.
//!
//! `options` defines each option once. `file`, the environment and the command line fill
//! `Settings`, in which every value knows where it came from; `resolved` checks them against
//! each other and the machine and makes the one immutable `Config`. All faults are found in one
//! run.

pub mod cpus;
pub mod drawing;
pub mod fault;
mod file;
pub mod machine;
pub mod options;
pub mod placement;
pub mod resolved;
pub mod settings;
pub mod suggest;
#[cfg(test)]
mod tests;
pub mod value;

pub use fault::{Fault, Faults};
pub use machine::Machine;
pub use placement::Placement;
pub use resolved::{
    Config, Idle, LogConfig, LogFormat, LogLevel, ServerConfig, ShardConfig, ShutdownConfig,
};
pub use settings::{Origin, Settings, Sources};
