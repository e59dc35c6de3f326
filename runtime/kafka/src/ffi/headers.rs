//! Reads the headers of a received message. rdkafka's own reading panics at a name that is not
//! UTF-8, and any producer may send one: a record must not be able to end the host.
#![expect(unsafe_code, reason = "librdkafka's headers, read without trust in their names")]

use std::{
    ffi::{CStr, c_void},
    ptr, slice,
};

use bytes::Bytes;
use bytestring::ByteString;
use rdkafka::message::BorrowedMessage;
use rdkafka_sys::bindings as rd;

/// The headers of `message`, in order. A null value reads as empty; bytes of a name that are not
/// UTF-8 read as U+FFFD.
pub(crate) fn read(message: &BorrowedMessage<'_>) -> Vec<(ByteString, Bytes)> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive while it is borrowed, and so is what it fills in.
    let code = unsafe { rd::rd_kafka_message_headers(message.ptr(), &raw mut headers) };
    // A message without headers answers with a code too.
    if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
        return Vec::new();
    }
    // SAFETY: the headers belong to the message.
    let count = unsafe { rd::rd_kafka_header_cnt(headers) };
    // SAFETY: as above, and the number is below their count.
    (0..count).filter_map(|number| unsafe { header(headers, number) }).collect()
}

/// One header.
///
/// # Safety
///
/// `headers` belong to a message that is alive.
unsafe fn header(
    headers: *const rd::rd_kafka_headers_t,
    number: usize,
) -> Option<(ByteString, Bytes)> {
    let mut name = ptr::null();
    let mut value: *const c_void = ptr::null();
    let mut size = 0;
    // SAFETY: the caller's promise; the three are filled in.
    let code = unsafe {
        rd::rd_kafka_header_get_all(headers, number, &raw mut name, &raw mut value, &raw mut size)
    };
    if code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
        return None;
    }
    // SAFETY: the library ends names in zero; it belongs to the message.
    let name = unsafe { CStr::from_ptr(name) };
    let value = if value.is_null() || size == 0 {
        Bytes::new()
    } else {
        // SAFETY: `size` bytes of the message.
        Bytes::copy_from_slice(unsafe { slice::from_raw_parts(value.cast::<u8>(), size) })
    };
    Some((ByteString::from(name.to_string_lossy().as_ref()), value))
}
