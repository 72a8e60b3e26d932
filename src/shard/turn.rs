//! A shard's turn: reap all completions, feed the bytes, run the handlers, look after what
//! became ready, expire deadlines, settle every connection that was touched, and only then enter
//! the kernel again, once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::conn::{self, Conn, Http, Receive, lend};
use super::life::Life;
use super::ready::Ready;
use super::slab::Slab;
use super::timer::Wheel;
use super::watch::Watch;
use crate::executor::{self, Bell};
use crate::http::h1::{Close, Timeout};
use crate::http::{Error, Time};
use crate::net::listener::Listener;
use crate::net::ring::Raw;
use crate::net::{Completion, ConnId, Errno, Lease, Output, Ring};
use crate::sys::clock;
use crate::sys::page::SharedPage;
use crate::sys::socket::accept_one;

/// One shard at work.
pub(crate) struct Shard {
    /// Dropped first: it closes the ring.
    pub(super) ring: Ring,
    pub(super) conns: Slab,
    pub(super) http: Http,
    pub(super) listeners: Vec<Listening>,
    /// Which of them is the first to accept, so that none is shut out where places are rare.
    first_listener: usize,
    pub(super) life: Life,
    pub(super) ready: Rc<Ready>,
    pub(super) wheel: Wheel,
    watch: Watch,
    bell: Bell,
    page: Option<Rc<SharedPage>>,
    connections_max: usize,
    /// Whether a polled descriptor became ready.
    polled: bool,
    /// Polls that ended and have to be asked for again.
    pub(super) unpolled: Vec<u32>,
    /// Sends under way.
    flights: usize,
    /// When the wall clock shows the next second.
    next_second: Time,
    /// When the executor was last searched for tasks we do not know of.
    last_census: Time,
    /// Whether a handler may have run since.
    unsearched: bool,
    /// When glommio last looked at its rings while others were alive.
    last_poll: Time,
    /// When a starved accept is tried again although nothing was closed.
    retry_accept: Option<Time>,
    /// When the log was last told that accepting pauses.
    starved: Option<Time>,
    /// Completions of this turn.
    raws: Vec<Raw>,
    /// Connections to be settled at the end of the turn.
    dirty: Vec<ConnId>,
    /// Connections whose send was submitted in the last turn.
    flushed: Vec<ConnId>,
    /// Scratch lists.
    listed: Vec<ConnId>,
    due: Vec<u32>,
}

/// A listener and the watch over it.
pub(crate) struct Listening {
    pub(super) socket: Option<Listener>,
    pub(super) watched: Watched,
    /// Whether connections wait, as far as is known.
    pending: bool,
    /// Connections to take before the kernel is asked whether more wait.
    burst: u32,
    /// Bursts in a row in which as many could be taken.
    whole_bursts: u32,
}

impl Listening {
    /// As many connections were taken as were allowed; whether more wait, the next watch tells.
    fn took_burst(&mut self) {
        self.pending = false;
        self.whole_bursts += 1;
        if self.whole_bursts > BURSTS_BEFORE_GROWTH {
            self.burst = BURST_MAX.min(self.burst * 2);
        }
    }

    /// The queue was empty after `taken` connections.
    fn found_empty(&mut self, taken: u32) {
        self.pending = false;
        self.whole_bursts = 0;
        self.burst = taken.max(1);
    }
}

/// The ring's watch over a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    No,
    /// Cancelled; its end has not come yet.
    Stopping,
    Yes,
}

/// What the shard was built from.
pub(crate) struct Parts {
    pub(super) ring: Ring,
    pub(super) http: Http,
    pub(super) listeners: Vec<Listener>,
    pub(super) life: Life,
    pub(super) watch: Watch,
    pub(super) bell: Bell,
    pub(super) page: Option<SharedPage>,
    pub(super) connections_max: usize,
}

