//! Gives back what librdkafka allocated, once, when nobody needs it any more.
#![expect(unsafe_code, reason = "frees what librdkafka allocated")]

use std::ptr::NonNull;

use rdkafka::error::RDKafkaErrorCode as Code;

/// Something that librdkafka allocated for us, with the function that frees it.
pub(super) struct Owned<T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes over `pointer`.
    ///
    /// # Safety
    ///
    /// `pointer` is null, or nobody else frees it and `free` is the function that must.
    ///
    /// # Errors
    ///
    /// When it is null: the library refuses to make what it was asked for.
    pub(super) unsafe fn new(
        pointer: *mut T,
        free: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, Code> {
        let pointer = NonNull::new(pointer).ok_or(Code::InvalidArgument)?;
        Ok(Self { pointer, free })
    }

    /// The pointer, valid while `self` lives.
    pub(super) fn pointer(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: whoever made this promised that the function fits and that nobody else frees it;
        // `drop` runs once.
        unsafe { (self.free)(self.pointer.as_ptr()) }
    }
}
