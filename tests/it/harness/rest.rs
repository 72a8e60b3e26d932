//! What a server holds when nobody wants anything, to be compared before and after a fault.

use std::time::Duration;

use super::{Server, pause, process, wait_until};

/// Memory and descriptors of a server at rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(crate) descriptors: usize,
    pub(crate) memory_bytes: u64,
}

impl Rest {
    pub(crate) fn of(server: &Server) -> Rest {
        Rest { descriptors: server.descriptors(), memory_bytes: server.memory_bytes() }
    }

    /// Everything a fault made the server hold must be given back.
    #[track_caller]
    pub(crate) fn expect_again(self, server: &Server, what: &str) {
        self.expect_released(server, what);
        wait_until(&format!("memory is back after {what}"), || self.is_memory_back(server));
    }

    fn is_memory_back(self, server: &Server) -> bool {
        server.memory_bytes() <= self.memory_bytes + MEMORY_SLACK
    }

    /// The same after a while at the most.
    pub(crate) fn is_memory_back_soon(self, server: &Server) -> bool {
        for _ in 0..20 {
            if self.is_memory_back(server) {
                return true;
            }
            pause(Duration::from_millis(100));
        }
        false
    }

    /// Sockets and descriptors must be given back.
    #[track_caller]
    pub(crate) fn expect_released(self, server: &Server, what: &str) {
        let port = server.address.port();
        wait_until(&format!("no socket is left after {what}"), || {
            process::sockets(port).iter().all(|socket| socket.listening)
        });
        wait_until(&format!("descriptors are back after {what}"), || {
            server.descriptors() <= self.descriptors
        });
    }
}

/// What the allocator and the counters of the kernel may differ by between two quiet moments.
const MEMORY_SLACK: u64 = 2 << 20;
