//! A request and its response through iceoryx2, both ends awake: prints the median round trip in
//! nanoseconds.
//!
//! `peer-iceoryx2 CPU CPU BYTES SECONDS`: the CPU of the end that asks, that of the other one, the
//! length of a message, and how long to ask. Like the bench's own ways it copies the request out
//! of a buffer and into one, and the response too.

use std::env;
use std::error::Error;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use iceoryx2::port::client::Client;
use iceoryx2::prelude::*;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};

type Fault = Box<dyn Error>;
type Asker = Client<ipc::Service, [u8], (), [u8], ()>;

fn main() -> Result<(), Fault> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", name, cpu, bytes] => serve(name, cpu.parse()?, bytes.parse()?),
        [asker, partner, bytes, seconds] => {
            let time = Duration::from_secs_f64(seconds.parse()?);
            println!("{}", ask(asker.parse()?, partner, bytes.parse()?, time)?);
            Ok(())
        }
        _ => Err("usage: peer-iceoryx2 CPU CPU BYTES SECONDS".into()),
    }
}

/// The partner, which is ended with whoever asks.
struct Partner(Child);

impl Drop for Partner {
    fn drop(&mut self) {
        // It may have ended by itself, and then nothing is left to do.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

fn ask(cpu: usize, partner_cpu: &str, bytes: usize, time: Duration) -> Result<f64, Fault> {
    pin(cpu)?;
    let name = format!("corewise-bench-{}", std::process::id());
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service =
        node.service_builder(&name.as_str().try_into()?).request_response::<[u8], [u8]>();
    let service = service.open_or_create()?;
    let client = service.client_builder().initial_max_slice_len(bytes).create()?;
    let mut command = Command::new(env::current_exe()?);
    let child = command.args(["serve", &name, partner_cpu, &bytes.to_string()]).spawn()?;
    let mut partner = Partner(child);
    while service.dynamic_config().number_of_servers() == 0 {
        if let Some(status) = partner.0.try_wait()? {
            return Err(format!("the partner has ended: {status}").into());
        }
        std::thread::yield_now();
    }
    sample(&client, bytes, time / 4)?;
    let mut samples = sample(&client, bytes, time)?;
    let middle = samples.len() / 2;
    Ok(*samples.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// So many round trips are timed as one where they are as short as reading the clock is.
fn sample(client: &Asker, bytes: usize, time: Duration) -> Result<Vec<f64>, Fault> {
    let batch = if bytes <= 4096 { 64 } else { 1 };
    let (mut request, mut answer) = (vec![1; bytes], vec![0; bytes]);
    let end = Instant::now() + time;
    let mut samples = Vec::new();
    let mut number = 0_u8;
    loop {
        let began = Instant::now();
        for _ in 0..batch {
            number = number.wrapping_add(1);
            request[0] = number;
            let message = client.loan_slice_uninit(bytes)?.write_from_slice(&request);
            let pending = message.send()?;
            let response = loop {
                if let Some(response) = pending.receive()? {
                    break response;
                }
                std::hint::spin_loop();
            };
            answer.copy_from_slice(response.payload());
            if answer[0] != number.wrapping_add(1) {
                return Err("an answer belongs to another request".into());
            }
        }
        let now = Instant::now();
        samples.push((now - began).as_nanos() as f64 / f64::from(batch));
        if now >= end {
            return Ok(samples);
        }
    }
}

fn serve(name: &str, cpu: usize, bytes: usize) -> Result<(), Fault> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    pin(cpu)?;
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service = node.service_builder(&name.try_into()?).request_response::<[u8], [u8]>();
    let server = service.open()?.server_builder().initial_max_slice_len(bytes).create()?;
    let (mut request, mut answer) = (vec![0; bytes], vec![0; bytes]);
    loop {
        let Some(active) = server.receive()? else {
            std::hint::spin_loop();
            continue;
        };
        request.copy_from_slice(active.payload());
        answer[0] = request[0].wrapping_add(1);
        active.loan_slice_uninit(bytes)?.write_from_slice(&answer).send()?;
    }
}

fn pin(cpu: usize) -> Result<(), Fault> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}