impl Shard {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { ring, http, listeners, life, watch, bell, page, connections_max } = parts;
        let page = page.map(Rc::new);
        if let Some(page) = page.clone() {
            // A task that never pauses is as bad as a turn that never ends.
            executor::report_busy(Rc::new(move |busy| {
                if busy { page.words().begin_turn() } else { page.words().end_turn() }
            }));
        }
        let now = http.now;
        let listening = |socket| Listening {
            socket: Some(socket),
            watched: Watched::No,
            // Whoever had the socket before may have left some.
            pending: true,
            burst: BURST_MAX,
            whole_bursts: 0,
        };
        Self {
            ring,
            conns: Slab::new(),
            ready: Rc::clone(&http.ready),
            http,
            listeners: listeners.into_iter().map(listening).collect(),
            first_listener: 0,
            life,
            wheel: Wheel::new(now),
            watch,
            bell,
            page,
            connections_max,
            polled: false,
            unpolled: Vec::new(),
            flights: 0,
            next_second: now,
            last_census: now,
            unsearched: true,
            last_poll: now,
            retry_accept: None,
            starved: None,
            raws: Vec::new(),
            dirty: Vec::new(),
            flushed: Vec::new(),
            listed: Vec::new(),
            due: Vec::new(),
        }
    }

    /// Everything from one enter to the next. Returns whether the last listener was closed.
    pub(super) fn turn(&mut self) -> bool {
        self.look_at_clock();
        if let Some(page) = &self.page {
            page.words().begin_turn();
        }
        self.dispatch();
        self.http.desks.collect(self.http.now);
        self.serve_ready();
        self.note_stalls();
        self.expire();
        let closed = self.live();
        self.accept();
        self.settle_all();
        self.http.desks.finish(self.http.now);
        if let Some(page) = &self.page {
            page.words().end_turn();
        }
        closed
    }

    /// Between two turns: let others run, watch, or sleep; enters the kernel.
    pub(super) async fn rest(&mut self) {
        if executor::has_company() {
            return self.rest_in_company().await;
        }
        if !self.ready.is_empty() || self.can_accept() {
            return self.ring.submit();
        }
        if self.unsearched && self.http.now.since(self.last_census) >= CENSUS_INTERVAL {
            self.unsearched = false;
            self.last_census = self.http.now;
            executor::census().await;
            if executor::has_company() {
                return;
            }
        }
        let until = self.until_next();
        let spin = self.http.desks.spin();
        if !self.watch.is_curious(spin) {
            return self.sleep(until);
        }
        self.watch.begin(self.http.now);
        let window = self.watch.window(spin);
        if window.is_zero() {
            self.sleep(until);
        } else {
            self.ring.submit();
            let left = until.map(|at| Time::from_nanos(at).since(self.http.now));
            let came = self.watch_ring(window.min(left.unwrap_or(Duration::MAX)));
            if came || window == Duration::MAX {
                self.ring.submit();
            } else {
                self.sleep(until);
            }
        }
        self.watch.end(Time::from_nanos(clock::monotonic_ns()));
    }

    /// Sleep in the ring, unless a worker has something to say.
    fn sleep(&mut self, until: Option<u64>) {
        if !self.http.desks.arm() {
            return self.ring.submit();
        }
        self.ring.wait(until);
        self.http.desks.disarm();
    }

    /// Look at the ring, and for what workers say, for at most `window`; true if work came.
    fn watch_ring(&mut self, window: Duration) -> bool {
        let began = self.http.now;
        loop {
            for _ in 0..LOOKS_PER_CLOCK {
                if self.ring.is_work_waiting() || self.http.desks.is_work_waiting() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if Time::from_nanos(clock::monotonic_ns()).since(began) >= window {
                return false;
            }
        }
    }

    /// The same while other tasks live on the executor: they run, glommio looks at its rings, and
    /// if there is nothing to do anywhere, the shard sleeps through glommio.
    async fn rest_in_company(&mut self) {
        self.ring.submit();
        executor::census().await;
        if self.is_work_waiting() {
            if self.http.now.since(self.last_poll) >= POLL_INTERVAL {
                self.last_poll = self.http.now;
                executor::poll_io().await;
            }
            return;
        }
        self.last_poll = self.http.now;
        let armed = self.ring.arm_eventfd(self.bell.fd()).unwrap_or_else(|error| {
            // Without signals the tasks still get their time, only the network is looked at
            // again and again.
            tracing::error!(%error, "the network ring cannot signal");
            false
        });
        if armed && self.arm_desks() {
            let until = self.next_deadline().map(|at| {
                let now = Time::from_nanos(clock::monotonic_ns());
                Instant::now() + at.since(now)
            });
            let ready = &self.ready;
            self.bell.wait(until, |cx| ready.is_ready(cx)).await;
            self.http.desks.disarm();
        }
        self.ring.disarm_eventfd();
        self.ring.submit();
    }

    fn is_work_waiting(&mut self) -> bool {
        !self.ready.is_empty()
            || self.can_accept()
            || self.ring.is_work_waiting()
            || self.http.desks.is_work_waiting()
    }

    /// Get ready to be woken by workers through the bell; false when one has something to say.
    fn arm_desks(&mut self) -> bool {
        for doorbell in self.http.desks.take_unheard() {
            match doorbell {
                Ok(doorbell) => self.bell.hear(doorbell),
                // The desks have a deadline of their own, so that no answer is lost by this.
                Err(error) => tracing::error!(%error, "a doorbell cannot be listened to"),
            }
        }
        self.http.desks.arm()
    }

    /// How long to sleep: to the next deadline, and not for long while handlers may have spawned
    /// tasks that nobody knows of yet.
    fn until_next(&self) -> Option<u64> {
        let search = self.unsearched.then(|| self.last_census + CENSUS_INTERVAL);
        [self.next_deadline(), search].into_iter().flatten().min().map(Time::as_nanos)
    }

    fn next_deadline(&self) -> Option<Time> {
        let now = self.http.now;
        let wheel = self.wheel.next(now).map(|after| now + after);
        let accept = self.retry_accept.filter(|_| self.may_accept());
        let desks = self.http.desks.next_deadline();
        [wheel, self.life.next_deadline(), accept, desks].into_iter().flatten().min()
    }

    fn look_at_clock(&mut self) {
        self.http.now = Time::from_nanos(clock::monotonic_ns());
        if self.http.now >= self.next_second {
            let (seconds, into) = clock::unix_time();
            self.http.preamble.refresh(seconds);
            self.next_second = self.http.now + (Duration::from_secs(1).saturating_sub(into));
        }
    }

    /// Handle every completion of the last enter.
    fn dispatch(&mut self) {
        let mut raws = std::mem::take(&mut self.raws);
        self.ring.reap(&mut raws);
        for raw in raws.drain(..) {
            match self.ring.resolve(raw) {
                Completion::Received { conn, lease, armed, more } => {
                    self.received(conn, &lease, armed);
                    if more && !armed {
                        // Also behind a last request: left unread, it would turn the close into a
                        // reset.
                        self.steer_receive(conn);
                    }
                }
                Completion::Sent { conn, output, result } => self.sent(conn, output, result),
                Completion::Acceptable { listener } => self.acceptable(listener),
                Completion::ReceiveEnded { conn, error } => self.receive_ended(conn, error),
                Completion::WatchEnded { listener, error } => self.watch_ended(listener, error),
                Completion::Polled { tag, armed } if tag >= TAG_DOORBELLS => {
                    if !armed {
                        self.watch_doorbell(tag);
                    }
                }
                Completion::Polled { tag, armed } => {
                    self.polled = true;
                    if !armed {
                        self.unpolled.push(tag);
                    }
                }
                Completion::Nothing => {}
            }
        }
        self.raws = raws;
    }

    #[inline]
    fn received(&mut self, id: ConnId, lease: &Lease, armed: bool) {
        let Some(conn) = self.conns.get(id) else { return };
        self.watch.note(id.index);
        self.unsearched = true;
        if !armed && conn.receive != Receive::Ended {
            conn.receive = Receive::Idle;
        }
        conn::feed(conn, id, &mut self.http, lease);
        touch(conn, id, &mut self.dirty);
    }

    #[inline]
    fn sent(&mut self, id: ConnId, output: Box<Output>, result: Result<usize, Errno>) {
        self.flights -= 1;
        let Some(conn) = self.conns.get(id) else { return self.http.recycle(output) };
        conn.flight = None;
        match result {
            Ok(_) if output.is_empty() => {
                self.http.recycle(output);
                conn.core.handle_write_progress();
                if conn.needs_settling() {
                    conn::resume(conn, id, &mut self.http);
                    touch(conn, id, &mut self.dirty);
                }
            }
            Ok(bytes) => {
                if bytes > 0 {
                    conn.core.handle_write_progress();
                }
                self.send(id, output);
            }
            Err(error) if error.is_transient() => self.send(id, output),
            Err(_) => {
                self.http.recycle(output);
                self.abort(id);
            }
        }
    }

    fn send(&mut self, id: ConnId, output: Box<Output>) {
        let Some(conn) = self.conns.get(id) else { return self.http.recycle(output) };
        conn.flight = Some(self.ring.send(id, conn.socket.as_fd(), output));
        self.flights += 1;
        self.flushed.push(id);
    }

    fn acceptable(&mut self, listener: u32) {
        let listening = &mut self.listeners[listener as usize];
        listening.watched = Watched::No;
        listening.pending = true;
    }

    fn watch_ended(&mut self, listener: u32, error: Errno) {
        let listening = &mut self.listeners[listener as usize];
        listening.watched = Watched::No;
        if error != Errno::CANCELED {
            tracing::warn!(%error, "a listener could not be watched");
            // Nobody tells whether connections wait: look after a pause, then watch again.
            listening.pending = true;
            self.retry_accept = Some(self.http.now + ACCEPT_RETRY);
        }
    }

    /// A new connection.
    pub(super) fn admit(&mut self, socket: OwnedFd) {
        let conn = Conn::new(socket, &self.http);
        let id = self.conns.insert(conn);
        if let Some(conn) = self.conns.get(id) {
            conn.receive = Receive::Armed;
            self.ring.receive_once(id, conn.socket.as_fd());
            if let Some(deadline) = conn.deadline() {
                self.wheel.schedule(&mut self.conns, id.index, deadline);
            }
        }
    }

    /// Watch no listener any more.
    pub(super) fn stop_accepting(&mut self) {
        for (index, listening) in self.listeners.iter_mut().enumerate() {
            if listening.watched == Watched::Yes {
                listening.watched = Watched::Stopping;
                self.ring.unwatch_listener(index as u32);
            }
        }
    }

    /// Whether connections wait that can be accepted now.
    fn can_accept(&self) -> bool {
        self.may_accept() && self.retry_accept.is_none_or(|at| self.http.now >= at)
    }

    /// Whether connections wait that can be accepted, now or when the pause is over. Only then
    /// does the end of the pause matter: to wake for it otherwise would be to wake for ever.
    fn may_accept(&self) -> bool {
        self.life.is_serving()
            && self.conns.len() < self.connections_max
            && self.listeners.iter().any(|listening| listening.pending)
    }

    /// Accept what waits, a bounded number in a turn, and watch the listeners for more.
    ///
    /// A watch ends with its first word, and begun again it speaks up at once if somebody waits.
    /// So the queue need not be asked until it is found empty: the kernel makes a socket for
    /// every attempt, also for one in vain.
    fn accept(&mut self) {
        if !self.life.is_serving() {
            return;
        }
        let (first, count) = (self.first_listener, self.listeners.len());
        for index in (first..count).chain(0..first) {
            if self.listeners[index].pending && self.can_accept() {
                self.accept_from(index);
                if self.conns.len() >= self.connections_max {
                    // The next place is for the others.
                    self.first_listener = (index + 1) % count;
                }
            }
            self.watch_listener(index);
        }
    }

    /// Accept up to a burst of connections from listener `index`.
    fn accept_from(&mut self, index: usize) {
        for taken in 0..self.listeners[index].burst {
            if self.conns.len() >= self.connections_max {
                return;
            }
            let Some(listener) = &self.listeners[index].socket else { break };
            match accept_one(listener) {
                Ok(Some(socket)) => {
                    self.retry_accept = None;
                    self.admit(socket);
                }
                Ok(None) => return self.listeners[index].found_empty(taken),
                Err(error) => return self.starve(&error),
            }
        }
        self.listeners[index].took_burst();
    }

    /// Descriptors or memory are lacking. Closing a connection of ours frees one and tries again;
    /// if none is ours, or another process took it, time does.
    fn starve(&mut self, error: &io::Error) {
        let now = self.http.now;
        self.retry_accept = Some(now + ACCEPT_RETRY);
        if self.starved.is_none_or(|told| now.since(told) >= WARN_INTERVAL) {
            self.starved = Some(now);
            tracing::warn!(%error, "accepting pauses until there is room again");
        }
    }

    /// See that listener `index` is watched, unless somebody is known to wait there.
    fn watch_listener(&mut self, index: usize) {
        let listening = &mut self.listeners[index];
        if let (false, Watched::No, Some(socket)) =
            (listening.pending, listening.watched, &listening.socket)
        {
            listening.watched = Watched::Yes;
            self.ring.watch_listener(socket.as_fd(), index as u32);
        }
    }

    /// Have the workers of all pools wake this shard. A doorbell is never read: it wakes who polls
    /// for it whenever it rings.
    pub(super) fn watch_doorbells(&mut self) {
        for (doorbell, tag) in self.http.desks.doorbells().zip(TAG_DOORBELLS..) {
            self.ring.poll(doorbell, tag);
        }
    }

    fn watch_doorbell(&mut self, tag: u32) {
        let index = (tag - TAG_DOORBELLS) as usize;
        if let Some(doorbell) = self.http.desks.doorbells().nth(index) {
            self.ring.poll(doorbell, tag);
        }
    }

    /// Whether a polled descriptor became ready since the last call.
    pub(super) fn take_polled(&mut self) -> bool {
        std::mem::take(&mut self.polled)
    }

    /// Have the kernel drop the first packets of new clients, which then try again elsewhere.
    pub(super) fn refuse_new_clients(&self) {
        for listener in self.listeners.iter().filter_map(|listening| listening.socket.as_ref()) {
            if let Err(error) = listener.refuse_new_clients() {
                tracing::warn!(%error, "new clients cannot be kept out");
            }
        }
    }

    fn receive_ended(&mut self, id: ConnId, error: Option<Errno>) {
        let Some(conn) = self.conns.get(id) else { return };
        match error {
            None => {
                conn.receive = Receive::Ended;
                conn::end_of_input(conn, id, &mut self.http);
            }
            Some(Errno::CANCELED | Errno::NO_BUFFERS) => conn.receive = Receive::Idle,
            Some(error) if error.is_transient() => conn.receive = Receive::Idle,
            Some(_) => return self.abort(id),
        }
        touch(conn, id, &mut self.dirty);
    }

    /// Connections whose tasks, streams or uploads have moved.
    fn serve_ready(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let mut listed = std::mem::take(&mut self.listed);
        self.ready.take(&mut listed);
        for id in listed.drain(..) {
            if let Some(conn) = self.conns.get(id) {
                conn::resume(conn, id, &mut self.http);
                touch(conn, id, &mut self.dirty);
            }
        }
        self.listed = listed;
    }

    /// A send that was submitted in the last turn and has not landed by now is waiting for its
    /// peer to read.
    ///
    /// While it waits we read, also behind the last request: bytes that lie unread when the socket
    /// is closed would destroy what is on its way. (To look for them at each close instead is a
    /// system call: 1.11 to 1.13 x bare where each request has a connection, for 1.05.)
    fn note_stalls(&mut self) {
        if self.flights == 0 {
            return self.flushed.clear();
        }
        let mut flushed = std::mem::take(&mut self.flushed);
        for id in flushed.drain(..) {
            if let Some(conn) = self.conns.get(id)
                && conn.flight.is_some()
            {
                conn.core.handle_write_stall(self.http.now, &self.http.limits);
                touch(conn, id, &mut self.dirty);
                self.steer_receive(id);
            }
        }
        self.flushed = flushed;
    }

    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(&mut self.conns, self.http.now, &mut due);
        for index in due.drain(..) {
            if let Some(id) = self.conns.id_at(index) {
                self.expire_one(id);
            }
        }
        self.due = due;
    }

    fn expire_one(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        conn::tick(conn, &mut self.http);
        if !conn.is_quiet() {
            // Between requests only once the last answer has left.
            conn.core.renew_idle(self.http.now, &self.http.limits);
        }
        match conn.core.handle_timeout(self.http.now) {
            None => {}
            Some(Timeout::Body) => conn::fail(conn, &mut self.http, Error::BodyTimeout),
            Some(Timeout::Handler) => conn::fail(conn, &mut self.http, Error::HandlerTimeout),
            Some(Timeout::Head) => conn::fail(conn, &mut self.http, Error::HeadTimeout),
            // The core has decided to close; that happens once what is under way was sent.
            Some(Timeout::Drain | Timeout::Idle) => {}
            Some(Timeout::Write) => return self.abort(id),
        }
        if let Some(conn) = self.conns.get(id) {
            touch(conn, id, &mut self.dirty);
        }
    }

    /// Have connection `id` settled at the end of the turn.
    pub(super) fn touch(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(id) {
            touch(conn, id, &mut self.dirty);
        }
    }

    /// Bring what was decided about each touched connection to the kernel.
    fn settle_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.settle(id);
        }
        self.dirty = dirty;
    }

    #[inline]
    fn settle(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        conn.dirty = false;
        if lend::is_due(conn) {
            lend::proceed(conn, id, &mut self.http);
        }
        let closing = conn.core.closing();
        if closing == Close::Abort {
            return self.abort(id);
        }
        if conn.flight.is_none() {
            if let Some(output) = conn.take_output() {
                conn.flight = Some(self.ring.send(id, conn.socket.as_fd(), output));
                self.flights += 1;
                self.flushed.push(id);
            } else if let Some(empty) = conn.take_empty_output() {
                self.http.recycle(empty);
            }
        }
        match closing {
            Close::Keep => self.steer_receive(id),
            Close::Now | Close::HalfThenDrain if conn.flight.is_some() => {}
            Close::Now => return self.close(id),
            Close::HalfThenDrain => {
                if conn.receive == Receive::Ended {
                    return self.close(id);
                }
                if !conn.half_closed {
                    conn.half_closed = true;
                    // An error means that the peer is gone, which the receive will tell.
                    let _gone = crate::sys::socket::shutdown_write(conn.socket.as_fd());
                    conn.core.begin_drain(self.http.now);
                }
                self.steer_receive(id);
            }
            Close::Abort => {}
        }
        let Some(conn) = self.conns.get(id) else { return };
        if let Some(deadline) = conn.deadline() {
            self.wheel.schedule(&mut self.conns, id.index, deadline);
        }
    }

    /// Receive while bytes are welcome, stop when they are not.
    #[inline]
    fn steer_receive(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        match (conn.receive, conn.wants_input()) {
            (Receive::Armed, false) => {
                conn.receive = Receive::Stopping;
                self.ring.cancel_receive(id);
            }
            (Receive::Idle, true) => {
                conn.receive = Receive::Armed;
                self.ring.receive(id, conn.socket.as_fd());
            }
            _ => {}
        }
    }

    /// Close in good order: what was sent still arrives.
    pub(super) fn close(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if matches!(conn.receive, Receive::Armed | Receive::Stopping) {
            // An armed receive holds the socket: without this the peer would see no FIN.
            self.ring.cancel_receive(id);
        }
        if let Some(flight) = conn.flight {
            self.ring.cancel_send(flight);
        }
        self.wheel.remove(&mut self.conns, id.index);
        if let Some(conn) = self.conns.remove(id) {
            let socket = conn.release(&mut self.http);
            self.ring.close(socket);
            self.retry_accept = None;
        }
    }

    /// Cut: nothing more is sent, and the kernel forgets what it still holds for the peer.
    pub(super) fn abort(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(id) {
            // An error means that the peer is gone already.
            let _gone = crate::sys::socket::discard_on_close(conn.socket.as_fd());
        }
        self.close(id);
    }
}

/// Have a connection settled at the end of the turn.
#[inline]
fn touch(conn: &mut Conn, id: ConnId, dirty: &mut Vec<ConnId>) {
    if !conn.dirty {
        conn.dirty = true;
        dirty.push(id);
    }
}

/// Polls from here on are of doorbells, in the order of the pools.
const TAG_DOORBELLS: u32 = 16;
/// How often to search for tasks that were spawned behind our back.
const CENSUS_INTERVAL: Duration = Duration::from_millis(1);
/// How often glommio looks at its rings while the shard is busy and other tasks live.
const POLL_INTERVAL: Duration = Duration::from_micros(200);
/// Most connections accepted from one listener in a turn.
const BURST_MAX: u32 = 64;
/// How often a burst has to be whole before a larger one is tried: an attempt in vain costs about
/// as much as a connection, so that in the steady state one in so many is.
const BURSTS_BEFORE_GROWTH: u32 = 32;
/// How often the log is told of one and the same lack.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// How long a starved accept waits if no connection of ours is closed.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Looks at the ring between two looks at the clock: about a microsecond.
const LOOKS_PER_CLOCK: u32 = 64;
