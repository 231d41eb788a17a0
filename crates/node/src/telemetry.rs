//! Logs: lines for people or JSON, filtered, and the filter replaceable while the node runs.
//!
//! Logging is the process's, not the node's: whoever owns `main` calls [`init`] once. Without it, as in
//! tests, nothing is written and [`set_filter`] says so.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use crate::config::{LogFormat, TelemetryConfig};

static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why logs can't be set up or changed.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error("the log filter {filter:?} can't be read: {source}")]
    Filter {
        /// The filter given.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before in this process.
    #[error("logging was set up before in this process")]
    SetUpBefore,
    /// Logging was not set up by [`init`].
    #[error("logging was not set up by this node, so its filter can't be changed")]
    NotSetUp,
}

/// Starts writing log lines to standard error.
///
/// # Errors
/// If the filter can't be read or logging was set up before.
pub fn init(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let (filter, handle) = reload::Layer::new(parse(&config.log_filter)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let set_up = tracing_subscriber::registry().with(filter).with(lines).try_init();
    set_up.map_err(|_| TelemetryError::SetUpBefore)?;
    FILTER.set(handle).map_err(|_| TelemetryError::SetUpBefore)
}

/// Replaces the filter and gives the one before.
///
/// # Errors
/// If the filter can't be read, which changes nothing, or [`init`] was not called.
pub fn set_filter(filter: &str) -> Result<String, TelemetryError> {
    let parsed = parse(filter)?;
    let handle = FILTER.get().ok_or(TelemetryError::NotSetUp)?;
    let previous = handle.with_current(ToString::to_string).map_err(|_| TelemetryError::NotSetUp)?;
    handle.reload(parsed).map_err(|_| TelemetryError::NotSetUp)?;
    Ok(previous)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_filter_is_refused_with_its_text() {
        let error = set_filter("info,quorate_node=loud").unwrap_err();
        assert!(matches!(&error, TelemetryError::Filter { filter, .. } if filter.contains("loud")), "{error}");
        assert!(matches!(set_filter("debug"), Err(TelemetryError::NotSetUp)));
    }
}
