//! What the demo shows of workers: each offloaded route over a real socket, and what becomes of
//! the others when one of them ends its worker.

use std::io::Write;
use std::sync::OnceLock;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use image::{GenericImageView, ImageFormat};
use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::group::Group;
use crate::harness::response::{Asked, Framing, Response};
use crate::harness::{Launch, Server, not_staged, shared, wait_until};

/// The server that the harmless tests share.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    shared(&SERVER, launch)
}

fn launch() -> Launch {
    Launch::demo().shards(1).set("pool.cpu.workers", "1")
}

fn get(target: &str) -> Response {
    server().client().get(target).unwrap()
}

fn post(client: &mut Client, target: &str, body: &[u8]) -> Response {
    let length = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: it\r\nContent-Length: {length}\r\n\r\n");
    let mut writer = client.writer();
    std::thread::scope(|scope| {
        // What is refused early may be closed under the rest of the body.
        scope.spawn(move || writer.write_all(&[head.as_bytes(), body].concat()).ok());
        client.final_response(Asked::default()).unwrap()
    })
}

/// Bytes that are no repetition of anything short, so that a lost or doubled piece shows.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn plus_one(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.wrapping_add(1)).collect()
}

#[track_caller]
fn check(target: &str, status: u16, body: &str) {
    let answer = get(target);
    assert_eq!((answer.status, &*answer.text()), (status, body), "{target}");
}

#[test]
fn the_offloaded_plaintext_is_the_inline_one() {
    let (inline, offloaded) = (get("/plaintext"), get("/offload/plaintext"));
    assert_eq!(offloaded.status, 200);
    assert_eq!(offloaded.body, inline.body);
    for name in ["Content-Type", "Content-Length", "Server"] {
        assert_eq!(offloaded.field(name), inline.field(name), "{name}");
    }
    let head = "HEAD /offload/plaintext HTTP/1.1\r\nHost: it\r\n\r\n";
    let head = server().client().exchange(head.as_bytes()).unwrap();
    assert_eq!(head.field("Content-Length"), inline.field("Content-Length"));
}

#[test]
fn numbers_are_computed_and_bounded() {
    check("/fib/100", 200, "354224848179261915075\n");
    assert_eq!(get("/fib/10000").body.len(), 2_091);
    assert_eq!(get("/fib/100001").status, 400);
    check("/burn/3", 200, "burned 3 ms");
    check("/burn/0.2", 200, "burned 0.2 ms");
    assert_eq!(get("/burn/for-ever").status, 400);
    check("/offload/sleep/5", 200, "slept 5 ms on a timer of the worker's executor\n");
}

#[test]
fn bodies_of_all_sizes_come_back_plus_one() {
    const SLOT: usize = 4 << 10;
    const BLOCK: usize = 64 << 10;
    let mut client = server().client();
    for target in ["/offload/echo", "/offload/echo/whole"] {
        for edge in [1, SLOT, BLOCK, 15 * BLOCK, 16 * BLOCK, 10 << 20] {
            for bytes in [edge - 1, edge, edge + 1] {
                let body = pattern(bytes);
                let answer = post(&mut client, target, &body);
                assert_eq!(answer.status, 200, "{bytes} bytes to {target}");
                assert!(answer.body == plus_one(&body), "{bytes} bytes of {target}");
            }
        }
    }
}

#[test]
fn a_body_of_unknown_length_comes_back_plus_one() {
    let body = pattern(300_000);
    for target in ["/offload/echo", "/offload/echo/whole"] {
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = server().client();
        let mut writer = client.writer();
        let answer = std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(head.as_bytes()).unwrap();
                for chunk in body.chunks(7_777) {
                    let size = format!("{:x}\r\n", chunk.len());
                    writer.write_all(&[size.as_bytes(), chunk, b"\r\n"].concat()).unwrap();
                }
                writer.write_all(b"0\r\n\r\n").unwrap();
            });
            client.final_response(Asked::default()).unwrap()
        });
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.body == plus_one(&body), "{target}");
        assert_eq!(client.get("/user/after").unwrap().text(), "after");
    }
}

#[test]
fn a_stream_comes_in_chunks_and_is_complete() {
    let offloaded = get("/offload/stream?chunks=50&bytes=10000");
    assert_eq!((offloaded.status, offloaded.framing), (200, Framing::Chunked));
    assert!(offloaded.body == get("/stream?chunks=50&bytes=10000").body);
    assert_eq!(get("/offload/stream?chunks=0").body, b"");
}

