//! Progress: a bar on a terminal, and now and then a line elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is written where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// How far something has come.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    what: &'static str,
    /// When the last line was written, where there is no terminal.
    written: Option<Mutex<Instant>>,
}

impl Bar {
    /// Something that ends after `length` steps.
    #[must_use]
    pub fn new(what: &'static str, length: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = "{msg} {bar:40} {human_pos} of {human_len}  {per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(length), target).with_style(style).with_message(what);
        Self { bar, what, written: (!is_terminal).then(|| Mutex::new(Instant::now())) }
    }

    /// Something of which nobody knows how long it takes.
    #[must_use]
    pub fn endless(what: &'static str) -> Self {
        let bar = Self::new(what, 0);
        bar.bar.unset_length();
        bar.bar.set_style(
            ProgressStyle::with_template("{msg} {human_pos}  {per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar
    }

    /// So far.
    pub fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// One step further.
    pub fn advance(&self) {
        self.bar.inc(1);
        let Some(written) = &self.written else { return };
        let mut written = written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if written.elapsed() >= INTERVAL {
            *written = Instant::now();
            eprintln!("{}: {} of {}", self.what, self.bar.position(), self.bar.length().unwrap_or_default());
        }
    }

    /// The steps so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.bar.position()
    }

    /// Writes a line above the bar.
    pub fn println(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
