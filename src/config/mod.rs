//! Settings: what was written, and what it means on this machine.
//!
//! `options` defines each option once. `file`, the environment and the command line fill
//! `Settings`, in which every value knows where it came from; `resolved` checks them against
//! each other and the machine and makes the one immutable `Config`. All faults are found in one
//! run.

mod address;
pub mod bad_value;
pub mod codes;
pub mod cpus;
pub mod drawing;
mod environment;
pub mod fault;
mod file;
pub mod grants;
pub mod machine;
pub mod options;
pub mod origin;
pub mod placement;
mod pool;
mod quantity;
mod relations;
pub mod resolved;
pub mod route;
pub mod settings;
pub mod suggest;
mod syntax;
#[cfg(test)]
pub(crate) mod tests;
pub mod value;
mod wishes;

pub use address::{Address, UnixAddress};
pub use fault::{Fault, Faults, Notice, Weight};
pub use machine::Machine;
pub use origin::Origin;
pub use placement::Placement;
pub use pool::{
    BootConfig, HalfClose, PoolConfig, PoolKind, Preload, RequestConfig, RestartConfig,
    is_pool_name,
};
pub use resolved::{
    Config, EngineWish, Idle, LogConfig, LogFormat, LogLevel, SPIN_ALWAYS, ServerConfig,
    ShardConfig, ShutdownConfig,
};
pub use route::RouteConfig;
pub use settings::{PoolSettings, Purpose, Setting, Settings, Sources, Values};
