//! The picture of a run: one HTML file that opens from the disk, without a network (simulation §3).
//!
//! The page is a template with the run's data as JSON in it; the drawing is done by the script beside it. Of a
//! long run the last messages and the state changes that matter most are kept, so that a file stays below a few
//! megabytes; the page says how much was left out.

use serde_json::{Value, json};

use crate::world::{FaultPlan, Mark, Recording, Report, State, Verdict};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Messages in a page at most.
const MOST_FLIGHTS: usize = 16_000;
/// State changes in a page at most.
const MOST_MARKS: usize = 16_000;

/// The page of a run; `again` is the line that repeats it.
///
/// # Errors
/// If the data is no JSON, which it always is.
pub fn html(plan: &FaultPlan, report: &Report, again: &str) -> Result<String, serde_json::Error> {
    let data = serde_json::to_string(&data(plan, report, again))?;
    // Nothing in the data may end the script that holds it.
    let data = data.replace("</", "<\\/").replace("<!--", "<\\!--");
    Ok(PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT).replace("/*DATA*/null", &data))
}

fn data(plan: &FaultPlan, report: &Report, again: &str) -> Value {
    let empty = Recording::default();
    let recording = report.recording.as_ref().unwrap_or(&empty);
    let machines = plan.settings.validators + u16::try_from(plan.settings.twins.len()).unwrap_or(0);
    let names: Vec<String> = (0..machines).map(|machine| name(plan, machine)).collect();
    let events: Vec<Value> =
        plan.events.iter().map(|timed| json!([timed.at_ms, timed.fault.about()])).take(2_000).collect();
    let byzantine: Vec<Value> = plan
        .settings
        .byzantine
        .iter()
        .map(|(who, conducts)| {
            let does: Vec<String> = conducts.iter().map(|c| format!("{}: {}", c.name(), c.about())).collect();
            json!({ "who": who, "does": does })
        })
        .collect();
    json!({
        "verdict": report.verdict.name(),
        "headline": headline(report),
        "facts": facts(report),
        "expected": plan.expect.to_string(),
        "is_expected": plan.expect.is_met(&report.verdict),
        "seed": plan.seed,
        "again": again,
        "machines": names,
        "byzantine": byzantine,
        "twins": plan.settings.twins,
        "blamed": report.blamed,
        "virtual_ms": report.virtual_ms,
        "safety_ms": plan.settings.safety_ms,
        "healed_in_ms": report.healed_in_ms,
        "deliveries": report.deliveries,
        "hash": report.hash.to_string(),
        "events": events,
        "kinds": kinds(recording),
        "flights": flights(recording),
        "marks": marks(recording),
        "left_out": {
            "flights": recording.dropped_flights + recording.flights.len().saturating_sub(MOST_FLIGHTS) as u64,
            "marks": recording.dropped_marks + recording.marks.len().saturating_sub(MOST_MARKS) as u64,
        },
        "settings": plan.settings,
    })
}

fn name(plan: &FaultPlan, machine: u16) -> String {
    let twins = &plan.settings.twins;
    match machine.checked_sub(plan.settings.validators).and_then(|twin| twins.get(usize::from(twin))) {
        Some(twin) => format!("{twin} (second machine)"),
        None => machine.to_string(),
    }
}

fn headline(report: &Report) -> String {
    report.verdict.to_string().lines().next().unwrap_or_default().to_owned()
}

fn facts(report: &Report) -> Vec<String> {
    match &report.verdict {
        Verdict::Passed => Vec::new(),
        Verdict::Unsafe(violation) => violation.facts.clone(),
        Verdict::Stuck { pending } => pending.clone(),
        Verdict::Harness(reason) => vec![reason.clone()],
    }
}

/// The kinds of messages, by name.
fn kinds(recording: &Recording) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = recording.flights.iter().map(|flight| flight.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Messages as rows: sent, arrives or null, from, to, kind, about.
fn flights(recording: &Recording) -> Vec<Value> {
    let kinds = kinds(recording);
    let skipped = recording.flights.len().saturating_sub(MOST_FLIGHTS);
    let row = |flight: &crate::world::Flight| {
        let kind = kinds.iter().position(|kind| *kind == flight.kind).unwrap_or(0);
        json!([flight.sent_us, flight.arrives_us, flight.from, flight.to, kind, flight.about])
    };
    recording.flights.iter().skip(skipped).map(row).collect()
}

/// State changes as rows: at, state, who or null, view or null, text. If there are too many, deliveries and
/// executions go first.
fn marks(recording: &Recording) -> Vec<Value> {
    let mut kept: Vec<&Mark> = recording.marks.iter().collect();
    if kept.len() > MOST_MARKS {
        kept.retain(|mark| mark.state.is_main() || mark.state == State::Stable);
    }
    let skipped = kept.len().saturating_sub(MOST_MARKS);
    let row = |mark: &&Mark| {
        let text: String = mark.text.chars().take(300).collect();
        json!([mark.at_us, mark.state, mark.who, mark.view, text])
    };
    kept.iter().skip(skipped).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{plan_of, run};

    #[test]
    fn the_page_holds_its_data_and_needs_no_network() {
        let plan = plan_of(1);
        let page = html(&plan, &run(&plan, true), "again").unwrap();
        assert!(!page.contains("/*DATA*/") && !page.contains("/*SCRIPT*/") && !page.contains("/*STYLE*/"));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("</script>").count(), 2, "no data ends the script");
    }

    #[test]
    fn a_page_is_bounded() {
        let plan = plan_of(29);
        let page = html(&plan, &run(&plan, true), "again").unwrap();
        assert!(page.len() < 6_000_000, "{} bytes", page.len());
    }
}
