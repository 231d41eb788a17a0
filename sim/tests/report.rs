//! The picture in a real browser: it loads without errors, draws, filters, zooms, jumps and explains
//! (simulation §3).
//!
//! The page tests itself when it is opened with `#selftest` and writes what it found into its document, which
//! headless chromium prints.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_sim::report;
use quorate_sim::world::{FaultPlan, Verdict, plan_of, run};
use serde_json::Value;

/// The browser; its absence is a failure, never a reason to pass.
fn browser() -> &'static str {
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works).expect(
        "chromium is needed to test the report; to install it: apt-get install -y --no-install-recommends chromium",
    )
}

fn page(name: &str, plan: &FaultPlan) -> (PathBuf, Verdict) {
    let outcome = run(plan, true);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(name);
    std::fs::write(&file, report::html(plan, &outcome, "quorate-sim replay plan.json").unwrap()).unwrap();
    (file, outcome.verdict)
}

/// What the page says of itself, and its whole document.
fn open(file: &Path) -> (Value, String) {
    let profile = file.with_extension("profile");
    let out = Command::new(browser())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"])
        .arg("--virtual-time-budget=20000")
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("--dump-dom")
        .arg(format!("file://{}#selftest", file.display()))
        .output()
        .unwrap();
    let document = String::from_utf8_lossy(&out.stdout).into_owned();
    let console = String::from_utf8_lossy(&out.stderr).into_owned();
    let complaints: Vec<&str> = console.lines().filter(|line| line.contains(":CONSOLE")).collect();
    assert!(complaints.is_empty(), "the page's console: {complaints:?}");
    let said = document.split("<pre id=\"selftest\" hidden=\"\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let said = said.unwrap_or_else(|| panic!("no self-test in the document; the browser said: {console}"));
    let said = said.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    (serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: '{said}'")), document)
}

fn works(said: &Value) {
    assert_eq!(said["errors"], "", "{said}");
    for what in ["painted", "filter", "zoom", "jump", "hover", "message"] {
        assert_eq!(said[what], true, "{what}: {said}");
    }
    for what in ["marks", "flights", "rows"] {
        assert!(said[what].as_u64().unwrap() > 10, "{what}: {said}");
    }
}

#[test]
fn the_picture_of_a_run_that_passed_works_in_a_browser() {
    let (file, verdict) = page("passed.html", &plan_of(40));
    assert!(verdict.is_passed(), "{verdict}");
    let (said, document) = open(&file);
    works(&said);
    assert!(document.contains("PASSED"));
}

#[test]
fn the_picture_of_what_was_found_jumps_to_it() {
    // Clients sign until the end, and nobody gets the time to answer them all.
    let mut plan = plan_of(40);
    plan.settings.workload.operations = 10_000;
    plan.settings.workload.interval_us = 2_000;
    plan.settings.liveness_ms = 1;
    let (file, verdict) = page("stuck.html", &plan);
    assert!(matches!(verdict, Verdict::Stuck { .. }), "{verdict}");
    let (said, document) = open(&file);
    works(&said);
    assert!(document.contains("STUCK") && document.contains("has no receipt"));
}
