//! corewise: the binary.
use corewise::handler::{Handler, IntoHandler};
use corewise::net::listener::{Group, open_group};
use corewise::router::Router;
use corewise::shard::{Idle, Setup};
use corewise::sys::{
    channel,
    process::{PidFd, parent_pid},
    signal::{Signal, SignalFd, block_only},
};
use corewise::{Request, Response, task};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn add<K>(
    b: &mut corewise::router::Builder<usize>,
    hs: &mut Vec<Handler>,
    m: http::Method,
    p: &str,
    h: impl IntoHandler<K>,
) {
    b.insert(Some(m), p, hs.len()).unwrap();
    hs.push(h.into_handler());
}
#[derive(serde::Serialize)]
struct M {
    message: &'static str,
}
async fn sleep(r: Request) -> Response {
    let ms: u64 = r.param("ms").parse().unwrap_or(0);
    corewise::executor::sleep(std::time::Duration::from_millis(ms)).await;
    Response::text(format!("slept {ms}"))
}
fn main() {
    let port: u16 = std::env::args().nth(1).map_or(0, |p| p.parse().unwrap());
    corewise::sys::affinity::pin(0).unwrap();
    block_only(&[Signal::Terminate]).unwrap();
    let listeners = open_group(Group {
        address: ([127, 0, 0, 1], port).into(),
        count: 1,
        backlog: 4096,
        only_v6: false,
    })
    .unwrap();
    eprintln!("ready http://{}", listeners[0].address());
    let (a, _b) = channel::pair().unwrap();
    let mut b = Router::builder();
    let mut hs = Vec::new();
    use http::Method;
    add(&mut b, &mut hs, Method::GET, "/plaintext", |_: &Request| {
        Response::fixed("Hello, World!").content_type("text/plain")
    });
    add(&mut b, &mut hs, Method::GET, "/json", |_: &Request| {
        Response::json(&M { message: "Hello, World!" })
    });
    add(&mut b, &mut hs, Method::GET, "/user/{id}", |r: &Request| Response::text(r.param("id")));
    add(
        &mut b,
        &mut hs,
        Method::POST,
        "/echo",
        task(async |mut r: Request| Response::relay(r.take_body())),
    );
    add(&mut b, &mut hs, Method::GET, "/sleep/{ms}", task(sleep));
    add(&mut b, &mut hs, Method::GET, "/panic", |_: &Request| -> Response { panic!("x") });
    let end = corewise::shard::run(Setup {
        listeners,
        channel: a,
        signals: SignalFd::open(&[Signal::Terminate]).unwrap(),
        supervisor: PidFd::open(parent_pid().unwrap()).unwrap(),
        page: None,
        router: b.build(),
        handlers: hs,
        limits: Default::default(),
        connections_max: 65536,
        idle: Idle::Adaptive,
        grace: std::time::Duration::from_secs(5),
        force: std::time::Duration::from_secs(5),
    });
    eprintln!("{end:?}");
}
