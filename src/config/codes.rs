//! What each code means: the text behind `corewise explain`.

/// One code with all that is to be said about it.
#[derive(Debug)]
pub struct Code {
    /// As it is shown, `E0103`.
    pub code: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it means and why it is checked, in sentences.
    pub meaning: &'static str,
    /// What brings it about.
    pub example: Example,
    /// What to do, in sentences.
    pub remedy: &'static str,
}

/// What brings a code about. All but situations are replayed by a test.
#[derive(Clone, Copy, Debug)]
pub enum Example {
    /// Two files of `corewise.d`.
    DropIns([&'static str; 2]),
    /// A file with this text.
    File(&'static str),
    /// A variable with this value.
    Variable(&'static str, &'static str),
    /// Something that needs a machine in that state: what a person would see or do.
    Situation(&'static str),
}

impl Example {
    /// The example as text, and whether that is TOML.
    #[must_use]
    pub fn text(&self) -> (String, bool) {
        match self {
            Self::DropIns([one, two]) => {
                (format!("# corewise.d/1.toml\n{one}\n# corewise.d/2.toml\n{two}"), true)
            }
            Self::File(text) => ((*text).to_owned(), true),
            Self::Situation(text) => ((*text).to_owned(), false),
            Self::Variable(name, value) => (format!("{name}={value}"), false),
        }
    }
}

/// The code that is written so, in whatever case, with or without its letter.
#[must_use]
pub fn find(written: &str) -> Option<&'static Code> {
    let digits = written.trim_start_matches(['e', 'E']);
    CODES.iter().find(|code| code.code.trim_start_matches('E') == digits)
}

/// All codes, ascending.
pub static CODES: &[Code] = &[
    Code {
        code: "E0100",
        title: "the file cannot be read",
        meaning: "A configuration file was named with --config or COREWISE_CONFIG, or \
                  corewise.toml exists, but it cannot be read: it is not there, the user may not \
                  read it, or it is no text.",
        example: Example::Situation("corewise check --config not-there.toml"),
        remedy: "Name the right file, or make it readable for the user that starts corewise. \
                 Without a file every setting has its default.",
    },
    Code {
        code: "E0101",
        title: "the file is not TOML",
        meaning: "The text breaks a rule of TOML itself. What can still be understood is checked \
                  in the same run.",
        example: Example::File("[limits]\nkeep-alive = 75 s\n"),
        remedy: "Look at the place that is shown. Most often a string lacks its quotes: times, \
                 sizes and words are strings, as in \"75s\".",
    },
    Code {
        code: "E0102",
        title: "unknown table",
        meaning: "A table that no version of corewise has. It is refused rather than passed over, \
                  because a setting that is misspelled would otherwise be believed in.",
        example: Example::File("[limit]\nbody = \"1MiB\"\n"),
        remedy: "Correct the name; the nearest one is suggested. `corewise init --print` lists \
                 all tables.",
    },
    Code {
        code: "E0103",
        title: "unknown key",
        meaning: "A key that its table does not have, one outside of any table, or a COREWISE_ \
                  variable that names no setting.",
        example: Example::File("[limits]\nkeepalive = \"75s\"\n"),
        remedy: "Correct the name; the nearest one is suggested, or the table in which the key \
                 belongs.",
    },
    Code {
        code: "E0104",
        title: "a value of the wrong type",
        meaning: "The setting takes another type of value: a string where a list is needed, a \
                  number in quotes, a boolean.",
        example: Example::File("[limits]\nheaders = \"100\"\n"),
        remedy: "Write the value as the message shows. Sizes and times are strings with a unit, \
                 counts are plain numbers.",
    },
    Code {
        code: "E0105",
        title: "a value that cannot be read or is out of bounds",
        meaning: "The type is right, but the text is no value of this setting, or it lies outside \
                  of the bounds that the message names.",
        example: Example::File("[limits]\nkeep-alive = \"75\"\n"),
        remedy: "Write a value as the message shows. A time needs a unit (\"75s\"), because a \
                 bare number could be seconds or milliseconds.",
    },
    Code {
        code: "E0106",
        title: "not available in this version",
        meaning: "The setting is known, but what it would control comes with a later version. It \
                  is refused rather than accepted without effect.",
        example: Example::File("[server]\nsandbox = \"on\"\n"),
        remedy: "Remove it, or comment it out until then.",
    },
    Code {
        code: "E0107",
        title: "set twice by drop-ins",
        meaning: "Two files of corewise.d set the same key. Which of them counts would depend on \
                  nothing but their names, so it is refused; a drop-in over the file itself is \
                  what drop-ins are for.",
        example: Example::DropIns(["[limits]\nbody = \"1MiB\"\n", "[limits]\nbody = \"2MiB\"\n"]),
        remedy: "Keep one of the two; both places are shown.",
    },
    Code {
        code: "E0108",
        title: "a setting of a pool that cannot be told",
        meaning: "A flag or a short variable like COREWISE_WORKERS is for the only pool. There \
                  is none, or there are several.",
        example: Example::Variable("COREWISE_WORKERS", "2"),
        remedy: "Name the pool: write the key in its table, or use the full variable, as in \
                 COREWISE_POOL__APP__WORKERS. How many processes serve without pools is \
                 cores.shards (--shards).",
    },
    Code {
        code: "E0109",
        title: "too many faults",
        meaning: "The file has so many faults that it is most likely something else altogether, \
                  so the rest of it was not looked at.",
        example: Example::Situation("corewise check --config /bin/sh"),
        remedy: "Name the right file. If it is the right one, correct what is shown and check \
                 again.",
    },
    Code {
        code: "E0201",
        title: "more shards than CPUs",
        meaning: "Each shard has a CPU of its own; two on one CPU would only take turns.",
        example: Example::File("[cores]\nshards = 1000\n"),
        remedy: "Write \"auto\", or at most as many as `corewise cores` shows as usable.",
    },
    Code {
        code: "E0202",
        title: "a CPU that cannot be used",
        meaning: "A CPU is named that is not online, or that the affinity mask or the cpuset of \
                  this process excludes.",
        example: Example::File("[cores]\nshards = \"0,999\"\n"),
        remedy: "Name CPUs that `corewise cores` shows as usable, or widen the mask (taskset, \
                 CPUAffinity=, --cpuset-cpus) that the process is started with.",
    },
    Code {
        code: "E0203",
        title: "an address twice",
        meaning: "The same address is named twice in server.listen.",
        example: Example::File("[server]\nlisten = [\"127.0.0.1:80\", \"127.0.0.1:80\"]\n"),
        remedy: "Name each address once: every shard listens on all of them.",
    },
    Code {
        code: "E0204",
        title: "addresses that overlap",
        meaning: "One of two addresses contains the other, as 0.0.0.0 contains 127.0.0.1, so that \
                  the system could not tell to which of them a client came.",
        example: Example::File("[server]\nlisten = [\"0.0.0.0:8000\", \"127.0.0.1:8000\"]\n"),
        remedy: "Name the wider one alone, or give them different ports.",
    },
    Code {
        code: "E0210",
        title: "a CPU that is claimed twice",
        meaning: "Two settings give the same CPU to different processes, by name. A worker that \
                  computes on the core of a shard adds its whole time slice to the latency of \
                  that shard.",
        example: Example::File("[cores]\nshards = \"0-1\"\n[pool.ml]\ncores = \"1\"\n"),
        remedy: "Give each its own CPUs. On small machines, where sharing is meant, write share \
                 = true in the pool.",
    },
    Code {
        code: "E0211",
        title: "cores.use leaves no CPU",
        meaning: "None of the CPUs that cores.use selects can be used: offline, outside of the \
                  affinity mask or the cpuset, or taken out again by a term with an exclamation \
                  mark.",
        example: Example::File("[cores]\nuse = \"0-1,!0-1\"\n"),
        remedy: "Select from the CPUs that `corewise cores` shows as usable, or write \"auto\".",
    },
    Code {
        code: "E0212",
        title: "cores.reserve leaves no CPU",
        meaning: "All usable CPUs are reserved for others, and nothing is left for a shard.",
        example: Example::File("[cores]\nreserve = \"0-1\"\n"),
        remedy: "Reserve fewer, or write \"auto\".",
    },
    Code {
        code: "E0213",
        title: "CPUs are named, but nobody is to be pinned",
        meaning: "With pin = false processes run wherever the kernel puts them, so that naming \
                  their CPUs has no meaning.",
        example: Example::File("[cores]\npin = false\nshards = \"0-1\"\n"),
        remedy: "Write how many shards there are instead of their CPUs, or remove pin = false.",
    },
    Code {
        code: "E0214",
        title: "a cache or node that this machine does not have",
        meaning: "A term of cores.use like l3:1 or node:1 names a group of CPUs that is not \
                  there.",
        example: Example::File("[cores]\nuse = \"node:7\"\n"),
        remedy: "See `corewise cores` for the nodes and caches of this machine.",
    },
    Code {
        code: "E0220",
        title: "requests may take longer than a stop waits",
        meaning: "request.timeout of a pool is above shutdown.grace: a stop would cancel \
                  requests that are still within their time.",
        example: Example::File(
            "[shutdown]\ngrace = \"10s\"\n[pool.app]\nrequest = { timeout = \"30s\" }\n",
        ),
        remedy: "Raise shutdown.grace to the longest request.timeout, or lower that.",
    },
    Code {
        code: "E0221",
        title: "a job may wait longer than its request may take",
        meaning: "queue-wait of a pool is not below its request.timeout, which counts from the \
                  admission: the job would be answered with 504 before it starts.",
        example: Example::File(
            "[pool.app]\nqueue-wait = \"30s\"\nrequest = { timeout = \"20s\" }\n",
        ),
        remedy: "Let it wait for less than the request may take, or write queue-wait = \"auto\".",
    },
    Code {
        code: "E0222",
        title: "fewer workers at most than to begin with",
        meaning: "max-workers of a pool is below its workers.",
        example: Example::File("[pool.app]\nworkers = 4\nmax-workers = 2\n"),
        remedy: "Write 0 to have no more than `workers`, or a higher number.",
    },
    Code {
        code: "E0223",
        title: "more jobs at a time than slots",
        meaning: "Each job that runs holds a slot, so a worker cannot run more jobs at a time \
                  than a shard has slots.",
        example: Example::File("[pool.app]\nconcurrency = 512\nslots = 256\n"),
        remedy: "Raise slots, or lower concurrency.",
    },
    Code {
        code: "E0224",
        title: "threads for an application that runs on one",
        meaning: "An ASGI application runs on one event loop in one thread. More threads would \
                  be idle.",
        example: Example::File("[pool.app]\ninterface = \"asgi\"\nthreads = 4\n"),
        remedy: "Write threads = 1; more workers use more cores.",
    },
    Code {
        code: "E0225",
        title: "a key that makes no sense for the kind of pool",
        meaning: "The key is about a Python application, and the pool has kind = \"native\".",
        example: Example::File("[pool.app]\nkind = \"native\"\napp = \"main:app\"\n"),
        remedy: "Remove the key, or write kind = \"python\".",
    },
    Code {
        code: "E0226",
        title: "details of a call that is not made",
        meaning: "Keys below `once` say how the call is made, but once.call, which says what to \
                  call, is missing.",
        example: Example::File("[pool.app]\nonce = { retries = 3 }\n"),
        remedy: "Write once.call = \"main:migrate\", or remove the details.",
    },
    Code {
        code: "E0227",
        title: "a pool and what is built into the program do not match",
        meaning: "A pool with kind = \"native\" runs handlers that the program itself has, and \
                  this program has none of that name; or it has, and the file gives the pool \
                  another kind.",
        example: Example::Situation(
            "[pool.app] with kind = \"native\", and no App::pool(\"app\", ..)",
        ),
        remedy: "Correct the name, add the pool to the program, or remove the table.",
    },
    Code {
        code: "E0300",
        title: "nothing to serve",
        meaning: "`corewise run` serves the routes of the file, and there is none.",
        example: Example::Situation("corewise run, without a [[route]] in the file"),
        remedy: "Write a [[route]]; `corewise init --print` shows how one looks. `corewise demo` \
                 serves without any.",
    },
    Code {
        code: "E0301",
        title: "an incomplete route",
        meaning: "A route needs a path, which says what it takes, and something that becomes of \
                  its requests.",
        example: Example::File("[[route]]\npath = \"/hello\"\n"),
        remedy: "Add what is missing: path, or one of respond and redirect.",
    },
    Code {
        code: "E0302",
        title: "two targets",
        meaning: "A route answers or redirects, not both.",
        example: Example::File(
            "[[route]]\npath = \"/a\"\nredirect = \"/b\"\nrespond = { status = 200 }\n",
        ),
        remedy: "Remove one of the two, or make two routes of it.",
    },
    Code {
        code: "E0303",
        title: "a path that is no pattern",
        meaning: "A pattern begins with a slash, has at most one parameter in a segment, and \
                  ends where {*rest} or /* stands.",
        example: Example::File("[[route]]\npath = \"hello\"\nrespond = { status = 200 }\n"),
        remedy: "Write it like /exact, /below/*, /user/{id} or /files/{*rest}; docs/routes.md \
                 has all of it.",
    },
    Code {
        code: "E0304",
        title: "a host that is none",
        meaning: "A host is a name, a name below which everything is meant, or an address; \
                  without scheme, port and path.",
        example: Example::File(
            "[[route]]\npath = \"/*\"\nhosts = [\"http://example.org\"]\n\
             respond = { status = 200 }\n",
        ),
        remedy: "Write it like example.org, *.example.org or [::1].",
    },
    Code {
        code: "E0305",
        title: "a method that is none",
        meaning: "A method is a single word in its usual case, GET rather than get; CONNECT and \
                  TRACE are not for routes.",
        example: Example::File(
            "[[route]]\npath = \"/*\"\nmethods = [\"get\"]\nrespond = { status = 200 }\n",
        ),
        remedy: "Write the method as HTTP has it, in capitals.",
    },
    Code {
        code: "E0306",
        title: "an answer that cannot be sent",
        meaning: "A fixed answer has a final status from 200 to 599, and a body or a file where \
                  that status has one.",
        example: Example::File("[[route]]\npath = \"/*\"\nrespond = { status = 100 }\n"),
        remedy: "Correct what the message names.",
    },
    Code {
        code: "E0307",
        title: "a header field that cannot be sent",
        meaning: "The name or the value breaks the rules for fields, or the field frames the \
                  message, which the server does itself.",
        example: Example::File(
            "[[route]]\npath = \"/*\"\nrespond = { headers = { Content-Length = \"3\" } }\n",
        ),
        remedy: "Remove it, or write the value in one line of printable characters.",
    },
    Code {
        code: "E0308",
        title: "a redirect that leads nowhere",
        meaning: "The target is no place for a browser, inserts what the path does not capture, \
                  or the status is none of a redirect.",
        example: Example::File("[[route]]\npath = \"/old\"\nredirect = \"/new/{id}\"\n"),
        remedy: "Write a target like /new/{id} or https://example.org/*, with parameters of the \
                 path, and status 301, 302, 303, 307 or 308.",
    },
    Code {
        code: "E0309",
        title: "a file that cannot be read",
        meaning: "respond.file names a file that is not there, cannot be read, is no file, or is \
                  too large to be held in memory.",
        example: Example::File(
            "[[route]]\npath = \"/\"\nrespond = { file = \"not-there.html\" }\n",
        ),
        remedy: "Name a file, relative to the folder of the configuration file, that the server \
                 can read.",
    },
    Code {
        code: "E0310",
        title: "a route that is never reached",
        meaning: "The first route that fits has a request, and one above this takes everything \
                  that this one would.",
        example: Example::File(
            "[[route]]\npath = \"/*\"\nrespond = { status = 200 }\n[[route]]\npath = \"/a\"\n\
             redirect = \"/b\"\n",
        ),
        remedy: "Write it above the other one, or remove it.",
    },
    Code {
        code: "E0311",
        title: "a redirect to itself",
        meaning: "The target is a path that the same route takes again. Browsers would go round \
                  until they give up.",
        example: Example::File("[[route]]\npath = \"/a\"\nredirect = \"/a\"\n"),
        remedy: "Lead to a path that another route takes, one above this one.",
    },
    Code {
        code: "E0312",
        title: "too many routes",
        meaning: "A request is compared with one route after the other, so their number is \
                  bounded, and so are the hosts and methods of each.",
        example: Example::Situation("a generated file with thousands of [[route]] tables"),
        remedy: "Join some of them by /* or a parameter in their paths.",
    },
    Code {
        code: "E0401",
        title: "the port is taken",
        meaning: "Another process listens on the address. corewise would be able to join it \
                  silently and take a part of its clients, which nobody wants, so it looks first \
                  and names who is there.",
        example: Example::Situation("two servers with --bind 127.0.0.1:8000"),
        remedy: "Stop the other process, or choose another address. If it is the corewise that \
                 you mean to restart, stop that one first.",
    },
    Code {
        code: "E0402",
        title: "a port that this user may not use",
        meaning: "Ports below net.ipv4.ip_unprivileged_port_start, 1024 by default, are for root \
                  and for programs with the capability CAP_NET_BIND_SERVICE.",
        example: Example::Situation("corewise run --bind 0.0.0.0:80, as an ordinary user"),
        remedy: "Use a port from 1024 on behind a proxy or a redirection; or run `setcap \
                 cap_net_bind_service=+ep` on the program; or `sysctl -w \
                 net.ipv4.ip_unprivileged_port_start=80`; or AmbientCapabilities= in a unit file.",
    },
    Code {
        code: "E0403",
        title: "an address that this machine does not have",
        meaning: "Only addresses of this machine can be listened on. In a container that is not \
                  the address of the host.",
        example: Example::Situation("corewise run --bind 192.0.2.1:8000"),
        remedy: "Use 0.0.0.0 for every IPv4 address, [::] for all, or one that `ip address` \
                 shows.",
    },
    Code {
        code: "E0404",
        title: "the system refuses to listen",
        meaning: "Opening or binding the listening socket failed for a reason that is neither a \
                  taken port nor a permission; the message has what the system said.",
        example: Example::Situation("an IPv6 address on a machine without IPv6"),
        remedy: "Choose another address, or look for what forbids sockets: a sandbox, a security \
                 module, exhausted memory.",
    },
    Code {
        code: "E0405",
        title: "io_uring is not available",
        meaning: "Every connection is served through io_uring, which is tried before anything is \
                  started. The default seccomp profiles of many container engines forbid it, \
                  kernel.io_uring_disabled can, and kernels before 6.1 lack a part of it.",
        example: Example::Situation("docker run ... corewise run"),
        remedy: "Allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp \
                 profile; set kernel.io_uring_disabled to 0; use Linux 6.1 or later.",
    },
    Code {
        code: "E0406",
        title: "fewer descriptors than connections",
        meaning: "Each connection is a descriptor. A shard may hold no more of them than the hard \
                  limit allows, so limits.connections is cut to what fits. A warning.",
        example: Example::Situation("ulimit -Hn 1024, then corewise run"),
        remedy: "Raise the hard limit (ulimit -Hn, LimitNOFILE= in a unit file, --ulimit nofile \
                 for docker), or write a smaller limits.connections.",
    },
    Code {
        code: "E0407",
        title: "too little lockable memory",
        meaning: "The kernel counts the rings of each shard, 512 KiB, as locked memory of their \
                  user. With less than that the start may fail or a shard may not come up. A \
                  warning.",
        example: Example::Situation("ulimit -Hl 256, then corewise run"),
        remedy: "Raise the hard limit (ulimit -Hl, LimitMEMLOCK= in a unit file, --ulimit memlock \
                 for docker), or start fewer shards.",
    },
    Code {
        code: "E0408",
        title: "an accept queue longer than the kernel allows",
        meaning: "Clients that connect while a shard is busy wait in its accept queue. The kernel \
                  cuts its length to net.core.somaxconn. A warning.",
        example: Example::Situation("sysctl net.core.somaxconn shows 128"),
        remedy: "sysctl -w net.core.somaxconn=4096, or write a smaller server.backlog.",
    },
    Code {
        code: "E0409",
        title: "no memory for a pool",
        meaning: "What shards and workers of a pool share is found at the start, all of it, so \
                  that it cannot be missing later. The message says how much it is: slots x slot \
                  for each shard in both directions, and blocks of 64 KiB for larger bodies. A \
                  pool has places for at most 255 workers.",
        example: Example::Situation("slots = 65536 and slot = \"1MiB\" in a pool"),
        remedy: "Write a smaller `slots` or `slot`, or fewer workers, in the pool; or raise what \
                 limits memory: the control group, ulimit -v.",
    },
    Code {
        code: "E0410",
        title: "no descriptors for a pool",
        meaning: "Every process of a pool, and every shard, has a descriptor for each other one, \
                  by which it is woken. The hard limit does not allow so many.",
        example: Example::Situation("ulimit -Hn 32, then a server with a pool"),
        remedy: "Raise the hard limit (ulimit -Hn, LimitNOFILE= in a unit file, --ulimit nofile \
                 for docker), or start fewer workers.",
    },
    Code {
        code: "E0415",
        title: "a user that nobody can become",
        meaning: "Shards, templates and workers are to run as server.user. There is no such user, \
                  or this process may not become it: only root may become others.",
        example: Example::Situation("server.user = \"www-data\", started by somebody else"),
        remedy: "Name a user that `getent passwd` shows and start the server as root; or leave \
                 server.user empty and start it as that user.",
    },
    Code {
        code: "E0416",
        title: "a folder where no socket can be made",
        meaning: "An address like unix:/run/app.sock is a file, and this user may make none in \
                  that folder.",
        example: Example::Situation("corewise run --bind unix:/run/app.sock, not as root"),
        remedy: "Use a folder of this user. RuntimeDirectory=app in a systemd unit makes /run/app.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Machine, Sources};
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    #[test]
    fn codes_ascend_and_say_something() {
        for pair in CODES.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} {}", pair[0].code, pair[1].code);
        }
        for code in CODES {
            assert!(!code.title.ends_with('.'), "{}", code.code);
            assert!(code.meaning.ends_with('.') && code.remedy.ends_with('.'), "{}", code.code);
        }
    }

    /// Every code that a constant of this module's files defines.
    fn defined() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter_map(|path| fs::read_to_string(path).ok());
        let lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let constants =
            lines.iter().filter(|line| line.contains("const ") && line.contains("&str"));
        let codes = constants.filter_map(|line| line.split_once("= \"E0").map(|(_, rest)| rest));
        codes.map(|rest| format!("E0{}", &rest[..3])).collect()
    }

    #[test]
    fn every_code_is_explained_and_nothing_else() {
        let explained: BTreeSet<String> = CODES.iter().map(|code| code.code.to_owned()).collect();
        assert_eq!(explained, defined());
    }

    #[test]
    fn every_example_brings_its_code_about() {
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        for code in CODES {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("corewise.toml");
            let (text, environment) = match code.example {
                Example::DropIns(texts) => {
                    let folder = folder.path().join("corewise.d");
                    fs::create_dir(&folder).unwrap();
                    fs::write(folder.join("1.toml"), texts[0]).unwrap();
                    fs::write(folder.join("2.toml"), texts[1]).unwrap();
                    ("", Vec::new())
                }
                Example::File(text) => (text, Vec::new()),
                Example::Variable(name, value) => ("", vec![(name.to_owned(), value.to_owned())]),
                Example::Situation(_) => continue,
            };
            fs::write(&path, text).unwrap();
            let sources = Sources { file: Some(path), environment, ..Sources::default() };
            let faults = sources.resolve(&machine).expect_err(code.code);
            assert!(
                faults.0.iter().any(|fault| fault.code == code.code),
                "{}: {faults}",
                code.code
            );
        }
    }

    #[test]
    fn codes_are_found_however_they_are_written() {
        for written in ["E0103", "e0103", "0103"] {
            assert_eq!(find(written).unwrap().code, "E0103");
        }
        assert!(find("E9999").is_none() && find("").is_none());
    }
}
