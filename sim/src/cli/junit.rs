//! Results as JUnit XML, which CI systems show.

use std::fmt::Write as _;

/// One test case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) seconds: f64,
    /// What was found, with its first line as the message.
    pub(super) failure: Option<String>,
}

/// A suite as a file.
pub(super) fn suite(name: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" \
         errors=\"0\" time=\"{seconds:.3}\">\n",
        escape(name),
        cases.len()
    );
    for case in cases {
        let name = escape(&case.name);
        let _ = write!(xml, "  <testcase classname=\"quorate-sim\" name=\"{name}\" time=\"{:.3}\"", case.seconds);
        match &case.failure {
            None => xml.push_str("/>\n"),
            Some(text) => {
                let message = escape(text.lines().next().unwrap_or_default());
                let _ =
                    write!(xml, ">\n    <failure message=\"{message}\">{}</failure>\n  </testcase>\n", escape(text));
            }
        }
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_escaped_and_counted() {
        let case =
            |failure: Option<&str>| Case { name: "a<b".into(), seconds: 0.5, failure: failure.map(str::to_owned) };
        let xml = suite("s", &[case(None), case(Some("x & \"y\"\nmore"))]);
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("message=\"x &amp; &quot;y&quot;\"") && xml.contains("a&lt;b"), "{xml}");
    }
}
