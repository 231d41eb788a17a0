//! What the released program must not contain (architecture §3).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Marks of the package that makes simulated runs repeatable and unlocks stand-in signatures.
const MARK: &str = "quorate_determinism";

/// The directory of a profile, where programs are built.
fn built(profile: &str, program: &str) -> anyhow::Result<Option<PathBuf>> {
    // The program under test lies in target/<profile>.
    let target = Path::new(crate::PROGRAM).ancestors().nth(2).context("where is the target directory?")?;
    Ok(Some(target.join(profile).join(program)).filter(|path| path.exists()))
}

/// Whether a program has an override of the system's randomness, or anything else of that package.
fn has_override(program: &Path) -> anyhow::Result<bool> {
    let listed = Command::new("nm").arg(program).output().context("this needs nm, which every C++ compiler brings")?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let symbols = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(symbols.lines().count() > 1_000, "{} has no symbols to look at", program.display());
    let defines = |line: &str| line.contains(MARK) || line.ends_with(" T getrandom");
    Ok(symbols.lines().any(defines))
}

#[test]
fn the_program_does_not_contain_the_override_of_randomness() -> anyhow::Result<()> {
    ensure!(!has_override(Path::new(crate::PROGRAM))?, "the program under test has it");
    match built("release", "quorate")? {
        Some(program) => ensure!(!has_override(&program)?, "{} has it", program.display()),
        None => println!("NOT TESTED: target/release/quorate, which isn't built"),
    }
    // That the look finds it where it is.
    for profile in ["release", "debug"] {
        if let Some(simulator) = built(profile, "quorate-sim")? {
            ensure!(has_override(&simulator)?, "{} should have it", simulator.display());
        }
    }
    Ok(())
}
