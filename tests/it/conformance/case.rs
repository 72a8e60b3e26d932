//! One line per requirement: what is sent, what must come back, and how the connection goes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::client::{Client, End as PeerEnd};
use crate::harness::response::{Asked, Response, parse, show};

/// One requirement.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// RFC and section, such as `9112 3.2`.
    pub(crate) section: &'static str,
    /// The requirement in our own words.
    pub(crate) says: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
    /// One write and its answers: may be cut anywhere and followed by anything.
    simple: bool,
}

/// What client and server do, in order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The connection ends; if a whole answer came before that, it is this one.
    Cut(Answer),
    Expect(Answer),
    /// An interim 100 may come first.
    ExpectFinal(Answer),
    /// The client ends its direction.
    Finish,
    /// Nothing may come for a moment.
    Quiet,
    Send(Vec<u8>),
}

impl Step {
    fn expected(&self) -> Option<&Answer> {
        if let Step::Expect(answer) = self { Some(answer) } else { None }
    }
}

/// How the connection must be after the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Closed by the server, in an orderly way and without a further byte.
    Closed,
    /// Both are right; but if it is open, the next request is read from the right byte.
    Either,
    /// Open: the next request is answered.
    Open,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) statuses: Vec<u16>,
    content: Option<Vec<u8>>,
    fields: Vec<(&'static str, &'static str)>,
    absent: Vec<&'static str>,
    asked: Asked,
}

impl Answer {
    /// The field must be there and hold this text, in any case of letters.
    pub(crate) fn field(mut self, name: &'static str, holds: &'static str) -> Answer {
        self.fields.push((name, holds));
        self
    }

    /// The field must not be there.
    pub(crate) fn without(mut self, name: &'static str) -> Answer {
        self.absent.push(name);
        self
    }

    /// The answer to a HEAD: no content follows.
    pub(crate) fn for_head(mut self) -> Answer {
        self.asked.head = true;
        self
    }

    /// The answer to an HTTP/1.0 request.
    pub(crate) fn for_http10(mut self) -> Answer {
        self.asked.http10 = true;
        self
    }

    fn check(&self, response: &Response) -> Result<(), String> {
        let status = response.status;
        if !self.statuses.contains(&status) {
            let text = response.text();
            return Err(format!("status {status} ({text:?}) instead of {:?}", self.statuses));
        }
        if let Some(content) = self.content.as_ref().filter(|found| **found != response.body) {
            let (found, wanted) = (show(&response.body), show(content));
            return Err(format!("content {found} instead of {wanted}"));
        }
        for (name, holds) in &self.fields {
            let value = response.field(name).unwrap_or_default().to_lowercase();
            if !value.contains(&holds.to_lowercase()) {
                return Err(format!("{name}: {value:?} in a {status} does not hold {holds:?}"));
            }
        }
        match self.absent.iter().find(|name| response.field(name).is_some()) {
            Some(name) => Err(format!("{name} in a {status}")),
            None => Ok(()),
        }
    }
}

/// An answer with one of these statuses.
pub(crate) fn status(statuses: &[u16]) -> Answer {
    Answer {
        statuses: statuses.to_vec(),
        content: None,
        fields: vec![],
        absent: vec![],
        asked: Asked::default(),
    }
}

/// A 200 with exactly this content.
pub(crate) fn text(content: impl AsRef<[u8]>) -> Answer {
    Answer { content: Some(content.as_ref().to_vec()), ..status(&[200]) }
}

/// Answers and end of a case.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    answers: Vec<Answer>,
    end: End,
}

/// These answers; the connection stays open.
pub(crate) fn serve(answers: impl IntoIterator<Item = Answer>) -> Expect {
    Expect { answers: answers.into_iter().collect(), end: End::Open }
}

/// These answers; the server then closes.
pub(crate) fn last(answers: impl IntoIterator<Item = Answer>) -> Expect {
    Expect { answers: answers.into_iter().collect(), end: End::Closed }
}

/// These answers; whether the connection stays is the server's choice.
pub(crate) fn either(answers: impl IntoIterator<Item = Answer>) -> Expect {
    Expect { answers: answers.into_iter().collect(), end: End::Either }
}

/// One error answer, and the connection is of no further use.
pub(crate) fn refuse(statuses: &[u16]) -> Expect {
    last([status(statuses)])
}

/// The usual case: one write, some answers.
pub(crate) fn case(
    section: &'static str,
    says: impl Into<String>,
    send: impl AsRef<[u8]>,
    expect: Expect,
) -> Case {
    let send = Step::Send(send.as_ref().to_vec());
    let answers = expect.answers.into_iter().map(Step::Expect);
    let steps = std::iter::once(send).chain(answers).collect();
    Case { section, says: says.into(), steps, end: expect.end, simple: true }
}

/// A case of several acts.
pub(crate) fn script(
    section: &'static str,
    says: impl Into<String>,
    steps: impl IntoIterator<Item = Step>,
    end: End,
) -> Case {
    let steps = steps.into_iter().collect();
    Case { section, says: says.into(), steps, end, simple: false }
}

