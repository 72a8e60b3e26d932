//! Opening what the settings say to listen on.

use std::net::SocketAddr;

use crate::config::grants::Finding;
use crate::config::{Address, Config};
use crate::net::listener::{
    BindError, Group, Inherited, Listener, SocketFile, open_group, open_path, systemd_names,
};
use crate::sys::procfs::listener_holder;
use crate::sys::user::User;

/// All that is listened on.
#[derive(Debug)]
pub(super) struct Listening {
    /// For each shard its listeners, one per address or inherited socket.
    pub(super) shards: Vec<Vec<Listener>>,
    /// The names of those in the file system.
    pub(super) files: Vec<SocketFile>,
}

/// Opens everything; what was made is unmade again when something is refused.
pub(super) fn open(config: &Config, owner: Option<&User>) -> Result<Listening, Finding> {
    let count = config.placement.shards.len();
    let shards = (0..count).map(|_| Vec::new()).collect();
    let mut listening = Listening { shards, files: Vec::new() };
    let mut opened: Vec<Option<Vec<Listener>>> = Vec::new();
    // Numbers of descriptors first: what we open ourselves could get one that is named wrongly.
    for address in &config.server.listen {
        let inherited = inherited(address).map(Inherited::open).transpose();
        opened.push(inherited.map_err(|error| refused(address, error))?);
    }
    for (address, inherited) in config.server.listen.iter().zip(opened) {
        let added = match inherited {
            Some(sockets) => sockets.into_iter().try_for_each(|socket| listening.share(socket)),
            None => listening.bind(address, config, owner),
        };
        added.map_err(|error| {
            listening.withdraw();
            refused(address, error)
        })?;
    }
    Ok(listening)
}

impl Listening {
    fn bind(
        &mut self,
        address: &Address,
        config: &Config,
        owner: Option<&User>,
    ) -> Result<(), BindError> {
        let backlog = config.server.backlog;
        match address {
            Address::Tcp(address) => {
                let count = u16::try_from(self.shards.len()).expect("options bound every count");
                let only_v6 = only_v6(&config.server.listen, *address);
                let group = open_group(Group { address: *address, count, backlog, only_v6 })?;
                for (shard, listener) in self.shards.iter_mut().zip(group) {
                    shard.push(listener);
                }
            }
            Address::Unix(unix) => {
                let (socket, file) = open_path(&unix.path, unix.mode, owner, backlog)?;
                self.files.push(file);
                self.share(socket)?;
            }
            Address::Descriptor(_) | Address::Systemd(_) => unreachable!("inherited"),
        }
        Ok(())
    }

    /// Gives every shard a descriptor of the same socket.
    fn share(&mut self, socket: Listener) -> Result<(), BindError> {
        for shard in &mut self.shards {
            let copy = socket.duplicate();
            shard.push(copy.map_err(|error| BindError { step: "dup", error })?);
        }
        Ok(())
    }

    /// Leaves no name behind. One that cannot be removed is replaced by the next start.
    pub(super) fn withdraw(&mut self) {
        let _ = self.files.drain(..).try_for_each(|file| file.remove());
    }
}

/// What systemd passes though no address names it, in words.
pub(super) fn unnamed(config: &Config) -> impl Iterator<Item = String> {
    let is_named = |name: &String| {
        config.server.listen.iter().any(|address| *address == Address::Systemd(name.clone()))
    };
    let names = systemd_names().into_iter();
    names
        .filter(move |name| !is_named(name))
        .map(|name| format!("systemd passes a socket `{name}` on which nobody is served"))
}

fn inherited(address: &Address) -> Option<Inherited<'_>> {
    match address {
        Address::Descriptor(number) => Some(Inherited::Number(*number)),
        Address::Systemd(name) => Some(Inherited::Named(name)),
        Address::Tcp(_) | Address::Unix(_) => None,
    }
}

/// Whether an IPv6 wildcard has to leave IPv4 to another address of the same port.
fn only_v6(addresses: &[Address], address: SocketAddr) -> bool {
    let mut tcp = addresses.iter().filter_map(Address::tcp);
    tcp.any(|other| other.is_ipv4() && other.port() == address.port())
}

fn refused(address: &Address, refused: BindError) -> Finding {
    let holder = address.tcp().and_then(listener_holder);
    Finding::of_address(address, refused.step, &refused.error, holder)
}
