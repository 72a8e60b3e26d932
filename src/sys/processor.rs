//! What the processor does beside the kernel: a counter of its own, and hints about memory.

/// The processor's own counter, which is read in a fraction of the time that the clock takes. It
/// goes on at a rate that nobody promises, so it tells that little time has passed and no more.
/// `None` where there is none that is worth it.
#[inline]
#[must_use]
pub fn ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the instruction exists on every processor of this architecture, and no kernel
        // forbids it to a process that has not asked for that.
        Some(unsafe { core::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The line at this address is needed soon: fetched while other things are done. Only a hint, for
/// which no address is wrong.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch neither faults nor changes anything that a program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_counter_goes_on() {
        let first = ticks().unwrap();
        while ticks().unwrap() == first {}
    }

    #[test]
    fn no_address_is_wrong() {
        prefetch(std::ptr::null());
        prefetch(&raw const *"here".as_bytes().as_ptr());
    }
}
