//! The bare ring loop: what the kernel and a parser cost when nothing else is there.
//!
//! It is the limit that corewise is measured against, so it does what a server cannot do without
//! (accept, receive, find the end of each request, answer, close) and nothing more: one fixed
//! answer, no routing, no deadlines, no bodies, no checks beyond the parser's. It sleeps in its
//! ring. Options that were tried and lost stay selectable (`--ring`), so that their price can be
//! measured again on another kernel.

mod answer;
mod buffers;
mod connection;
mod options;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use io_uring::squeue::{self, Flags};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, types};

use self::answer::Answer;
use self::buffers::{Buffers, GROUP};
use self::connection::{Connections, Input, Life};
pub(crate) use self::options::Options;

/// Serves until the process is ended.
pub(crate) fn run(listener: &TcpListener, options: &Options) -> io::Result<()> {
    // The queues borrow the ring, and the loop holds all three until the process ends.
    let ring = Box::leak(Box::new(open_ring(options)?));
    let (mut submitter, submissions, completions) = ring.split();
    if options.registered_ring {
        submitter.register_ring_fd()?;
    }
    if options.direct {
        submitter.register_files_sparse(CONNECTIONS_MAX)?;
    }
    let mut buffers = Buffers::map()?;
    buffers.register(&submitter)?;
    let mut server = Server {
        submitter,
        submissions,
        options: options.clone(),
        listener: listener.as_raw_fd(),
        buffers,
        connections: Connections::default(),
        answer: Answer::new(),
        spare: Vec::new(),
    };
    server.serve(completions)
}

fn open_ring(options: &Options) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_cqsize(COMPLETIONS_MAX);
    if options.no_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(SUBMISSIONS_MAX)
}

struct Server {
    submitter: Submitter<'static>,
    submissions: SubmissionQueue<'static>,
    options: Options,
    listener: i32,
    buffers: Buffers,
    connections: Connections,
    answer: Answer,
    /// Buffers for answers, the last used first, so that they stay in the cache.
    spare: Vec<Vec<u8>>,
}

impl Server {
    fn serve(&mut self, mut completions: CompletionQueue<'static>) -> io::Result<()> {
        self.accept();
        loop {
            self.buffers.publish();
            self.submissions.sync();
            match self.enter() {
                Ok(_) => {}
                // A signal or a full completion queue: take what is there and come back.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                Err(error) => return Err(error),
            }
            self.submissions.sync();
            completions.sync();
            self.answer.refresh();
            for completion in &mut completions {
                self.complete(&completion);
            }
            // Without this the kernel counts what was taken as still waiting, and never sleeps.
            completions.sync();
        }
    }

    /// Submits and waits in one call.
    fn enter(&self) -> io::Result<usize> {
        if !self.options.no_iowait {
            return self.submitter.submit_and_wait(1);
        }
        let flags = io_uring::EnterFlags::GETEVENTS | io_uring::EnterFlags::NO_IOWAIT;
        // SAFETY: no argument is passed (None), and the count is what the queue holds.
        unsafe {
            self.submitter.enter::<libc::sigset_t>(
                self.submissions.len() as u32,
                1,
                flags.bits(),
                None,
            )
        }
    }

