//! Bounds of the layouts themselves, above any epoch parameter: what a reader of bytes enforces before
//! it knows the epoch.

/// The most validators that a set may have. Bounds certificates, payloads and bitmaps.
pub const MAX_VALIDATORS: usize = 256;

/// The most learners that an epoch may have beside its validators; both together have indices below
/// [`MAX_VALIDATORS`].
pub const MAX_LEARNERS: usize = 32;

/// Bytes of a validator's address at most.
pub const MAX_ADDRESS_BYTES: usize = 300;

/// The most operations in one bundle.
pub const MAX_BUNDLE_OPERATIONS: usize = 4_096;

/// The largest operation body in bytes (the epoch's own limit is at most this).
pub const MAX_OPERATION_BYTES: usize = 1 << 20;

/// The most proposals in one catch-up segment.
pub const MAX_SEGMENT_PROPOSALS: usize = 256;

/// The most slots that one `Status` describes.
pub const MAX_STATUS_SLOTS: usize = 1_024;

/// The most bundles asked for, or answered, at once.
pub const MAX_BUNDLES_PER_ANSWER: usize = 64;

/// The largest message between validators in bytes: one bundle at its limits, with room for headers
/// (a test in `message` holds it).
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Bytes of entries in one chunk of a snapshot, unless a single entry is larger (protocol §8.7).
pub const CHUNK_BYTES: usize = 512 << 10;
