//! Systematic mutants of good requests: every byte replaced, removed, doubled.
//!
//! Nobody wrote down what each mutant is, so the model judges: what it takes for a request must be
//! served as what it has become, anything else must be refused, and the canary behind it is
//! answered exactly if the mutant left it intact. The client half-closes behind all of it, so that
//! an end must come and a hang shows.

use std::net::SocketAddr;

use super::case::{Canary, Random, fresh_canary};
use super::model::{Judged, judge, route};
use crate::harness::client::Client;
use crate::harness::response::{Asked, parse, show};

const BASES: &[&str] = &[
    "GET /user/abc?d=e HTTP/1.1\r\nHost: example.org:80\r\nAccept: text/*, a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /echo HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nT: u\r\n\r\n",
    "GET http://it/user/abc HTTP/1.1\r\nHost: it\r\nConnection: keep-alive\r\n\r\n",
    "GET /user/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD /plaintext HTTP/1.1\r\nHost: it\r\n\r\nGET /user/b HTTP/1.1\r\nHost: it\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 3\r\n\r\nabcPOST /echo HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n",
];

const BYTES: &[u8] =
    &[0, b'\r', b'\n', b' ', b'\t', 0x80, 0xff, b':', b',', b';', b'0', b'f', b'"'];

/// All mutants of one byte.
pub(crate) fn mutants() -> Vec<Vec<u8>> {
    let mut mutants = vec![];
    for base in BASES.iter().map(|base| base.as_bytes()) {
        for at in 0..base.len() {
            let (before, after) = (&base[..at], &base[at + 1..]);
            let replaced = BYTES.iter().filter(|byte| **byte != base[at]);
            mutants.extend(replaced.map(|byte| [before, &[*byte], after].concat()));
            mutants.push([before, after].concat());
            mutants.push([before, &[base[at]], &base[at..]].concat());
        }
    }
    mutants
}

/// Mutants of several bytes, from a seed: pieces of the bases, joined and bent.
fn wild(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let pick = |random: &mut Random| BASES[random.below(BASES.len())].as_bytes();
    (0..count)
        .map(|_| {
            let (first, second) = (pick(&mut random), pick(&mut random));
            let cut = random.below(first.len());
            let resume = random.below(second.len());
            let mut bytes = [&first[..cut], &second[resume..]].concat();
            for _ in 0..random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = BYTES[random.below(BYTES.len())];
            }
            bytes
        })
        .collect()
}

/// Plays mutants side by side; returns what went wrong.
pub(crate) fn failures(address: SocketAddr, mutants: &[Vec<u8>]) -> Vec<String> {
    let mut faults = vec![];
    for batch in mutants.chunks(128) {
        let running: Vec<_> = batch.iter().map(|bytes| start(address, bytes)).collect();
        for (bytes, (client, canary)) in batch.iter().zip(running) {
            let fault = check(client, bytes, &canary).err();
            faults.extend(fault.map(|fault| format!("{}\n    {fault}", show(bytes))));
        }
        faults.extend(fresh_canary(address).err().map(|fault| format!("after a batch: {fault}")));
    }
    faults
}

fn start(address: SocketAddr, bytes: &[u8]) -> (Client, Canary) {
    let mut client = Client::connect(address);
    let canary = Canary::new();
    // Sending fails only if the server has closed already; what it said is judged in `check`.
    drop(client.send(&[bytes, &canary.request].concat()));
    drop(client.finish());
    (client, canary)
}

fn check(mut client: Client, mutant: &[u8], canary: &Canary) -> Result<(), String> {
    let sent = [mutant, &canary.request].concat();
    let answers = client.take_all()?;
    let (mut asked, mut answered) = (0, 0);
    loop {
        match judge(&sent[asked..]) {
            Judged::Request(request, used) => {
                let routed = route(&request);
                let head = request.method == "HEAD";
                let asking = Asked { head, http10: request.http10 };
                let (response, length) = take(&answers[answered..], asking)?
                    .ok_or_else(|| format!("no answer to {} {}", request.method, request.path))?;
                if !routed.statuses.contains(&response.status) {
                    let (method, path) = (&request.method, &request.path);
                    return Err(format!("{} for {method} {path}", response.status));
                }
                if let Some(content) = routed.content.filter(|_| !head && response.status == 200)
                    && content != response.body
                {
                    let (found, wanted) = (show(&response.body), show(&content));
                    return Err(format!("content {found} instead of {wanted}"));
                }
                asked += used;
                answered += length;
                let may_close = request.close || response.status != 200;
                if response.connection("close") && may_close {
                    return nothing_more(&answers[answered..]);
                }
                if request.close {
                    return nothing_more(&answers[answered..]);
                }
            }
            Judged::Bad(statuses) => {
                let (response, length) = take(&answers[answered..], Asked::default())?
                    .ok_or_else(|| format!("no refusal of {}", show(&sent[asked..])))?;
                if !(400..=505).contains(&response.status) {
                    return Err(format!("{} instead of {statuses:?}", response.status));
                }
                return nothing_more(&answers[answered + length..]);
            }
            // What is incomplete when the client ends may be dropped or called an error, and the
            // echo of a body that ends too early may have begun.
            Judged::Short | Judged::ShortBody(_) => {
                let rest = &answers[answered..];
                return match parse(rest, Asked::default(), false)? {
                    Some((response, used)) if response.status < 200 => nothing_more(&rest[used..]),
                    Some((response, _)) if response.status == 200 => {
                        Err("200 for a request that is not complete".into())
                    }
                    Some((_, used)) => nothing_more(&rest[used..]),
                    None => Ok(()),
                };
            }
        }
    }
}

type Taken = Option<(crate::harness::response::Response, usize)>;

fn take(answers: &[u8], asked: Asked) -> Result<Taken, String> {
    if answers.is_empty() { Ok(None) } else { parse(answers, asked, true) }
}

fn nothing_more(rest: &[u8]) -> Result<(), String> {
    if rest.is_empty() { Ok(()) } else { Err(format!("more than was asked for: {}", show(rest))) }
}

#[track_caller]
fn expect_none(count: usize, faults: Vec<String>) {
    let first: Vec<&str> = faults.iter().take(40).map(String::as_str).collect();
    let first = first.join("\n");
    assert!(faults.is_empty(), "{} of {count} mutants, the first of them:\n{first}", faults.len());
}

#[test]
fn mutants_of_one_byte_are_served_as_what_they_are_or_refused() {
    let mutants = mutants();
    expect_none(mutants.len(), failures(super::address(), &mutants));
}

#[test]
fn wild_mutants_are_served_as_what_they_are_or_refused() {
    let seed = std::env::var("COREWISE_IT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);
    let mutants = wild(seed, 4000);
    println!("seed {seed} (COREWISE_IT_SEED)");
    expect_none(mutants.len(), failures(super::address(), &mutants));
}
