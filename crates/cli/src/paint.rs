//! Colours on a terminal, and none anywhere else.

use std::io::IsTerminal;

/// Whether colours are wanted: standard output is a terminal and `NO_COLOR` isn't set.
fn is_wanted() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint(code: &str, text: &str) -> String {
    if is_wanted() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What is as it should be.
#[must_use]
pub fn good(text: &str) -> String {
    paint("32", text)
}

/// What needs attention.
#[must_use]
pub fn warning(text: &str) -> String {
    paint("33", text)
}

/// What went wrong.
#[must_use]
pub fn bad(text: &str) -> String {
    paint("1;31", text)
}

/// A title.
#[must_use]
pub fn title(text: &str) -> String {
    paint("1", text)
}

/// What matters less.
#[must_use]
pub fn faint(text: &str) -> String {
    paint("2", text)
}

/// A number with a comma between thousands.
#[must_use]
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<String> = groups.map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

/// A duration in the unit that people would choose.
#[must_use]
pub fn duration_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..100_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        100_000..10_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        for (us, shown) in [(7, "7 µs"), (1_250, "1.2 ms"), (250_000, "250 ms"), (61_500_000, "61.5 s")] {
            assert_eq!(duration_us(us), shown);
        }
    }
}
