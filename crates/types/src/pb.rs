//! The prost messages of an operation's body, generated from `proto/quorate/operations/v1/body.proto`.
//!
//! They are how bodies are read and written, never how the rest of Quorate speaks of operations: that
//! is [`crate::operation`], the only module that uses them.

#![expect(unreachable_pub, reason = "generated code makes everything public")]
#![expect(clippy::large_enum_variant, reason = "generated code; one of them lives at a time, while a body is read")]

include!(concat!(env!("OUT_DIR"), "/quorate.operations.v1.rs"));
