//! Owns where the memory of a component comes from: a region it is instantiated with, then the
//! host. It is no part of the API; feature `allocator` (on by default) takes it in.

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;
use core::mem::MaybeUninit;

use talc::{
    base::Talc, base::binning::Binning, cell::TalcSyncCell, source::Source, wasm::WasmBinning,
};

/// Bytes of the region, which lies in the initial memory and costs nothing before it is touched.
///
/// A handler that gets along with it never grows its memory. Growing a fresh instance's memory
/// makes the host change page protections twice, which interrupts its other processors: 15 to
/// 30 µs per event on two busy cores (source: ADR 2026-11-28, where a host spends its time).
const REGION_BYTES: usize = 512 << 10;
/// Bytes of a page (source: WebAssembly core specification, "memory instances").
const PAGE_BYTES: usize = 64 << 10;
/// Room for the allocator's own notes on memory it is given, beyond what was asked for.
const NOTES_BYTES: usize = 4 << 10;

static mut REGION: [MaybeUninit<u8>; REGION_BYTES] = [MaybeUninit::uninit(); REGION_BYTES];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<RegionThenGrow, WasmBinning> =
    TalcSyncCell::new_wasm(RegionThenGrow { is_region_used: false });

/// Gives the region first, whatever is asked for; the allocator asks again where it is too small.
#[derive(Debug)]
struct RegionThenGrow {
    is_region_used: bool,
}

#[expect(unsafe_code, reason = "an allocator hands out raw memory")]
// SAFETY: it allocates nothing by itself, and gives each byte away once.
unsafe impl Source for RegionThenGrow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.is_region_used {
            talc.source.is_region_used = true;
            let region = &raw mut REGION;
            // SAFETY: nothing else names the region, and it is claimed once.
            return unsafe { talc.claim(region.cast(), REGION_BYTES) }.map(drop).ok_or(());
        }
        let wanted = layout.size().saturating_add(layout.align()).saturating_add(NOTES_BYTES);
        let pages = wanted.div_ceil(PAGE_BYTES);
        let end = memory_grow::<0>(pages);
        if end == usize::MAX {
            return Err(());
        }
        let base = (end * PAGE_BYTES) as *mut u8;
        // SAFETY: these pages are new, so nothing else uses them.
        unsafe { talc.claim(base, pages * PAGE_BYTES) }.map(drop).ok_or(())
    }
}
