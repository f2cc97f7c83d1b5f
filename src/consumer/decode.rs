//! A record's bytes to a `PushMsg`, or the reason why not.

use bytes::Bytes;
use protobuf::{CodedInputStream, Message};

use crate::message::proto::push::PushMsg;

/// Decodes a record's value. The body of the result shares the value's memory.
///
/// # Errors
/// The value is missing, empty or no `PushMsg`. The text goes into the log and the dead letter.
pub fn decode(value: Option<&Bytes>) -> Result<PushMsg, String> {
    let value = value.ok_or("the record has no value (null)")?;
    // An empty value would parse, as a message with default fields.
    if value.is_empty() {
        return Err("the record's value is empty".into());
    }
    let mut input = CodedInputStream::from_tokio_bytes(value);
    let mut push = PushMsg::new();
    push.merge_from(&mut input)
        .map_err(|error| format!("{} bytes, {error}", value.len()))?;
    Ok(push)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_shared_with_the_record() {
        let push = PushMsg {
            room: "r1".into(),
            msg: Bytes::from_static(b"\xff\x00body"),
            ..Default::default()
        };
        let value = Bytes::from(push.write_to_bytes().unwrap());
        let decoded = decode(Some(&value)).unwrap();
        assert_eq!(decoded.msg, push.msg);
        assert!(value.as_ptr_range().contains(&decoded.msg.as_ptr()));
    }

    #[test]
    fn what_is_no_push_msg_is_an_error_that_says_why() {
        assert!(decode(None).unwrap_err().contains("null"));
        assert!(decode(Some(&Bytes::new())).unwrap_err().contains("empty"));
        let cut = Bytes::from_static(&[0x2a, 0x10, b'r']);
        assert!(decode(Some(&cut)).unwrap_err().contains("3 bytes"));
        let latin1_room = Bytes::from_static(&[0x2a, 0x01, 0xe9]);
        assert!(decode(Some(&latin1_room)).is_err());
    }
}
