//! Frames of the peer streams and the messages in them.

use bytes::Bytes;
use quorate_types::codec::{Canonical, DecodeError};
use quorate_types::message::Message;

/// The bytes of a frame, made once however many peers it goes to.
#[must_use]
pub fn encode_frame(message: &Message) -> Bytes {
    Bytes::from(message.to_bytes())
}

/// The message in a frame, read strictly; no rule or signature is checked.
///
/// # Errors
/// If the bytes aren't the canonical form of a message.
pub fn decode_frame(frame: &[u8]) -> Result<Message, DecodeError> {
    Message::from_bytes(frame)
}