/// Sends these bytes.
pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// A GET with further field lines, each with its CRLF.
pub(crate) fn get(fields: &str) -> Vec<u8> {
    format!("GET /user/x HTTP/1.1\r\nHost: it\r\n{fields}\r\n").into_bytes()
}

/// A POST to the echo with further field lines, each with its CRLF, and then these bytes.
pub(crate) fn post(fields: &str, rest: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = format!("POST /echo HTTP/1.1\r\nHost: it\r\n{fields}\r\n").into_bytes();
    bytes.extend_from_slice(rest.as_ref());
    bytes
}

/// A chunked POST to the echo with exactly these bytes behind the head.
pub(crate) fn chunked(rest: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", rest)
}

/// How the bytes of a case are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    EveryByte,
    /// Pieces of random sizes, from a seed.
    Random(u64),
    /// Two pieces, at this share of 256 of the whole.
    Two(u8),
}

impl Case {
    fn name(&self) -> String {
        format!("[{}] {}", self.section, self.says)
    }

    /// Bytes and answers of a case that is one write.
    pub(crate) fn simple(&self) -> Option<(&[u8], Vec<&Answer>)> {
        let [Step::Send(bytes), rest @ ..] = self.steps.as_slice() else { return None };
        if !self.simple {
            return None;
        }
        Some((bytes, rest.iter().map(Step::expected).collect::<Option<_>>()?))
    }
}

/// Plays every case, as it is written and with the canary in the same write, and reports all that
/// failed at once.
#[track_caller]
pub(crate) fn run(address: SocketAddr, cases: &[Case]) {
    report(cases.len(), failures(address, cases));
}

/// Plays every simple case in small pieces, many connections side by side.
#[track_caller]
pub(crate) fn run_cut(address: SocketAddr, cases: &[Case], cut: Cut) {
    let simple: Vec<&Case> = cases.iter().filter(|case| is_worth_cutting(case)).collect();
    let mut faults = vec![];
    for batch in simple.chunks(64) {
        faults.extend(play_cut(address, batch, cut));
        faults.extend(fresh_canary(address).err().map(|fault| format!("after a batch: {fault}")));
    }
    report(simple.len(), faults);
}

/// The failures of a table, each with its case.
pub(crate) fn failures(address: SocketAddr, cases: &[Case]) -> Vec<String> {
    let mut faults = vec![];
    for case in cases {
        let mut note = |how: &str, result: Result<(), String>| {
            faults.extend(result.err().map(|fault| format!("{}\n    {how}: {fault}", case.name())));
        };
        note("as written", play(address, case));
        note("fresh canary", fresh_canary(address));
        if case.simple().is_some() {
            note("with the canary in the same write", play_pipelined(address, case));
            note("fresh canary after that", fresh_canary(address));
        }
    }
    faults
}

#[track_caller]
fn report(count: usize, faults: Vec<String>) {
    assert!(count > 0, "an empty table");
    assert!(
        faults.is_empty(),
        "{} failures in {count} cases:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn play(address: SocketAddr, case: &Case) -> Result<(), String> {
    let mut client = Client::connect(address);
    let mut last = None;
    for step in &case.steps {
        match step {
            Step::Send(bytes) => match client.send(bytes) {
                // A server that refuses may close before it has read everything.
                Err(fault) if case.end == End::Open => return Err(fault),
                _ => {}
            },
            Step::Cut(answer) => return check_cut(&mut client, answer),
            Step::ExpectFinal(answer) => {
                let response = client.final_response(answer.asked)?;
                answer.check(&response)?;
                last = Some((response, answer));
            }
            Step::Finish => client.finish()?,
            Step::Quiet => client.expect_quiet(QUIET)?,
            Step::Expect(answer) => last = Some((read(&mut client, answer)?, answer)),
        }
    }
    let finished = case.steps.iter().any(|step| matches!(step, Step::Finish));
    check_end(&mut client, case.end, last.as_ref(), finished)
}

/// The canary travels with the case: it is answered if and only if the connection goes on.
fn play_pipelined(address: SocketAddr, case: &Case) -> Result<(), String> {
    let Some((bytes, answers)) = case.simple() else { return Ok(()) };
    let canary = Canary::new();
    let mut client = Client::connect(address);
    match client.send(&[bytes, &canary.request].concat()) {
        Err(fault) if case.end == End::Open => return Err(fault),
        _ => {}
    }
    let mut last = None;
    for answer in answers {
        last = Some((read(&mut client, answer)?, answer));
    }
    match case.end {
        End::Open => canary.check(&client.response(Asked::default())?),
        End::Closed => check_end(&mut client, End::Closed, last.as_ref(), false),
        End::Either => match client.response(Asked::default()) {
            Ok(response) => canary.check(&response),
            Err(_) => client.expect_close().map(drop),
        },
    }
}

fn play_cut(address: SocketAddr, batch: &[&Case], cut: Cut) -> Vec<String> {
    let mut running: Vec<_> = batch
        .iter()
        .filter_map(|case| {
            let (bytes, answers) = case.simple()?;
            Some((*case, Client::connect(address), pieces(bytes, cut).into_iter(), answers))
        })
        .collect();
    loop {
        let mut sent = false;
        for (_, client, pieces, _) in &mut running {
            if let Some(piece) = pieces.next() {
                sent = true;
                // A server may refuse a bad start before it has seen the end, and close.
                drop(client.send(&piece));
            }
        }
        if !sent {
            break;
        }
        // Only so that the pieces arrive one by one; every outcome is right without it.
        crate::harness::pause(Duration::from_millis(1));
    }
    let finish = |(case, mut client, _, answers): (&Case, Client, _, Vec<&Answer>)| {
        let result = answers
            .iter()
            .try_fold(None, |_, answer| Ok(Some((read(&mut client, answer)?, *answer))))
            .and_then(|last| check_end(&mut client, case.end, last.as_ref(), false));
        result.err().map(|fault| format!("{}\n    cut {cut:?}: {fault}", case.name()))
    };
    running.into_iter().filter_map(finish).collect()
}

/// Long cases say nothing more in single bytes than short ones, but take long.
fn is_worth_cutting(case: &Case) -> bool {
    case.simple().is_some_and(|(bytes, _)| bytes.len() <= 700)
}

fn pieces(bytes: &[u8], cut: Cut) -> Vec<Vec<u8>> {
    match cut {
        Cut::EveryByte => bytes.chunks(1).map(<[u8]>::to_vec).collect(),
        Cut::Two(share) => {
            let (first, second) = bytes.split_at(bytes.len() * usize::from(share) / 256);
            vec![first.to_vec(), second.to_vec()]
        }
        Cut::Random(seed) => {
            let mut random = Random::new(seed ^ bytes.len() as u64);
            let mut rest = bytes;
            let mut pieces = vec![];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(1 + random.below(24)));
                pieces.push(piece.to_vec());
                rest = after;
            }
            pieces
        }
    }
}

