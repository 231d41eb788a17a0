//! Compiles `proto/` into messages, clients and servers, and keeps the descriptors for reflection. It
//! uses protox, so no `protoc` needs to be installed.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

const FILES: [&str; 5] = [
    "quorate/admin/v1/admin.proto",
    "quorate/cluster/v1/cluster.proto",
    "quorate/entities/v1/entities.proto",
    "quorate/operations/v1/operations.proto",
    "quorate/peer/v1/peer.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.join("quorate").display());
    let descriptors = protox::compile(FILES.map(|file| root.join(file)), [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("quorate.binpb"), descriptors.encode_to_vec())?;
    // Ordered maps: the same answer has the same bytes.
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
