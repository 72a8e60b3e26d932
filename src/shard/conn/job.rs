//! Requests that run in a worker.
//!
//! A plain handler gets its request as a whole, so its body is collected here, and a client that
//! sends slowly holds no worker. An async one may begin before: what has not come in one piece
//! with the head is streamed.

use std::rc::Rc;

use super::super::desk::{JobBody, Offer};
use super::*;
use crate::handler::job::JobFn;

/// Offer a request without a body to its pool.
pub(super) fn begin(conn: &mut Conn, id: ConnId, http: &mut Http, handler: usize) {
    let notify = ConnNotify::new(id, &http.ready);
    let Http { desks, handlers, request, now, .. } = http;
    let Handler::Job(job) = &handlers[handler] else { return };
    let body = JobBody::Whole(Bytes::new());
    let offer = Offer { job, handler, request, body, notify: &notify, now: *now };
    match desks.offer(offer) {
        Ok(lead) => {
            let stage = Stage::Running(Run::Job(lead));
            conn.exchange = Some(Box::new(Exchange { notify, upload: None, stage }));
        }
        Err(mut response) => answer_whole(conn, http, &mut response),
    }
}

/// Collect the body of a request before it is offered.
pub(super) fn collect(conn: &mut Conn, id: ConnId, http: &mut Http, handler: usize) {
    let request = std::mem::replace(&mut http.request, Request::new());
    let stage = Stage::Collecting { request, body: Vec::new(), handler };
    conn.exchange = Some(Exchange::new(id, http, stage));
    if is_plain(http, handler) {
        let output = out(&mut conn.output, http);
        conn.core.want_body(http.now, output.buffer());
    }
}

/// Offer a request with all of its body.
pub(super) fn submit(
    conn: &mut Conn,
    http: &mut Http,
    handler: usize,
    (mut request, body): (Request, Vec<u8>),
    notify: Rc<ConnNotify>,
) {
    let Http { desks, handlers, now, .. } = http;
    let Handler::Job(job) = &handlers[handler] else { return };
    let body = JobBody::Whole(body.into());
    let offer = Offer { job, handler, request: &mut request, body, notify: &notify, now: *now };
    match desks.offer(offer) {
        Ok(lead) => {
            let stage = Stage::Running(Run::Job(lead));
            conn.exchange = Some(Box::new(Exchange { notify, upload: None, stage }));
        }
        Err(mut response) => answer_whole(conn, http, &mut response),
    }
}

/// All that has come was taken: the request of an async handler whose body is not complete by now
/// is offered, and the rest of the body follows it.
pub(super) fn open_upload(conn: &mut Conn, http: &mut Http) {
    let Some(exchange) = &mut conn.exchange else { return };
    let Stage::Collecting { request, body, handler } = &mut exchange.stage else { return };
    let handler = *handler;
    let Http { desks, handlers, now, .. } = &mut *http;
    let Handler::Job(job) = &handlers[handler] else { return };
    if let JobFn::Plain(_) = job.run {
        return;
    }
    let (sender, reader) = body::channel(UPLOAD_BYTES_HIGH);
    sender.notify_with(Rc::clone(&exchange.notify) as Rc<dyn Notify>);
    if let BodyLength::Known(bytes) = request.head.body_length() {
        sender.set_length(bytes);
    }
    let begun = std::mem::take(body);
    // Its reader was made just now.
    let _present = sender.push(begun.into());
    let body = JobBody::Stream(reader);
    match desks.offer(Offer { job, handler, request, body, notify: &exchange.notify, now: *now }) {
        Ok(lead) => {
            if sender.is_full() {
                conn.core.pause_body(*now);
            }
            exchange.upload = Some(sender);
            exchange.stage = Stage::Running(Run::Job(lead));
        }
        Err(mut response) => answer_whole(conn, http, &mut response),
    }
}

/// A client that has sent its FIN does not wait for a job, unless the pool says otherwise.
pub(super) fn forsake_if_due(conn: &mut Conn) {
    if conn.exchange.as_ref().is_some_and(|exchange| exchange.stage.ends_with_input()) {
        conn.exchange = None;
        conn.core.forsake();
    }
}

fn is_plain(http: &Http, handler: usize) -> bool {
    matches!(&http.handlers[handler], Handler::Job(job) if matches!(job.run, JobFn::Plain(_)))
}