    fn complete(&mut self, completion: &cqueue::Entry) {
        let token = Token::from_user_data(completion.user_data());
        let more = cqueue::more(completion.flags());
        match token.operation {
            Operation::Accept => self.accepted(completion.result(), more),
            // Only failures are posted: there was nothing left to cancel.
            Operation::Cancel => {}
            Operation::Close => self.closed(token.connection, completion.result()),
            Operation::Receive => self.received(token.connection, completion, more),
            Operation::Send => self.sent(token.connection, completion.result()),
        }
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener))
            .allocate_file_index(self.options.direct)
            .flags(if self.options.direct { 0 } else { libc::SOCK_CLOEXEC })
            .build();
        self.push(entry, Operation::Accept, 0);
    }

    fn accepted(&mut self, result: i32, more: bool) {
        if result >= 0 {
            let connection = self.connections.open(result);
            self.receive(connection);
        }
        if !more {
            self.accept();
        }
    }

    /// Arms the multishot receive of a connection.
    fn receive(&mut self, connection: u32) {
        let state = self.connections.get(connection);
        state.operations += 1;
        state.receiving = true;
        let fd = types::Fd(state.fd);
        let entry = if self.options.first_single && state.first {
            opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(fd, GROUP).build()
        };
        self.push_socket(entry, Operation::Receive, connection);
    }

    fn received(&mut self, connection: u32, completion: &cqueue::Entry, more: bool) {
        let state = self.connections.get(connection);
        state.receiving = more;
        if !more {
            state.operations -= 1;
        }
        let result = completion.result();
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            if state.life == Life::Open {
                let bytes = self.buffers.bytes(id, usize::try_from(result).unwrap_or(0));
                let mut out = self.spare.pop().unwrap_or_default();
                if state.take(bytes, &self.answer, &mut out) == Input::Close {
                    state.life = Life::Ending;
                }
                self.put(connection, out);
            }
            self.buffers.give_back(id);
        }
        let state = self.connections.get(connection);
        let again = result > 0 || matches!(-result, libc::ENOBUFS | libc::EINTR);
        if !again && state.life == Life::Open {
            // The peer has ended its direction or is gone; what it asked before is answered.
            state.life = Life::Ending;
        }
        match state.life {
            Life::Open if !more => self.receive(connection),
            Life::Open => {}
            Life::Ending if state.sending.is_empty() => self.close(connection),
            Life::Ending => {}
            Life::Closing => self.receive_ended(connection),
        }
    }

    /// The receive of a connection that is being closed: only its end matters.
    fn receive_ended(&mut self, connection: u32) {
        let state = self.connections.get(connection);
        if state.receiving {
            return;
        }
        if self.options.patient_close && state.operations == 0 {
            self.close_descriptor(connection);
        } else {
            self.remove_if_done(connection);
        }
    }

    /// Sends answers, or lets them wait for the send that is under way.
    fn put(&mut self, connection: u32, mut out: Vec<u8>) {
        let state = self.connections.get(connection);
        if out.is_empty() {
            self.spare.push(out);
        } else if state.sending.is_empty() {
            state.sending = out;
            self.send(connection, self.options.linked_close);
        } else {
            state.waiting.append(&mut out);
            self.spare.push(out);
        }
    }

    /// Sends the rest of `sending`; the last answer of a connection may take the close with it.
    fn send(&mut self, connection: u32, may_link: bool) {
        let state = self.connections.get(connection);
        let rest = &state.sending[state.sent..];
        let entry = opcode::Send::new(types::Fd(state.fd), rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        state.operations += 1;
        if may_link && state.life == Life::Ending && state.waiting.is_empty() {
            // A short or failed send breaks the chain; `closed` then finds the close cancelled.
            self.push_socket(entry.flags(Flags::IO_LINK), Operation::Send, connection);
            self.close(connection);
        } else {
            self.push_socket(entry, Operation::Send, connection);
        }
    }

    fn sent(&mut self, connection: u32, result: i32) {
        let state = self.connections.get(connection);
        state.operations -= 1;
        match usize::try_from(result) {
            Ok(sent) => state.sent += sent,
            // The peer is gone, and with it the use of what it asked for.
            Err(_) => {
                state.waiting.clear();
                state.sent = state.sending.len();
                if state.life == Life::Open {
                    state.life = Life::Ending;
                }
            }
        }
        if state.sent == state.sending.len() {
            state.sent = 0;
            let mut done =
                std::mem::replace(&mut state.sending, std::mem::take(&mut state.waiting));
            done.clear();
            self.spare.push(done);
        }
        let state = self.connections.get(connection);
        match state.life {
            // Linked: the close follows, or comes back cancelled.
            Life::Closing => self.remove_if_done(connection),
            _ if !state.sending.is_empty() => self.send(connection, false),
            Life::Ending => self.close(connection),
            Life::Open => {}
        }
    }

    /// Cancels the armed receive, which holds the socket, and closes the descriptor.
    fn close(&mut self, connection: u32) {
        let state = self.connections.get(connection);
        state.life = Life::Closing;
        let receiving = state.receiving;
        if receiving {
            let target = Token { operation: Operation::Receive, connection }.user_data();
            let mut cancel = opcode::AsyncCancel::new(target).build().flags(Flags::SKIP_SUCCESS);
            if self.options.linked_close {
                // A hard link: the close follows whatever the cancel found.
                cancel = cancel.flags(Flags::IO_HARDLINK);
            }
            self.push(cancel, Operation::Cancel, connection);
        }
        if !receiving || !self.options.patient_close {
            self.close_descriptor(connection);
        }
    }

    fn close_descriptor(&mut self, connection: u32) {
        let state = self.connections.get(connection);
        state.operations += 1;
        let close = if self.options.direct {
            opcode::Close::new(types::Fixed(state.fd as u32)).build()
        } else {
            opcode::Close::new(types::Fd(state.fd)).build()
        };
        self.push(close, Operation::Close, connection);
    }

    fn closed(&mut self, connection: u32, result: i32) {
        let state = self.connections.get(connection);
        state.operations -= 1;
        if result != -libc::ECANCELED {
            return self.remove_if_done(connection);
        }
        state.life = Life::Ending;
        if state.sending.is_empty() {
            self.close(connection);
        } else {
            self.send(connection, false);
        }
    }

    /// A place is free once the kernel holds nothing of it any more.
    fn remove_if_done(&mut self, connection: u32) {
        if self.connections.get(connection).operations == 0 {
            self.connections.remove(connection);
        }
    }

    fn push_socket(&mut self, entry: squeue::Entry, operation: Operation, connection: u32) {
        let entry = if self.options.direct { entry.flags(Flags::FIXED_FILE) } else { entry };
        self.push(entry, operation, connection);
    }

    fn push(&mut self, entry: squeue::Entry, operation: Operation, connection: u32) {
        let entry = entry.user_data(Token { operation, connection }.user_data());
        // SAFETY: the descriptor is open until its close is pushed behind everything else; buffers
        // are the provided ring, never unmapped, and `sending`, kept until the send completes.
        while unsafe { self.submissions.push(&entry) }.is_err() {
            self.submissions.sync();
            // Submits without waiting; completions stay in their queue for this turn's loop.
            if let Err(error) = self.submitter.submit() {
                assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "a full ring can be submitted");
            }
            self.submissions.sync();
        }
    }
}

/// What a completion belongs to, carried through the kernel in 64 bits.
#[derive(Clone, Copy)]
struct Token {
    operation: Operation,
    connection: u32,
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Operation {
    Accept,
    Cancel,
    Close,
    Receive,
    Send,
}

impl Token {
    fn user_data(self) -> u64 {
        (self.operation as u64) << 32 | u64::from(self.connection)
    }

    fn from_user_data(data: u64) -> Self {
        let operation = match data >> 32 {
            0 => Operation::Accept,
            1 => Operation::Cancel,
            2 => Operation::Close,
            3 => Operation::Receive,
            4 => Operation::Send,
            other => unreachable!("operation {other} was never submitted"),
        };
        Self { operation, connection: data as u32 }
    }
}

/// Most operations between two entries into the kernel; more are submitted early.
const SUBMISSIONS_MAX: u32 = 1024;
/// Completions of one turn; the kernel keeps what does not fit.
const COMPLETIONS_MAX: u32 = 8192;
/// Places for accepted sockets in the table of registered files.
const CONNECTIONS_MAX: u32 = 16384;
