//! The space-time picture in the terminal: time goes down, a column per machine.

use std::fmt::Write as _;

use crate::world::{FaultPlan, Mark, Recording, State};

/// Rows of the picture.
const ROWS: u64 = 32;

/// What is drawn for a state change; the first letter wins a cell.
const fn sign(state: State) -> Option<(u8, char)> {
    Some(match state {
        State::Alarm => (0, '!'),
        State::Crash => (1, 'x'),
        State::Start => (2, '^'),
        State::Contradiction => (3, '#'),
        State::Enters => (4, 'V'),
        State::Leaves => (5, 'v'),
        State::Complains => (6, 'c'),
        State::Stable => (7, 'S'),
        State::Delivers => (8, '.'),
        _ => return None,
    })
}

/// The picture of a run; of a long one the end in more detail.
pub(super) fn picture(plan: &FaultPlan, recording: &Recording) -> String {
    let machines = usize::from(plan.settings.validators) + plan.settings.twins.len();
    let end_us = recording.marks.back().map_or(1, |mark| mark.at_us.max(1));
    let safety_us = plan.settings.safety_ms * 1_000;
    // The faults and what they did; a long wait afterwards says nothing more.
    let end_us = if end_us > 3 * safety_us { 2 * safety_us } else { end_us };
    let row_us = (end_us / ROWS).max(1);
    let mut picture = String::from("      time ");
    for machine in 0..machines {
        let _ = write!(picture, "{machine:>9}");
    }
    picture.push('\n');
    for row in 0..ROWS {
        let (from_us, to_us) = (row * row_us, (row + 1) * row_us);
        let in_row: Vec<&Mark> = recording.marks.iter().filter(|mark| (from_us..to_us).contains(&mark.at_us)).collect();
        let _ = write!(picture, "{:>8.3} s ", from_us as f64 / 1_000_000.0);
        for machine in (0u16..).take(machines) {
            picture.push_str(&cell(&in_row, machine));
        }
        let faults: Vec<&str> = in_row.iter().filter(|mark| mark.state == State::Fault).map(|m| &m.text[..]).collect();
        if let Some(first) = faults.first() {
            let more = if faults.len() > 1 { format!(" (+{})", faults.len() - 1) } else { String::new() };
            let _ = write!(picture, "   {}{more}", first.chars().take(70).collect::<String>());
        }
        picture.push('\n');
    }
    picture.push_str(
        "V enters a view, v leaves it, c complains, . delivers, S checkpoint, x dies, ^ starts, # blames, ! alarm\n",
    );
    picture
}

fn cell(in_row: &[&Mark], machine: u16) -> String {
    let own = in_row.iter().filter(|mark| mark.who == Some(machine));
    let view = own.clone().filter_map(|mark| mark.view).next_back();
    let best = own.filter_map(|mark| sign(mark.state)).min();
    let view = view.map_or(String::new(), |view| format!("{view}"));
    format!("{view:>7}{} ", best.map_or('|', |(_, sign)| sign))
}
