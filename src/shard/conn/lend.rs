//! Large answers, sent from the blocks of the worker that made them.
//!
//! The socket gets what it takes at once. What it does not take is copied, so that the worker has
//! its blocks back, as long as the shard may hold so much for slow readers; beyond that the blocks
//! stay taken, and their bytes follow piece by piece as the client reads.

use std::os::fd::AsFd;

use super::*;

/// Send the head of a response; its body follows as the connection is settled.
pub(super) fn begin(conn: &mut Conn, id: ConnId, http: &mut Http, response: &Response, lent: Lent) {
    // The upload ends with the stage: who has answered reads no more of it.
    end_stage(conn);
    respond(conn, http, &response.head(), ResponseLength::Known(lent.len() as u64));
    if conn.core.body_suppressed() {
        return finish(conn, http);
    }
    conn.exchange = Some(Exchange::new(id, http, Stage::Lending(lent)));
}

/// Whether a body waits to be moved, and nothing of it is on its way.
pub(in crate::shard) fn is_due(conn: &Conn) -> bool {
    let lends = |exchange: &Exchange| matches!(exchange.stage, Stage::Lending(_));
    conn.flight.is_none() && conn.exchange.as_deref().is_some_and(lends)
}

/// Move what can be moved of a lent body.
pub(in crate::shard) fn proceed(conn: &mut Conn, id: ConnId, http: &mut Http) {
    send(conn, http);
    copy(conn, http);
    let Some(Exchange { stage: Stage::Lending(lent), .. }) = conn.exchange.as_deref() else {
        return;
    };
    if lent.len() == 0 {
        end_stage(conn);
        finish(conn, http);
        // Requests that came meanwhile.
        feed(conn, id, http, &[]);
    }
}

/// Give the socket what it takes at once: what waits in the output, and the body behind it.
fn send(conn: &mut Conn, http: &mut Http) {
    let Conn { core, socket, output, exchange, .. } = conn;
    let Some(Exchange { stage: Stage::Lending(lent), .. }) = exchange.as_deref_mut() else {
        return;
    };
    let output = out(output, http);
    let Some(first) = output.own_rest() else { return };
    // What the socket has to say against it, it says to the next send, too.
    let Ok((own, rest)) = lent.send(socket.as_fd(), first) else { return };
    output.advance(own);
    if own + rest > 0 {
        core.handle_write_progress();
    }
    if rest > 0 && !core.begin_data(rest as u64, output.buffer()) {
        core.abort();
    }
}

/// Copy all the rest, or, if the shard holds enough, no more than the output takes.
fn copy(conn: &mut Conn, http: &mut Http) {
    let Conn { core, output, exchange, .. } = conn;
    let Some(Exchange { stage: Stage::Lending(lent), .. }) = exchange.as_deref_mut() else {
        return;
    };
    if lent.len() == 0 {
        return;
    }
    let output = out(output, http);
    let bytes = match lent.spill() {
        Some(bytes) => bytes,
        None => lent.take(OUTPUT_BYTES_HIGH.saturating_sub(output.pending_bytes())),
    };
    if core.begin_data(bytes.len() as u64, output.buffer()) {
        output.push_shared(bytes);
        core.end_data(output.buffer());
    }
}

fn finish(conn: &mut Conn, http: &mut Http) {
    let output = out(&mut conn.output, http);
    conn.core.finish(&http.limits, http.now, output.buffer());
}
