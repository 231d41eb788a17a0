//! Files that are shipped for others and made from what the program has.

use std::path::Path;

use quorate_client::pb::FILE_DESCRIPTOR_SET;

/// `proto/quorate.binpb` lets programs in other languages build messages without a compiler for `.proto` files.
#[test]
fn the_shipped_descriptor_set_is_that_of_the_proto_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/quorate.binpb");
    let shipped = std::fs::read(&path).unwrap();
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quorate.binpb");
    std::fs::write(&made, FILE_DESCRIPTOR_SET).unwrap();
    assert!(shipped == FILE_DESCRIPTOR_SET, "the .proto files were changed: cp {} {}", made.display(), path.display());
}
