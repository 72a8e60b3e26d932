//! The part of the demo that runs in workers: what computes for long, what waits there, and what
//! ends a worker without hurting anybody else.

use std::hint::{black_box, spin_loop};
use std::ops::RangeInclusive;
use std::process;
use std::time::Duration;

use super::thumbnail::thumbnail;
use super::{WAIT_MS, millis, plaintext, stream, within};
use crate::handler::offload;
use crate::sys::clock::thread_cpu_time;
use crate::sys::descriptors::close_under_everybody;
use crate::sys::process::end_by_segv;
use crate::{App, Error, Pool, Request, Response, executor};

/// `app` with the pool and its routes.
pub(super) fn add_to(app: App) -> App {
    app.pool(POOL, Pool::new())
        .post("/thumbnail", offload(POOL, thumbnail))
        .get("/fib/{n}", offload(POOL, fib))
        .get("/burn/{ms}", offload(POOL, burn))
        .get("/offload/plaintext", offload(POOL, plaintext))
        .post("/offload/echo", offload(POOL, echo))
        .post("/offload/echo/whole", offload(POOL, echo_whole))
        .get("/offload/stream", offload(POOL, stream))
        .get("/offload/sleep/{ms}", offload(POOL, sleep))
        .get("/hang", offload(POOL, hang))
        .get("/exit", offload(POOL, exit))
        .get("/crash", offload(POOL, |_: &Request| -> Response { process::abort() }))
        .get("/crash/{how}", offload(POOL, crash))
}

/// What `[pool.cpu]` is about.
const POOL: &str = "cpu";
/// The largest has 20,899 digits, which take some 100 ms.
const FIB_INDEX: RangeInclusive<u32> = 0..=100_000;
/// An answer to at most so many bytes is made in one piece.
const ECHO_WHOLE_BYTES: usize = 64 << 10;
/// No stack of a thread is larger, unless somebody has lifted its limit.
const STACK_BYTES_MAX: usize = 1 << 30;
const FRAME_BYTES: usize = 4 << 10;

fn fib(request: &Request) -> Result<String, Error> {
    let index = request.param_as("n")?;
    if !FIB_INDEX.contains(&index) {
        return Err(Error::ParameterInvalid);
    }
    Ok(fibonacci(index))
}

/// All digits of a Fibonacci number and a line end, by addition after addition.
fn fibonacci(index: u32) -> String {
    // The number of the turn and the one after it, in pieces of 18 digits, the last ones first.
    let (mut this, mut next) = (vec![0], vec![1]);
    for _ in 0..index {
        add(&mut this, &next);
        std::mem::swap(&mut this, &mut next);
    }
    let (first, rest) = this.split_last().expect("a number has at least one piece");
    let rest = rest.iter().rev().map(|piece| format!("{piece:018}"));
    std::iter::once(first.to_string()).chain(rest).chain(["\n".to_owned()]).collect()
}

/// Adds a number that has as many pieces, or more.
fn add(sum: &mut Vec<u64>, other: &[u64]) {
    const PIECE: u64 = 1_000_000_000_000_000_000;
    sum.resize(other.len(), 0);
    let mut carry = 0;
    for (digits, more) in sum.iter_mut().zip(other) {
        // Below 2 * 10^18, which a word holds.
        *digits += more + carry;
        carry = u64::from(*digits >= PIECE);
        *digits -= carry * PIECE;
    }
    if carry > 0 {
        sum.push(carry);
    }
}

/// Uses so many milliseconds of CPU time, which may have a fraction. They take longer while others
/// have the CPU too.
fn burn(request: &Request) -> Result<String, Error> {
    let ms: f64 = request.param_as("ms")?;
    if !(0.0..=BURN_MS_MAX).contains(&ms) {
        return Err(Error::ParameterInvalid);
    }
    let end = thread_cpu_time() + Duration::from_secs_f64(ms / 1e3);
    while thread_cpu_time() < end {
        // About a microsecond, so that the question for the time is not most of it.
        (0..1_000_u32).for_each(|step| _ = black_box(step));
    }
    Ok(format!("burned {ms} ms"))
}

const BURN_MS_MAX: f64 = 30_000.0;

async fn sleep(request: Request) -> Result<String, Error> {
    let ms = within(request.param_as("ms")?, WAIT_MS)?;
    executor::sleep(millis(ms)).await;
    Ok(format!("slept {ms} ms on a timer of the worker's executor\n"))
}

/// Every byte comes back, plus one, while the body arrives.
async fn echo(mut request: Request) -> Result<Response, Error> {
    let mut body = request.take_body().gather(ECHO_WHOLE_BYTES).await?;
    if body.length().is_some_and(|length| length <= ECHO_WHOLE_BYTES as u64) {
        return Ok(Response::bytes(plus_one(&body.collect(ECHO_WHOLE_BYTES).await?)));
    }
    Ok(Response::stream("application/octet-stream", async move |sender| {
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => sender.send(plus_one(&chunk)).await?,
                Err(error) => {
                    sender.fail(error);
                    return Ok(());
                }
            }
        }
        Ok(())
    }))
}

