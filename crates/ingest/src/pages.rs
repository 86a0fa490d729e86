//! Memory straight from the system.
//!
//! Nothing of it is touched before it is filled, and in huge pages, where there are any, the first filling costs less than in others.

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

/// So many bytes; `None` where there is no memory.
pub(crate) fn fresh(bytes: usize) -> Option<MmapMut> {
    let memory = MmapMut::map_anon(bytes).ok()?;
    // Wished for only: it is the same memory without.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(Advice::HugePage);
    Some(memory)
}
