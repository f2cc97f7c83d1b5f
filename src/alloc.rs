//! The memory that job allocates.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_char;

use tikv_jemallocator::Jemalloc;

/// For gRPC's C++ too, whose calls allocate most: the crate puts it in malloc's place.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// jemalloc, but for memory that has to be zero. jemalloc has the system take large pieces away and give new pages, each
/// with a fault when it is written; the kafka crate asks for such a piece with each fetch, and fills it.
struct Allocator;

// SAFETY: jemalloc does it. What stands in the trait for `alloc_zeroed` writes the zeros.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { Jemalloc.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { Jemalloc.realloc(memory, layout, size) }
    }
}

/// jemalloc's settings, for those that the environment's MALLOC_CONF doesn't name. What one thread allocates another
/// frees, all the time: with one arena and larger caches for each thread it comes back, instead of gathering where
/// nobody fills it again. Free pages go back to the system within two seconds.
// SAFETY: it is `const char *malloc_conf` in C, and points to a string.
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: Option<&c_char> = unsafe {
    c"narenas:1,lg_tcache_nslots_mul:2,dirty_decay_ms:2000,muzzy_decay_ms:0"
        .as_ptr()
        .as_ref()
};
