//! The generator: no stall is hidden, and every request has its end.

use crate::harness::{Load, Stub, load};

/// The reason why the generator exists. The same stall of the same server, at the same time: a
/// closed loop asks hardly anything while it lasts, and its percentiles know nothing of it.
#[test]
fn a_stall_that_a_closed_loop_hides_is_shown() {
    let stub = Stub::start("--stall-ms 200 --stall-every-ms 1000");
    let closed = "--heavy-path /plaintext --heavy 1";
    let outcome = load(&stub, &format!("--rate 500 --seconds 3 --connections 1 {closed}"));
    let open_us = outcome.percentile("light.latency", 99.0);
    assert!(open_us > 100_000.0, "the open loop shows {open_us} us");
    let closed_us = outcome.percentile("heavy.service", 99.0);
    assert!(closed_us * 4.0 < open_us, "the closed loop shows {closed_us} us");
    // It met the stall; it only did not ask enough to show it.
    let most_us = outcome.number("heavy.service.max_us");
    assert!(most_us > 150_000.0, "the closed loop saw {most_us} us once");
    // The same requests from the moment they were sent: that is how it is hidden.
    let service_us = outcome.percentile("light.service", 99.0);
    assert!(service_us * 4.0 < open_us, "from the sending on it is {service_us} us");
    assert!(outcome.count("light.waited") > 50);
    assert_eq!(outcome.fate("right"), 1_500);
}

#[test]
fn the_rate_is_kept_at_a_server_that_can() {
    let bare = Stub::start_as("bare", "");
    for spacing in ["", "--poisson --seed 3"] {
        let outcome = load(&bare, &format!("--rate 4000 --seconds 1 {spacing}"));
        assert_eq!(outcome.fate("right"), outcome.count("light.intended"));
        assert!((3_600..=4_400).contains(&outcome.ended()), "{}", outcome.ended());
        assert_eq!(outcome.count("light.latency.count"), outcome.ended());
        assert_eq!(outcome.count("light.connections_opened"), 32);
    }
}

#[test]
fn each_request_can_have_a_connection_of_its_own() {
    let stub = Stub::start("");
    let outcome = load(&stub, "--rate 300 --seconds 1 --new-connections");
    assert_eq!((outcome.fate("right"), outcome.count("light.connections_opened")), (300, 300));
}

#[test]
fn what_is_never_answered_times_out_and_counts_with_its_time() {
    let stub = Stub::start("--never-every 2");
    let outcome = load(&stub, "--rate 100 --seconds 1 --connections 100 --timeout 300");
    // The first request came before the load, so the even numbers are half of those in it.
    assert_eq!((outcome.fate("timed_out"), outcome.fate("right")), (50, 50));
    assert!(outcome.percentile("light.latency", 75.0) >= 299_000.0);
    assert_eq!(outcome.count("light.service.count"), 50);
}

#[test]
fn what_is_open_at_the_end_is_unanswered() {
    let stub = Stub::start("--never-every 2");
    // Two connections that are stuck soon; the others wait in the generator for ever.
    let outcome = load(&stub, "--rate 100 --seconds 1 --connections 2 --drain 50");
    assert_eq!((outcome.ended(), outcome.count("light.latency.count")), (100, 100));
    assert!(outcome.fate("unanswered") >= 90, "{}", outcome.fate("unanswered"));
}

#[test]
fn a_client_can_give_up() {
    let stub = Stub::start("--never-every 2");
    let outcome = load(&stub, "--rate 100 --seconds 1 --connections 100 --leave-after 50");
    assert_eq!((outcome.fate("left"), outcome.fate("right")), (50, 50));
}

#[test]
fn a_status_that_is_allowed_is_no_error() {
    let stub = Stub::start("--wrong-status-every 5");
    let outcome = load(&stub, "--rate 100 --seconds 1 --expect 200,500");
    assert_eq!((outcome.fate("allowed"), outcome.fate("right")), (20, 80));
    assert_eq!(outcome.count("light.statuses.500"), 20);
}

#[test]
fn heavy_requests_are_counted_apart() {
    let stub = Stub::start("");
    let heavy = "--heavy-path /burn/2 --heavy 2";
    let outcome = load(&stub, &format!("--rate 100 --seconds 1 {heavy}"));
    assert_eq!(outcome.fate("right"), 100);
    assert!(outcome.count("heavy.fates.right") > 2);
    assert!(outcome.number("heavy.right_per_second") > 1.0);
    assert!(outcome.number("heavy.service.max_us") >= 2_000.0);
    let paced = load(&stub, &format!("--rate 100 --seconds 1 {heavy} --heavy-rate 20"));
    assert_eq!((paced.fate("right"), paced.count("heavy.intended")), (100, 20));
}

#[test]
fn what_cannot_be_done_is_said() {
    let stub = Stub::start("");
    let wrong = Load::start(stub.address, "--rate 5 --path /nothing").fail();
    assert!(wrong.contains("GET /nothing answers 404, not 200"), "{wrong}");
    let unknown = Load::start(stub.address, "--rate 5 --no-such-option").fail();
    assert!(unknown.contains("unknown argument \"--no-such-option\""), "{unknown}");
    let address = stub.address;
    drop(stub);
    let nobody = Load::start(address, "--rate 5").fail();
    assert!(nobody.contains("GET /plaintext: Connection refused"), "{nobody}");
}
