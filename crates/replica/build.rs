//! Switches a planted bug: `QUORATE_MUTANT=name` sets `cfg(mutant = "name")` in this crate alone, so that
//! trying one costs seconds. Never set in a build that anyone runs.

#[expect(clippy::disallowed_methods, reason = "a build script reads its switch")]
fn main() {
    println!("cargo:rerun-if-env-changed=QUORATE_MUTANT");
    if let Ok(mutant) = std::env::var("QUORATE_MUTANT") {
        println!("cargo:rustc-cfg=mutant=\"{mutant}\"");
    }
}
