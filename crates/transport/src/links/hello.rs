//! The first frame in each direction of a stream.

use bytes::Bytes;

use super::{LinkConfig, LinkFault};
use crate::pb::peer::v1::frame::Content;
use crate::pb::peer::v1::{Frame, Hello};

/// The version of the peer protocol. Raised when frames or message layouts change.
const VERSION: u32 = 1;

/// This validator's hello.
pub(super) fn make(config: &LinkConfig) -> Frame {
    let hello = Hello {
        version: VERSION,
        cluster: Bytes::copy_from_slice(config.cluster.0.as_bytes()),
        validator: u32::from(config.me.0),
        incarnation: Bytes::copy_from_slice(&config.incarnation),
    };
    Frame { content: Some(Content::Hello(hello)) }
}

/// Checks that `frame` is the hello of a validator of this cluster, whose key the connection has proven.
pub(super) fn admit(frame: Option<Frame>, config: &LinkConfig) -> Result<(), LinkFault> {
    let Some(frame) = frame else {
        return Err(LinkFault::Closed);
    };
    let Some(Content::Hello(hello)) = frame.content else {
        return Err(LinkFault::Unexpected);
    };
    if hello.version != VERSION {
        return Err(LinkFault::OtherVersion { found: hello.version, known: VERSION });
    }
    if hello.cluster.as_ref() != config.cluster.0.as_bytes() {
        // Shortened: the length is the peer's choice and this goes into the log.
        let found = hello.cluster.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
        return Err(LinkFault::OtherCluster { found, expected: config.cluster });
    }
    // Its key says who it is. Its own index may be that of another epoch (protocol §8.4).
    Ok(())
}
