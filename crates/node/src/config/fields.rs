//! Every field of `node.toml` with the reason of its default: the known names, and the comments of the
//! file that `quorate init` writes.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::raw::RawConfig;

/// What is known about one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The table it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it does, and why the default is what it is.
    pub reason: &'static str,
}

macro_rules! fields {
    ($($section:literal { $($name:literal: $reason:literal;)* })*) => {
        /// Every field, table by table, in the order in which the file is written.
        pub const FIELDS: &[Field] = &[$($(Field { section: $section, name: $name, reason: $reason },)*)*];
    };
}

fields! {
    "peers" {
        "listen": "Where the other validators reach this one. All interfaces: they are elsewhere, and TLS with pinned keys keeps everybody else out.";
        "queue_bytes": "Messages to one peer that wait to be sent, in bytes; beyond it the oldest fall out and are sent again when the peer's status shows that it lacks them. One lane's worth, so that a short outage loses nothing.";
        "bytes_per_second": "What one peer may send. Above what a cluster at its limit needs, below what would keep this machine busy for nothing.";
        "joins": "This validator is none of the genesis and is to be added by `quorate propose add`: it follows, and says that it is ready once it has caught up. Off, so that a wrong key is found at the start; nothing changes once it is a validator.";
        "addresses": "Addresses that replace those of the genesis, by the validator's name: for private networks and moved machines.";
    }
    "clients" {
        "listen": "Where clients reach this validator. 0.0.0.0 is every interface; the address of one restricts who may come.";
        "plaintext": "Without TLS. For experiments on one machine, and refused on any other address.";
        "requests_per_second": "Calls, and messages on streams, from one address. Above what a validator orders, so that it stops floods and no client that works.";
        "bytes_per_second": "Bytes of operations from one address. As above.";
        "connections": "Connections open at once; each costs some 100 KiB.";
        "submissions": "Operations that wait for their receipts at once, of all clients: several seconds of a busy cluster.";
        "stream_submissions": "Operations under way at once on one stream; beyond it the stream isn't read. A full pipeline for one client, and eight such clients fit into `submissions`.";
        "watches": "Watches open at once; each costs a task and its queue.";
        "watch_patience_ms": "How long an entry may wait for its watcher before the watch is cut, with the sequence to resume from. Rides over a pause of the client's process.";
        "deadline_ms": "The deadline of a call that brings none, and the longest that one may bring: as long as several view changes.";
    }
    "admin" {
        "socket": "The operator's unix socket, mode 0600: whoever may open it may stop the node.";
    }
    "paths" {
        "genesis": "The genesis file. Paths that don't start with / start at this file's directory.";
        "store": "The store's directory.";
        "guard_file": "The second record of what was signed (protocol §7.2). On another disk than the store, if there is one.";
        "consensus_key": "The key of everything that the protocol counts. Mode 0600.";
        "network_key": "The key of connections between validators. Mode 0600.";
        "client_certificate": "The certificate chain shown to clients, PEM.";
        "client_key": "Its key, PEM. Mode 0600.";
    }
    "retention" {
        "sequences": "Sequences kept below the stable checkpoint with their proposals, bundles, votes and receipts; older ones leave the store. 0 keeps everything. More than the longest outage of any validator, because one that needs what nobody keeps can't catch up in this version: a million is some hours of a busy cluster.";
    }
    "resources" {
        "block_cache_bytes": "What the store keeps of its files in memory: a few hundred thousand hot entries.";
        "write_buffer_bytes": "What the store keeps of writes in memory before it writes a sorted file.";
        "max_log_bytes": "Write-ahead log before old parts are flushed: bounds the time of a restart to seconds.";
        "max_open_files": "Sorted files kept open; each costs a descriptor.";
        "background_jobs": "Threads for flushes and compactions. Two, so that a flush never waits for a compaction.";
        "verification_threads": "Threads that verify signatures. 0: one per core.";
        "batch_bytes": "Received messages of one peer that are verified as one batch: one full bundle. With the largest message it bounds what a peer can have in memory here.";
        "recent_sequences": "Executed sequences whose receipts are kept in memory for clients that wait and watchers: longer than certification takes at any load. Older ones are read from the store.";
    }
    "telemetry" {
        "log_format": "\"text\" for people, \"json\" for machines.";
        "log_filter": "Which lines are written: a level, or directives as in \"info,quorate_node=debug\".";
        "metrics": "Where Prometheus finds the metrics, such as \"127.0.0.1:7200\". Empty: nowhere.";
        "recording": "The flight recorder's file: all that the replica is told from the start on, for quorate-sim replay; without keys. Empty: off.";
        "recording_bytes": "The most bytes of a recording: half for the beginning, half for the end.";
    }
}

/// The file that says `config`, every field behind its reason.
pub(super) fn write(config: &RawConfig) -> String {
    let table = Table::try_from(config).expect("numbers, texts and tables of them can be written as TOML");
    let mut text = String::from(
        "# The configuration of one Quorate validator. It may differ from other validators' and change at a\n\
         # restart. A field that is left out has its default.\n",
    );
    let mut section = "";
    for field in FIELDS {
        if field.section != section {
            section = field.section;
            write_line(&mut text, &format!("\n[{section}]"));
        }
        let value = table.get(section).and_then(|content| content.get(field.name));
        write_field(&mut text, field, value);
    }
    text
}

/// `docs/configuration.md`, made from the table and the defaults.
pub(super) fn to_markdown() -> String {
    let table =
        Table::try_from(RawConfig::default()).expect("numbers, texts and tables of them can be written as TOML");
    let mut text = String::from(
        "# node.toml\n\nWhat one validator's operator decides; it may differ from other validators' and change at a restart. \
         A field that is left out has its default. An unknown field is refused with the nearest known name. This file is \
         made from the table in `crates/node/src/config/fields.rs`, and a test compares the two.\n\n\
         | field | default | what it does, and why this default |\n|---|---|---|\n",
    );
    for Field { section, name, reason } in FIELDS {
        let value =
            table.get(*section).and_then(|content| content.get(*name)).map_or_else(String::new, Value::to_string);
        write_line(&mut text, &format!("| `{section}.{name}` | `{}` | {reason} |", value.trim()));
    }
    text
}

fn write_field(text: &mut String, field: &Field, value: Option<&Value>) {
    for line in wrap(field.reason, 100) {
        write_line(text, &format!("# {line}"));
    }
    match value {
        Some(Value::Table(inner)) => {
            let entries: Vec<String> =
                inner.iter().map(|(name, value)| format!("{} = {value}", quoted(name))).collect();
            let inside = if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) };
            write_line(text, &format!("{} = {inside}", field.name));
        }
        Some(value) => write_line(text, &format!("{} = {value}", field.name)),
        None => {}
    }
}

fn quoted(name: &str) -> String {
    Value::String(name.to_owned()).to_string()
}

fn write_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

/// The words of `text` in lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
