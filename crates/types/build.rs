//! Compiles the body of an operation (`proto/quorate/operations/v1/body.proto`) into prost messages, with
//! protox, so that no `protoc` needs to be installed. And switches a planted bug: `QUORATE_MUTANT=name`
//! sets `cfg(mutant = "name")` in this crate alone. Never set in a build that anyone runs.

use std::error::Error;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "a build script reads its switch")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=QUORATE_MUTANT");
    if let Ok(mutant) = std::env::var("QUORATE_MUTANT") {
        println!("cargo::rustc-cfg=mutant=\"{mutant}\"");
    }
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let file = root.join("quorate/operations/v1/body.proto");
    println!("cargo::rerun-if-changed={}", file.display());
    let descriptors = protox::compile([&file], [&root])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
