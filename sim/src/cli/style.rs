//! Colours, where the output is a terminal and `NO_COLOR` isn't set.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

fn is_coloured() -> bool {
    static COLOURED: OnceLock<bool> = OnceLock::new();
    *COLOURED.get_or_init(|| std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
}

fn paint(code: &str, text: &str) -> String {
    if is_coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub(super) fn red(text: &str) -> String {
    paint("1;31", text)
}

pub(super) fn green(text: &str) -> String {
    paint("1;32", text)
}

pub(super) fn dim(text: &str) -> String {
    paint("2", text)
}

pub(super) fn bold(text: &str) -> String {
    paint("1", text)
}

/// 1234567 as 1,234,567.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A time in the unit that suits it.
pub(super) fn time(ms: u64) -> String {
    let seconds = ms as f64 / 1_000.0;
    match seconds {
        s if s < 1.0 => format!("{ms} ms"),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(
            (thousands(7), thousands(1_234), thousands(100_000)),
            ("7".into(), "1,234".into(), "100,000".into())
        );
    }
}
