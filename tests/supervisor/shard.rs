//! A shard of a few lines, and the ways in which it misbehaves.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use corewise::Exit;
use corewise::config::options::{Id, OPTIONS};
use corewise::config::{Machine, Sources};
use corewise::supervisor::{self, Engine, ProbeError, Roles, ShardStart};
use corewise::sys::channel::{self, FromChild, Received, ToChild};
use corewise::sys::poll::wait_readable;
use corewise::sys::process::{Fork, fork, own_pid, parent_pid};
use corewise::sys::signal::{Signal, ignore};
use corewise::sys::socket::accept_one;

/// Runs a supervisor whose shards behave as `mode` says.
pub(crate) fn serve(mode: &str, flags: &[String]) -> Exit {
    let mut sources = Sources::default();
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { panic!("flags come with a value") };
        sources.flags.push((option(flag), value.clone()));
    }
    // Addresses add up, as on the real command line.
    let addresses: Vec<String> = sources
        .flags
        .extract_if(.., |(id, _)| *id == Id::ServerListen)
        .map(|(_, text)| text)
        .collect();
    sources.flags.push((Id::ServerListen, addresses.join(",")));
    let config = sources.resolve(&Machine::read().unwrap()).unwrap();
    match mode {
        "cannot-be-watched" => forbid_dontfork().unwrap(),
        "has-threads" => _ = thread::spawn(thread::park),
        _ => {}
    }
    let roles = Roles {
        probe: &|| probe(mode),
        shard: &|start| run(mode, start),
        template: &|_| unreachable!("there are no pools"),
        routes: &[],
    };
    supervisor::run(config, roles)
}

pub(crate) fn option(flag: &str) -> Id {
    let flag = flag.trim_start_matches('-');
    let named = |def: &&corewise::config::options::OptionDef| {
        def.shown_flag() == flag || def.full_flag() == flag
    };
    OPTIONS.iter().find(named).unwrap().id
}

/// Printed by a shard that finds another one in its place.
pub(crate) const STRAY: &str = "another shard lives in this place";

/// Lives until its channel or its supervisor is gone.
fn look_for_strays(start: &ShardStart<'_>) -> Exit {
    let supervisor = parent_pid().unwrap().get();
    if super::children_of(supervisor).iter().any(|&pid| pid != own_pid().get()) {
        eprintln!("{STRAY}");
    }
    wait_readable(&[start.supervisor.as_fd()], Some(Duration::from_secs(20))).unwrap();
    Exit::Clean
}

/// Installs a seccomp filter under which no mapping can be kept from children. A supervisor then
/// fails after the fork.
fn forbid_dontfork() -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Where seccomp_data has the low half of the third argument.
    let advice = 16 + 2 * 8 + if cfg!(target_endian = "big") { 4 } else { 0 };
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut filter = [
        step(LOAD, 0, 0),
        step(IF_EQUAL, 3, libc::SYS_madvise as u32),
        step(LOAD, 0, advice),
        step(IF_EQUAL, 1, libc::MADV_DONTFORK as u32),
        step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: plain integers; without this an unprivileged process may not install a filter.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: `program` points to `filter`, both live until the call returns, and `len` is the
    // number of its elements; the kernel copies the program.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    if unprivileged != 0 || installed != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn probe(mode: &str) -> Result<Engine, ProbeError> {
    match mode {
        "no-engine" => {
            Err(ProbeError { reason: "rings are forbidden here".into(), fix: "allow them".into() })
        }
        "engine-kills" => {
            // What a sandbox does that punishes the attempt.
            std::process::Command::new("kill")
                .args(["-SYS", &own_pid().to_string()])
                .status()
                .unwrap();
            unreachable!("the signal ends this process")
        }
        "engine-panics" => panic!("as the test wants it"),
        _ => Ok(Engine { name: "poll".into() }),
    }
}

fn run(mode: &str, mut start: ShardStart<'_>) -> Exit {
    match mode {
        "dies-at-boot" => return Exit::Found,
        "panics-at-boot" => panic!("as the test wants it"),
        "fails-at-boot" => {
            let text = "no memory for this test".to_owned();
            let code = Exit::System.code();
            start.channel.send(&FromChild::Failed { code, text }).unwrap();
            return Exit::System;
        }
        "cannot-be-watched" => return look_for_strays(&start),
        "ignores-abort" => ignore(Signal::Abort).unwrap(),
        _ => {}
    }
    start.channel.send(&FromChild::Ready).unwrap();
    let _other_end = (mode == "closes-channel").then(|| {
        let (unheard, other_end) = channel::pair().unwrap();
        start.channel = unheard;
        // Held as long as this shard lives, or it would find its new channel closed and spin.
        other_end
    });
    if mode == "stalls" && start.incarnation == 1 {
        start.page.words().begin_turn();
        loop {
            thread::park();
        }
    }
    loop {
        wait(&start);
        start.page.words().begin_turn();
        if mode == "slow-turns" {
            thread::sleep(Duration::from_millis(700));
        }
        answer_all(mode, &start);
        if let Some(exit) = obey(mode, &mut start) {
            return exit;
        }
        start.page.words().end_turn();
    }
}

fn wait(start: &ShardStart<'_>) {
    let mut fds = vec![start.channel.as_fd(), start.signals.as_fd(), start.supervisor.as_fd()];
    fds.extend(start.listeners.iter().map(AsFd::as_fd));
    wait_readable(&fds, Some(Duration::from_millis(50))).unwrap();
}

fn answer_all(mode: &str, start: &ShardStart<'_>) {
    for listener in &start.listeners {
        while let Some(client) = accept_one(listener).unwrap() {
            if mode == "makes-orphans" {
                make_orphan();
            }
            answer(client);
        }
    }
}

fn answer(client: OwnedFd) {
    use std::io::{Read, Write};
    let mut client = std::net::TcpStream::from(client);
    let mut question = [0];
    // A client that goes away wants no answer.
    let _ = client
        .read_exact(&mut question)
        .and_then(|()| client.write_all(format!("{}\n", own_pid()).as_bytes()));
}

/// A grandchild whose parent leaves at once: it belongs to the supervisor then.
fn make_orphan() {
    let spawn = |body: &dyn Fn()| -> io::Result<()> {
        match fork()? {
            Fork::Child(forked) => forked.exit_with(|_| {
                body();
                0
            }),
            Fork::Parent(_) => Ok(()),
        }
    };
    spawn(&|| {
        let middle = own_pid();
        spawn(&|| {
            while parent_pid() == Some(middle) {
                thread::sleep(Duration::from_millis(1));
            }
        })
        .unwrap();
    })
    .unwrap();
    // The middle process is ours to reap.
    while corewise::sys::process::reap().unwrap().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Does what was asked for; an exit when it is to leave.
fn obey(mode: &str, start: &mut ShardStart<'_>) -> Option<Exit> {
    let deaf = matches!(mode, "never-leaves" | "ignores-abort");
    while let Received::Message(message) = start.channel.receive().unwrap() {
        match message {
            _ if deaf => {}
            ToChild::Drain { .. } => {
                answer_all(mode, start);
                start.listeners.clear();
                start.channel.send(&FromChild::AcceptClosed).unwrap();
                return Some(Exit::Clean);
            }
            ToChild::Fork(_) => unreachable!("this is not a template"),
            ToChild::Stop => return Some(Exit::Clean),
        }
    }
    if !deaf && start.signals.read().unwrap().is_some() {
        // The supervisor may be gone, which is the other reason for this signal.
        let _ = start.channel.send(&FromChild::Retiring);
        return Some(Exit::Clean);
    }
    None
}