fn read(client: &mut Client, answer: &Answer) -> Result<Response, String> {
    let response = client.response(answer.asked)?;
    answer.check(&response)?;
    Ok(response)
}

fn check_cut(client: &mut Client, answer: &Answer) -> Result<(), String> {
    let bytes = client.take_all()?;
    match parse(&bytes, answer.asked, false)? {
        None => Ok(()),
        Some((_, used)) if used != bytes.len() => Err(format!("too much: {}", show(&bytes))),
        Some((response, _)) => answer.check(&response),
    }
}

fn check_end(
    client: &mut Client,
    end: End,
    last: Option<&(Response, &Answer)>,
    finished: bool,
) -> Result<(), String> {
    match end {
        End::Open => {
            if last.is_some_and(|(response, _)| response.connection("close")) {
                return Err("Connection: close where the connection should stay".into());
            }
            let canary = Canary::new();
            client.send(&canary.request).map_err(|fault| format!("canary: {fault}"))?;
            let response =
                client.response(Asked::default()).map_err(|fault| format!("canary: {fault}"))?;
            canary.check(&response)?;
            if client.has_rest() { Err("bytes behind the canary's answer".into()) } else { Ok(()) }
        }
        End::Closed => {
            // RFC 9112 9.6: the last answer says so. Version 1.0 closes anyway, and a client that
            // has ended its own direction need not be told.
            if let Some((response, answer)) = last
                && !answer.asked.http10
                && !finished
                && !response.connection("close")
            {
                return Err(format!("no Connection: close in the last {}", response.status));
            }
            match client.expect_close()? {
                PeerEnd::Fin => Ok(()),
                PeerEnd::Reset => Err("reset instead of an orderly close".into()),
            }
        }
        End::Either => {
            let canary = Canary::new();
            if client.send(&canary.request).is_err() {
                return Ok(());
            }
            match client.response(Asked::default()) {
                Ok(response) => canary.check(&response),
                Err(_) => client.expect_close().map(drop),
            }
        }
    }
}

/// A whole exchange on a connection of its own.
pub(crate) fn fresh_canary(address: SocketAddr) -> Result<(), String> {
    let canary = Canary::new();
    let mut client = Client::try_connect(address).map_err(|error| error.to_string())?;
    client.send(&canary.request)?;
    canary.check(&client.response(Asked::default())?)
}

/// A request that no other answer can be mistaken for.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) request: Vec<u8>,
    pub(crate) word: String,
}

impl Canary {
    pub(crate) fn new() -> Canary {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let word = format!("canary-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let request = format!("GET /user/{word} HTTP/1.1\r\nHost: canary\r\n\r\n").into_bytes();
        Canary { request, word }
    }

    fn check(&self, response: &Response) -> Result<(), String> {
        if response.status == 200 && response.body == self.word.as_bytes() {
            return Ok(());
        }
        let (status, content) = (response.status, show(&response.body));
        Err(format!("the canary got {status} {content} instead of {:?}", self.word))
    }
}

/// A small generator (xorshift64*), so that a seed is all it takes to repeat a run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits fit") % bound
    }
}

/// How long nothing must come where nothing may come. Longer only makes the check sharper.
const QUIET: Duration = Duration::from_millis(60);
