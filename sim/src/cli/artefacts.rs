//! The folder in which a command leaves its files, named at its end.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::report;
use crate::world::{FaultPlan, Report};

/// A folder for files.
#[derive(Debug)]
pub(super) struct Artefacts(PathBuf);

impl Artefacts {
    /// The folder given, or one under `sim-artefacts/`.
    pub(super) fn new(given: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        let folder = given.map_or_else(|| Path::new("sim-artefacts").join(name), Path::to_path_buf);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("the folder {} can't be made; name another with --out", folder.display()))?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file; whoever reads it meanwhile sees the old one or the new one.
    pub(super) fn write(&self, name: &str, contents: &str) -> anyhow::Result<PathBuf> {
        let file = self.0.join(name);
        write(&file, contents)?;
        Ok(file)
    }

    /// Plan, story and picture of a run, in a folder of their own.
    pub(super) fn keep_run(&self, name: &str, plan: &FaultPlan, report: &Report) -> anyhow::Result<PathBuf> {
        let folder = Self::new(Some(&self.0.join(name)), name)?;
        let plan_file = folder.write("plan.json", &plan.to_json()?)?;
        let mut story = report.trace().join("\n");
        story.push('\n');
        folder.write("story.txt", &story)?;
        folder.write("report.html", &report::html(plan, report, &again(&plan_file))?)?;
        Ok(plan_file)
    }

    /// The last line of a command.
    pub(super) fn announce(&self) {
        println!("artefacts: {}", self.0.display());
    }
}

/// The line that repeats a saved run.
pub(super) fn again(plan_file: &Path) -> String {
    format!("quorate-sim replay {}", plan_file.display())
}

/// Writes a file at once or not at all.
pub(super) fn write(file: &Path, contents: &str) -> anyhow::Result<()> {
    let mut half = file.as_os_str().to_owned();
    half.push(".new");
    let half = PathBuf::from(half);
    std::fs::write(&half, contents)
        .and_then(|()| std::fs::rename(&half, file))
        .with_context(|| format!("writing {}", file.display()))
}
