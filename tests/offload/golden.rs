//! The layout as a program in another language computes it.

use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;

use corewise::offload::death::Registry;
use corewise::offload::layout::Shape;
use corewise::offload::region::Region;

use crate::Extent;

/// Python computes the layout from its rules, compares the golden table, and reads the header of
/// a living pool.
pub(crate) fn python_reads_the_layout(_: Extent) {
    let shape = Shape {
        shards: 3,
        workers: 5,
        slots: 100,
        slot_bytes: 1000,
        request_blocks: 2,
        response_blocks: 1,
    };
    let region = Arc::new(Region::create(shape, shape.workers).unwrap());
    let _registry = Registry::of(&region);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/offload");
    let descriptor = region.descriptors()[0].as_raw_fd();
    let memory = format!("/proc/{}/fd/{descriptor}", std::process::id());
    let status = Command::new("python3")
        .args(["-B", &format!("{folder}/layout.py"), &format!("{folder}/layout.txt"), &memory])
        .status()
        .expect("python3 is installed by tools/setup");
    assert!(status.success());
}