/// The same of a body that is complete before the work begins.
fn echo_whole(request: &Request) -> Vec<u8> {
    plus_one(request.body())
}

fn plus_one(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.wrapping_add(1)).collect()
}

/// Under its own name in the stack that its worker leaves.
#[inline(never)]
fn hang(_: &Request) -> Response {
    loop {
        spin_loop();
    }
}

/// In the middle of a request, and as if all were well.
fn exit(_: &Request) -> Response {
    process::exit(0)
}

/// Most ways in which code can fail its process.
fn crash(request: &Request) -> Result<String, Error> {
    match request.param("how") {
        "abort" => process::abort(),
        "descriptors" => Ok(match close_under_everybody() {
            Ok(()) => "every descriptor of this worker is closed\n".to_owned(),
            Err(error) => format!("the descriptors are still open: {error}\n"),
        }),
        "memory" => Ok(format!("{} bytes were there\n", all_memory().capacity())),
        "panic" => panic!("this is what /crash/panic is for"),
        "segv" => end_by_segv(),
        "stack" => Ok(format!("{} bytes of stack were there\n", use_stack(STACK_BYTES_MAX))),
        _ => Err(Error::NotFound),
    }
}

/// More than any address space holds, so that nothing else on the machine has to make room.
fn all_memory() -> Vec<u8> {
    black_box(Vec::with_capacity(isize::MAX.unsigned_abs()))
}

/// Calls itself until so many bytes of the stack are used.
#[inline(never)]
fn use_stack(bytes: usize) -> usize {
    let frame = black_box([0_u8; FRAME_BYTES]);
    match bytes.checked_sub(FRAME_BYTES) {
        Some(rest) => use_stack(rest) + black_box(&frame).len(),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What a handler says to one parameter of its path.
    fn ask<T>(handler: impl Fn(&Request) -> T, name: &str, value: &str) -> T {
        handler(&Request::of("/", Some((name, value)), ""))
    }

    #[track_caller]
    fn check_fib(index: &str, expected: Result<&str, Error>) {
        let answer = ask(fib, "n", index);
        assert_eq!(answer.as_deref().map(str::trim_end).map_err(|error| *error), expected);
    }

    #[test]
    fn fibonacci_numbers_are_exact() {
        check_fib("0", Ok("0"));
        check_fib("1", Ok("1"));
        check_fib("2", Ok("1"));
        check_fib("90", Ok("2880067194370816120"));
        // Just above and far above what a word holds; zeros inside stay.
        check_fib("94", Ok("19740274219868223167"));
        check_fib("100", Ok("354224848179261915075"));
        check_fib("300", Ok("222232244629420445529739893461909967206666939096499764990979600"));
        check_fib("100001", Err(Error::ParameterInvalid));
        check_fib("-1", Err(Error::ParameterInvalid));
        check_fib("1.5", Err(Error::ParameterInvalid));
    }

    #[test]
    fn a_large_fibonacci_number_fits_its_neighbours() {
        let digits = |index| fibonacci(index).trim_end().to_owned();
        assert_eq!(digits(10_000).len(), 2_090);
        assert_eq!(&digits(10_000)[..10], "3364476487");
        // The last digits repeat every 1,500 numbers.
        assert_eq!(&digits(11_500)[2_401..], &digits(10_000)[2_087..]);
    }

    #[test]
    fn burning_uses_the_time_of_the_thread() {
        let begin = thread_cpu_time();
        assert_eq!(ask(burn, "ms", "5").as_deref(), Ok("burned 5 ms"));
        assert!(thread_cpu_time() - begin >= millis(5));
        assert_eq!(ask(burn, "ms", "0.2").as_deref(), Ok("burned 0.2 ms"));
        for wrong in ["30000.1", "-1", "NaN", "inf", "soon", ""] {
            assert_eq!(ask(burn, "ms", wrong), Err(Error::ParameterInvalid), "{wrong}");
        }
    }

    #[test]
    fn every_byte_comes_back_plus_one() {
        let bytes: Vec<u8> = (0..=255).collect();
        let answer = echo_whole(&Request::of("/", None, bytes.clone()));
        assert_eq!((answer[0], answer[254], answer[255]), (1, 255, 0));
        assert_eq!(echo_whole(&Request::of("/", None, "")), b"");
        for body in [vec![], bytes, vec![7; 1 << 20]] {
            let future = pin!(echo(Request::of("/", None, body)));
            match future.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => assert_eq!(answer.unwrap().status_code(), 200),
                Poll::Pending => panic!("all of the body is there"),
            }
        }
    }

    #[test]
    fn only_known_ways_to_crash_are_taken() {
        assert_eq!(ask(crash, "how", "softly"), Err(Error::NotFound));
    }

    #[test]
    fn a_stack_that_is_large_enough_is_left_again() {
        assert_eq!(use_stack(64 << 10), 64 << 10);
    }
}
