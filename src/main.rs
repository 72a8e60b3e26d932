//! corewise: the binary.

use std::env;

use corewise::cli::{self, Invocation};
use corewise::config::{Config, Idle};
use corewise::handler::{Handler, IntoHandler};
use corewise::net::Ring;
use corewise::router::{Builder, Router};
use corewise::shard::{self, Setup};
use corewise::supervisor::{self, Engine, ProbeError, Roles, ShardStart};
use corewise::{Exit, Request, Response, executor, task};
use http::Method;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match cli::parse(env::args_os()) {
        Ok(Invocation::Check(sources)) => cli::check(&sources),
        Ok(Invocation::Demo(sources)) => match cli::resolve(&sources) {
            Ok(config) => serve(config),
            Err(exit) => exit,
        },
        Err(exit) => exit,
    }
}

fn serve(config: Config) -> Exit {
    supervisor::run(config, Roles { probe: &probe, shard: &serve_shard })
}

fn probe() -> Result<Engine, ProbeError> {
    match Ring::open() {
        Ok(_) => Ok(Engine { name: "io_uring".into() }),
        Err(error) => Err(ProbeError {
            reason: format!("io_uring cannot be used here: {error}"),
            fix: "see kernel.io_uring_disabled, and the seccomp profile of the container".into(),
        }),
    }
}

fn serve_shard(start: ShardStart<'_>) -> Exit {
    let config = start.config;
    let (router, handlers) = routes();
    let channel = start.channel;
    let setup = Setup {
        listeners: start.listeners,
        channel,
        signals: start.signals,
        supervisor: start.supervisor,
        page: Some(start.page),
        router,
        handlers,
        limits: config.http,
        connections_max: config.shard.connections as usize,
        idle: match config.shard.idle {
            Idle::Adaptive => shard::Idle::Adaptive,
            Idle::Sleep => shard::Idle::Sleep,
            Idle::Spin => shard::Idle::Spin,
        },
        grace: config.shutdown.grace,
        force: config.shutdown.force,
    };
    match shard::run(setup) {
        Ok(_) => Exit::Clean,
        Err(error) => {
            tracing::error!(%error, "shard cannot start");
            Exit::System
        }
    }
}

fn routes() -> (Router<usize>, Vec<Handler>) {
    let mut builder = Router::builder();
    let mut handlers = Vec::new();
    let both = (&mut builder, &mut handlers);
    add(both, Method::GET, "/plaintext", |_: &Request| {
        Response::fixed("Hello, World!").content_type("text/plain")
    });
    let both = (&mut builder, &mut handlers);
    add(both, Method::GET, "/user/{id}", |r: &Request| Response::text(r.param("id")));
    let both = (&mut builder, &mut handlers);
    add(both, Method::POST, "/echo", task(async |mut r: Request| Response::relay(r.take_body())));
    let both = (&mut builder, &mut handlers);
    add(both, Method::GET, "/sleep/{ms}", task(sleep));
    (builder.build(), handlers)
}

fn add<K>(
    (builder, handlers): (&mut Builder<usize>, &mut Vec<Handler>),
    method: Method,
    path: &str,
    handler: impl IntoHandler<K>,
) {
    builder.insert(Some(method), path, handlers.len()).expect("the routes do not clash");
    handlers.push(handler.into_handler());
}

async fn sleep(request: Request) -> Response {
    let milliseconds: u64 = request.param("ms").parse().unwrap_or(0);
    executor::sleep(std::time::Duration::from_millis(milliseconds)).await;
    Response::text(format!("slept {milliseconds}"))
}
