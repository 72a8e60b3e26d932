//! may_minihttp with one worker thread, set up as its own example for benchmarks is.

use std::io;

use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Service;

impl HttpService for Service {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        match request.path() {
            "/plaintext" => response.header("Content-Type: text/plain").body("Hello, World!"),
            "/json" => {
                let body = "{\"message\":\"Hello, World!\"}";
                response.header("Content-Type: application/json").body(body);
            }
            path => match path.strip_prefix("/user/") {
                Some(id) => {
                    let id = id.as_bytes().to_vec();
                    response.header("Content-Type: text/plain").body_vec(id);
                }
                None => {
                    response.status_code(404, "Not Found");
                }
            },
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let arguments = peer::start("may_minihttp");
    may::config().set_workers(1).set_pool_capacity(500).set_stack_size(0x1000);
    let server = HttpServer(Service).start(peer::address(arguments.port))?;
    server.join().map_err(|_| io::Error::other("the coroutine that accepts has panicked"))
}
