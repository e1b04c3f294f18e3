//! Asking for memory ahead of its use, where the processor has an instruction for it.

/// Asks for the cache line of a value to be brought into the second cache; changes nothing else.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t1(value);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