fn photograph(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn photographs_come_back_smaller() {
    let mut client = server().client();
    for (name, format, media_type, size) in [
        ("mountains.jpg", ImageFormat::Jpeg, "image/jpeg", (240, 160)),
        ("mountains.png", ImageFormat::Png, "image/png", (240, 160)),
        ("upright.jpg", ImageFormat::Jpeg, "image/jpeg", (240, 360)),
    ] {
        let answer = post(&mut client, "/thumbnail?width=240", &photograph(name));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(answer.field("Content-Type").as_deref(), Some(media_type), "{name}");
        let small = image::load_from_memory_with_format(&answer.body, format).unwrap();
        assert_eq!(small.dimensions(), size, "{name}");
    }
    let small = post(&mut client, "/thumbnail?width=4000", &photograph("mountains.png"));
    assert_eq!(image::load_from_memory(&small.body).unwrap().dimensions(), (600, 400));
}

#[test]
fn what_is_no_photograph_is_refused_with_a_reason() {
    let mut client = server().client();
    let (whole, bomb) = (photograph("mountains.jpg"), black(20_000, Colours::Two));
    assert!(bomb.len() < 100 << 10, "{} bytes", bomb.len());
    let cases: [(&[u8], u16, &str); 4] = [
        (b"GIF89a", 415, "JPEG or PNG"),
        (b"", 415, "JPEG or PNG"),
        (&whole[..whole.len() / 2], 422, "cannot be read"),
        (&bomb, 413, "20000 x 20000 is too large"),
    ];
    for (body, status, text) in cases {
        let answer = post(&mut client, "/thumbnail", body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(text), "{}", answer.text());
    }
    assert_eq!(post(&mut client, "/thumbnail?width=0", &whole).status, 400);
    assert_eq!(client.get("/thumbnail").unwrap().status, 405);
}

/// How many colours a picture may have.
#[derive(Clone, Copy)]
enum Colours {
    Two,
    Many,
}

/// A valid PNG, all black, that unpacks to a thousand times its size.
fn black(side: u32, colours: Colours) -> Vec<u8> {
    let mut head = [side.to_be_bytes(), side.to_be_bytes()].concat();
    let (form, row_bytes) = match colours {
        Colours::Two => ([1, 0, 0, 0, 0], side.div_ceil(8)),
        Colours::Many => ([8, 2, 0, 0, 0], 3 * side),
    };
    head.extend(form);
    let mut data = ZlibEncoder::new(Vec::new(), Compression::best());
    let row = vec![0; 1 + row_bytes as usize];
    (0..side).for_each(|_| data.write_all(&row).unwrap());
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in
        [(b"IHDR", head), (b"IDAT", data.finish().unwrap()), (b"IEND", Vec::new())]
    {
        let mut sum = Crc::new();
        sum.update(name);
        sum.update(&content);
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(name);
        bytes.extend(content);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}

/// Something that goes wrong costs this request, and the next one is served by a worker again.
#[track_caller]
fn check_survived(server: &Server, target: &str, status: u16) {
    let (mut bystander, mut client) = (server.client(), server.client());
    let answer = client.get(target).unwrap();
    assert_eq!(answer.status, status, "{target}: {}", answer.text());
    assert_eq!(bystander.get("/user/bystander").unwrap().text(), "bystander");
    assert_eq!(client.get("/fib/10").unwrap().text(), "55\n", "after {target}");
}

#[test]
fn whatever_ends_a_worker_costs_one_request() {
    let server = launch().start();
    check_survived(&server, "/crash/panic", 500);
    for target in ["/crash", "/crash/segv", "/crash/stack", "/crash/memory", "/exit"] {
        check_survived(&server, target, 502);
    }
    check_survived(&server, "/crash/softly", 404);
    server.stop();
}

/// The first line of the log that is so, once it is there.
#[track_caller]
fn line(server: &Server, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    wait_until(what, || {
        let text = server.stderr();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        found = lines.find(&is_it);
        found.is_some()
    });
    found.unwrap()
}

/// A worker left its stack, and a function of this name is part of it.
#[track_caller]
fn stack(server: &Server, signal: &str, thread: &str, function: &str) -> Value {
    line(server, &format!("{function} in the stack of {thread}"), |line| {
        let stack = line["stack"].as_array();
        line["signal"] == signal
            && line["thread"].as_str().is_some_and(|name| name.starts_with(thread))
            && line["process"] == "cpu/0"
            && stack.is_some_and(|stack| {
                stack.iter().any(|place| place.as_str().unwrap().contains(function))
            })
    })
}

#[test]
fn the_log_says_of_a_panic_what_it_was_where_and_in_which_request() {
    let server = launch().start();
    let target = "/crash/panic?with=query";
    assert_eq!(server.client().get(target).unwrap().status, 500);
    let line = line(&server, "the panic is told", |line| line["message"] == "panic");
    assert_eq!(line["text"], "this is what /crash/panic is for");
    assert_eq!(line["request"], "GET /crash/panic (route GET /crash/{how})");
    assert_eq!((&line["level"], &line["process"]), (&"error".into(), &"cpu/0".into()));
    assert!(line["place"].as_str().unwrap().contains("src/demo/offload.rs:"), "{line}");
    server.stop();
}

#[test]
fn the_log_says_of_a_death_which_signal_which_route_and_which_worker() {
    let server = launch().start();
    for (target, route, ended, function) in [
        ("/crash", "GET /crash", "signal ABRT", "abort"),
        ("/crash/stack", "GET /crash/{how}", "signal SEGV", "use_stack"),
        ("/crash/segv", "GET /crash/{how}", "signal SEGV", "end_by_segv"),
    ] {
        assert_eq!(server.client().get(target).unwrap().status, 502, "{target}");
        line(&server, target, |line| {
            line["message"] == "a job died with its worker"
                && (&line["route"], &line["ended"]) == (&route.into(), &ended.into())
                && line["worker"] == "cpu/0"
                && line["ran_ms"].is_u64()
        });
        let line = stack(&server, ended.strip_prefix("signal ").unwrap(), "cw:cpu/0", function);
        assert_eq!(line["message"].as_str().unwrap().contains("used up"), target == "/crash/stack");
    }
    server.stop();
}

#[test]
fn a_worker_that_the_kernel_ends_for_lack_of_memory_costs_one_request() {
    let Some(group) = Group::of_memory(48 << 20) else {
        let need = "root, and a control group for memory that takes others in";
        return not_staged("the kernel ends a worker for lack of memory", need);
    };
    let server = launch().start();
    server.expect_workers(1);
    group.take_in(server.workers("cpu")[0].pid);
    let mut bystander = server.client();
    // Its pixels take 108 MB, which is not too much for what is read.
    let answer = post(&mut server.client(), "/thumbnail", &black(6_000, Colours::Many));
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(bystander.get("/user/bystander").unwrap().text(), "bystander");
    assert_eq!(server.client().get("/fib/10").unwrap().text(), "55\n");
    line(&server, "the lost job is told", |line| {
        line["message"] == "a job died with its worker"
            && (&line["route"], &line["ended"])
                == (&"POST /thumbnail".into(), &"signal KILL".into())
    });
    let reason = "the kernel ended a process for lack of memory";
    line(&server, "the reason is told", |line| line["message"] == reason);
    server.stop();
}

#[test]
fn a_worker_whose_descriptors_are_closed_is_replaced() {
    let server = launch().set("pool.cpu.request.timeout", "1s").start();
    // The answer may still get out; whether it does is not the point.
    let answer = server.client().get("/crash/descriptors").unwrap();
    assert!([200, 502, 504].contains(&answer.status), "{}", answer.status);
    wait_until("there is a worker again", || {
        server.client().get("/fib/10").is_ok_and(|answer| answer.text() == "55\n")
    });
    server.stop();
}

#[test]
fn a_handler_that_never_ends_is_answered_for_and_replaced() {
    check_hang(&launch(), "cw:cpu/0");
}

#[test]
fn one_that_never_ends_on_one_of_several_threads_is_too() {
    check_hang(&launch().set("pool.cpu.threads", "2"), "job/");
}

#[track_caller]
fn check_hang(launch: &Launch, thread: &str) {
    let launch = launch.clone().set("pool.cpu.request.timeout", "300ms");
    let server = launch.set("pool.cpu.request.force", "100ms").start();
    let mut client = server.client();
    client.send(b"GET /hang HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    assert_eq!(server.client().get("/user/meanwhile").unwrap().text(), "meanwhile");
    assert_eq!(client.response(Asked::default()).unwrap().status, 504);
    let told = "does not come back from a job and is ended";
    let late = line(&server, told, |line| line["message"] == format!("worker {told}"));
    assert_eq!((&late["worker"], &late["route"]), (&"cpu/0".into(), &"GET /hang".into()));
    assert!(late["ran_ms"].as_u64().unwrap() >= 400, "{late}");
    stack(&server, "ABRT", thread, "hang");
    // It ended by itself: whoever hangs in its last words is killed.
    line(&server, "it is ended by ABRT", |line| {
        line["message"] == "a job died with its worker" && line["ended"] == "signal ABRT"
    });
    wait_until("there is a worker again", || {
        server.client().get("/fib/10").is_ok_and(|answer| answer.text() == "55\n")
    });
    server.stop();
}
