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

/// Bytes on their way to a peer.
pub struct Output {
    /// Whose they are; set when the output is given to the ring.
    pub(super) conn: ConnId,
    /// Our own bytes, in order.
    buffer: Vec<u8>,
    /// Shared bytes and where in `buffer` they belong; empty for the usual answer.
    shared: Vec<Shared>,
    /// Sum of the lengths of `shared`.
    shared_bytes: usize,
    /// How much of the whole has been sent.
    sent: usize,
    /// The array given to the kernel when there are shared bytes.
    pieces: Vec<libc::iovec>,
    /// Its description.
    pub(super) message: libc::msghdr,
}

struct Shared {
    /// Goes out after `buffer[..after]`.
    after: usize,
    bytes: Bytes,
}

impl Output {
    /// An empty one.
    pub fn new() -> Box<Self> {
        Box::new(Self {
            conn: ConnId { index: 0, generation: 0 },
            buffer: Vec::new(),
            shared: Vec::new(),
            shared_bytes: 0,
            sent: 0,
            pieces: Vec::new(),
            message: empty_message(),
        })
    }

    /// Append here.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Append without copying.
    pub fn push_shared(&mut self, bytes: Bytes) {
        self.shared_bytes += bytes.len();
        self.shared.push(Shared { after: self.buffer.len(), bytes });
    }

    /// Bytes not yet sent.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() + self.shared_bytes - self.sent
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.pending_bytes() == 0
    }

    /// The kernel took `bytes`.
    pub fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        debug_assert!(self.sent <= self.buffer.len() + self.shared_bytes, "sent more than we had");
    }

    /// Forget the content; keeps a buffer of reasonable size.
    pub fn reset(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_BYTES {
            self.buffer = Vec::new();
        }
        self.shared.clear();
        self.pieces.clear();
        self.shared_bytes = 0;
        self.sent = 0;
    }

    /// The unsent rest if it lies in one piece.
    pub(super) fn single(&self) -> Option<&[u8]> {
        if self.shared.is_empty() { self.buffer.get(self.sent..) } else { None }
    }

    /// Describe the unsent rest, or its first pieces, in `message`.
    pub(super) fn describe(&mut self) {
        self.pieces.clear();
        let mut skip = self.sent;
        let mut copied = 0;
        for shared in &self.shared {
            push_piece(&mut self.pieces, &mut skip, &self.buffer[copied..shared.after]);
            push_piece(&mut self.pieces, &mut skip, &shared.bytes);
            copied = shared.after;
        }
        push_piece(&mut self.pieces, &mut skip, &self.buffer[copied..]);
        self.message = empty_message();
        self.message.msg_iov = self.pieces.as_mut_ptr();
        self.message.msg_iovlen = self.pieces.len();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(output: &mut Output) -> Vec<u8> {
        if let Some(single) = output.single() {
            return single.to_vec();
        }
        output.describe();
        let mut all = Vec::new();
        for piece in &output.pieces {
            // SAFETY: describe() made the pieces from live slices of `output`, borrowed here.
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
        assert_eq!(output.single(), Some(&b"swer"[..]));
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
