//! Asking for bytes before they are needed.
//!
//! A member is inflated as a whole before it is decoded, so its bytes come from memory, and the processor's own reading ahead starts anew
//! with every page of 4 KiB. Keys are looked up in no order at all. The one unsafe call of keytrail is here: there is no safe way to give
//! this hint.

/// Asks for the bytes around a place of a window or a table, or behind its end. A hint: nothing is read, and nothing happens where there
/// is no such instruction.
#[inline(always)]
pub fn prefetch<T>(window: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place = window.as_ptr().wrapping_add(at).cast();
        // SAFETY: the instruction takes any address: it neither faults nor changes what a program sees, and the address is never
        // dereferenced. `wrapping_add` may leave the window, which is fine for an address that is not used otherwise. SSE, which
        // has the instruction, belongs to every x86-64 processor.
        #[allow(unsafe_code, reason = "a hint to the processor, sound for any address")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(place);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (window, at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_place_may_be_asked_for() {
        let window = [7_u8; 100];
        for at in [0, 99, 100, 101, 1 << 20, usize::MAX] {
            prefetch(&window, at);
            prefetch::<u8>(&[], at);
        }
        assert_eq!(window, [7; 100]);
    }
}
