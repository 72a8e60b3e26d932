//! What is to be sent on a connection: bytes of our own and, for large bodies, shared ones.
//!
//! Answers are appended to one buffer and leave with one send. A body that is too large to copy
//! is listed between stretches of that buffer, and then an array of both is sent.

use bytes::Bytes;

use super::op::ConnId;

/// A buffer that grew beyond this is freed rather than kept for the next connection.
const KEEP_BYTES: usize = 64 << 10;
/// Pieces offered to the kernel in one send.
const PIECES_MAX: usize = 16;

/// Bytes on their way to a peer. Small, because many are in use at a time: the usual answer
/// touches one cache line of it and its bytes.
pub struct Output {
    /// Whose they are; set when the output is given to the ring.
    pub(super) conn: ConnId,
    /// Our own bytes, in order.
    buffer: Vec<u8>,
    /// How much of the whole has been sent.
    sent: usize,
    /// What only an output with shared bytes needs.
    large: Option<Box<Large>>,
}

/// The shared bytes of an output.
struct Large {
    /// The bytes and where in the buffer they belong.
    shared: Vec<Shared>,
    /// Sum of their lengths.
    bytes: usize,
    /// The array given to the kernel.
    pieces: Vec<libc::iovec>,
    /// Its description.
    message: libc::msghdr,
}

struct Shared {
    /// Goes out after `buffer[..after]`.
    after: usize,
    bytes: Bytes,
}

/// What a send is given.
pub(super) enum Rest<'a> {
    /// One stretch of memory.
    Single(&'a [u8]),
    /// An array of them. It lies in a box of the output's.
    Pieces(*const libc::msghdr),
}

impl Output {
    /// An empty one.
    pub fn new() -> Box<Self> {
        let conn = ConnId { index: 0, generation: 0 };
        Box::new(Self { conn, buffer: Vec::new(), sent: 0, large: None })
    }

    /// Append here.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Append without copying.
    pub fn push_shared(&mut self, bytes: Bytes) {
        let large = self.large.get_or_insert_with(Large::new);
        large.bytes += bytes.len();
        large.shared.push(Shared { after: self.buffer.len(), bytes });
    }

    /// Bytes not yet sent.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() + self.large.as_ref().map_or(0, |large| large.bytes) - self.sent
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.pending_bytes() == 0
    }

    /// What is not yet sent, if all of it are bytes of our own.
    pub fn own_rest(&self) -> Option<&[u8]> {
        match self.large {
            None => Some(self.buffer.get(self.sent..).unwrap_or_default()),
            Some(_) => None,
        }
    }

    /// The kernel took `bytes`.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.pending_bytes(), "the kernel cannot send more than it was given");
        self.sent += bytes;
    }

    /// Forget the content; keeps a buffer of reasonable size.
    pub fn reset(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_BYTES {
            self.buffer = Vec::new();
        }
        self.large = None;
        self.sent = 0;
    }

    /// The unsent rest, or its first pieces.
    pub(super) fn rest(&mut self) -> Rest<'_> {
        match &mut self.large {
            None => Rest::Single(self.buffer.get(self.sent..).unwrap_or_default()),
            Some(large) => Rest::Pieces(large.describe(&self.buffer, self.sent)),
        }
    }
}

impl Large {
    fn new() -> Box<Self> {
        Box::new(Self {
            shared: Vec::new(),
            bytes: 0,
            pieces: Vec::new(),
            message: empty_message(),
        })
    }

    /// Describe what follows the first `sent` bytes of the whole.
    fn describe(&mut self, buffer: &[u8], sent: usize) -> *const libc::msghdr {
        self.pieces.clear();
        let mut skip = sent;
        let mut copied = 0;
        for shared in &self.shared {
            push_piece(&mut self.pieces, &mut skip, &buffer[copied..shared.after]);
            push_piece(&mut self.pieces, &mut skip, &shared.bytes);
            copied = shared.after;
        }
        push_piece(&mut self.pieces, &mut skip, &buffer[copied..]);
        self.message = empty_message();
        self.message.msg_iov = self.pieces.as_mut_ptr();
        self.message.msg_iovlen = self.pieces.len();
        &raw const self.message
    }
}

/// Add what remains of `bytes` after `skip` bytes of the whole were sent.
fn push_piece(pieces: &mut Vec<libc::iovec>, skip: &mut usize, bytes: &[u8]) {
    let rest = &bytes[(*skip).min(bytes.len())..];
    *skip -= bytes.len() - rest.len();
    if !rest.is_empty() && pieces.len() < PIECES_MAX {
        pieces.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
    }
}

fn empty_message() -> libc::msghdr {
    // SAFETY: msghdr is a plain C struct of integers and pointers, for which all zeroes is a
    // valid value: no name, no pieces, no control data.
    unsafe { std::mem::zeroed() }
}

const _: () = assert!(size_of::<Output>() <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(output: &mut Output) -> Vec<u8> {
        let message = match output.rest() {
            Rest::Single(bytes) => return bytes.to_vec(),
            Rest::Pieces(message) => message,
        };
        // SAFETY: `rest` has just described live memory of `output`, which is borrowed here.
        let message = unsafe { &*message };
        let mut all = Vec::new();
        for index in 0..message.msg_iovlen {
            // SAFETY: the message describes `msg_iovlen` pieces in an array of the output's.
            let piece = unsafe { *message.msg_iov.add(index) };
            // SAFETY: each piece was made from a live slice of `output`.
            let bytes =
                unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) };
            all.extend_from_slice(bytes);
        }
        all
    }

    #[test]
    fn pieces_follow_the_order_of_appending_at_every_progress() {
        let whole = b"head:SHARED-ONEmiddle:SHARED-TWOtail";
        for sent in 0..=whole.len() {
            let mut output = Output::new();
            output.buffer().extend_from_slice(b"head:");
            output.push_shared(Bytes::from_static(b"SHARED-ONE"));
            output.buffer().extend_from_slice(b"middle:");
            output.push_shared(Bytes::from_static(b"SHARED-TWO"));
            output.buffer().extend_from_slice(b"tail");
            output.advance(sent);
            assert_eq!(output.pending_bytes(), whole.len() - sent);
            assert_eq!(rest(&mut output), &whole[sent..], "after {sent} bytes");
        }
    }

    #[test]
    fn one_buffer_is_one_piece() {
        let mut output = Output::new();
        output.buffer().extend_from_slice(b"answer");
        output.advance(2);
        assert_eq!(rest(&mut output), b"swer");
        output.reset();
        assert!(output.is_empty());
    }

    #[test]
    fn more_pieces_than_one_send_takes_are_sent_in_turns() {
        let mut output = Output::new();
        for _ in 0..40 {
            output.push_shared(Bytes::from_static(b"0123456789"));
        }
        let mut taken = 0;
        while !output.is_empty() {
            let now = rest(&mut output).len();
            assert!(now > 0 && now <= PIECES_MAX * 10);
            output.advance(now);
            taken += now;
        }
        assert_eq!(taken, 400);
    }
}
