//! The gRPC messages, clients and servers, generated from `proto/`, and their descriptors.
//!
//! Generated types stay in this crate and in the services' and the SDK's edges: everything behind them
//! speaks in the words of `quorate-types`.

#![expect(clippy::allow_attributes, clippy::too_many_lines, reason = "generated code")]

/// `quorate.admin`: control of one validator's process.
pub mod admin {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("quorate.admin.v1");
    }
}

/// `quorate.cluster`: status, health, validators.
pub mod cluster {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("quorate.cluster.v1");
    }
}

/// `quorate.entities`: reads.
pub mod entities {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("quorate.entities.v1");
    }
}

/// `quorate.operations`: submission, receipts, watching.
pub mod operations {
    /// Version 1.
    #[expect(clippy::large_enum_variant, reason = "generated code; one of them lives at a time, while a body is read")]
    pub mod v1 {
        tonic::include_proto!("quorate.operations.v1");
    }
}

/// `quorate.peer`: the links between validators.
pub mod peer {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("quorate.peer.v1");
    }
}

/// The descriptors of all services and messages, serialised: for reflection, and for clients in other
/// languages that build their messages at run time.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quorate.binpb"));
