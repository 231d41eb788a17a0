//! quorate-transport
pub mod pb;
