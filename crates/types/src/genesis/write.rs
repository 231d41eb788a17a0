//! Writes a genesis file for people to read: every parameter with its reason.

use std::fmt::{self, Write as _};

use super::{GenesisContent, VERSION, schema};
use crate::kind::{EntityType, Kind, Right};
use crate::parameters::Parameters;

pub(super) fn write(content: &GenesisContent) -> String {
    let mut text = String::new();
    write_all(content, &mut text).expect("writing to a string cannot fail");
    text
}

fn write_all(content: &GenesisContent, out: &mut String) -> fmt::Result {
    writeln!(out, "# The genesis of a Quorate cluster: identical, byte for byte, at all validators and clients.")?;
    writeln!(out, "# Its SHA-256 is the cluster's id: an edited file is another cluster's.")?;
    writeln!(out, "version = {VERSION}\nname = \"{}\"\n", content.name)?;
    writeln!(out, "# Who may change the cluster, and how many of them must agree.\n[administrators]")?;
    writeln!(out, "threshold = {}\nkeys = [", content.administrators.threshold)?;
    for key in &content.administrators.keys {
        writeln!(out, "    \"{key}\",")?;
    }
    writeln!(out, "]\n")?;
    write_parameters(&content.parameters, out)?;
    for validator in &content.validators {
        let info = &validator.info;
        writeln!(out, "[[validators]]\nname = \"{}\"", info.name)?;
        writeln!(out, "consensus_key = \"{}\"", info.consensus_key)?;
        writeln!(out, "network_key = \"{}\"", info.network_key)?;
        writeln!(out, "incarnation = \"{}\"", quorate_crypto::Digest::new(info.incarnation))?;
        writeln!(out, "peer_address = \"{}\"", info.peer_address)?;
        if let Some(address) = &validator.client_address {
            writeln!(out, "client_address = \"{address}\"")?;
        }
        writeln!(out)?;
    }
    content.kinds.iter().try_for_each(|kind| write_kind(kind, out))
}

fn write_parameters(parameters: &Parameters, out: &mut String) -> fmt::Result {
    writeln!(out, "[parameters]")?;
    for (info, value) in Parameters::TABLE.iter().zip(parameters.values()) {
        writeln!(out, "# {}", info.reason)?;
        writeln!(out, "# {}, {} to {}, default {}", info.unit, info.low, info.high, info.default)?;
        writeln!(out, "{} = {value}", info.name)?;
    }
    writeln!(out)
}

fn write_kind(kind: &Kind, out: &mut String) -> fmt::Result {
    writeln!(out, "[[kinds]]\nname = \"{}\"", kind.name)?;
    writeln!(out, "type = \"{}\"\nconsistency = \"{}\"", kind.entity_type.name(), kind.consistency.name())?;
    if let EntityType::Account { overdraft } = kind.entity_type {
        writeln!(out, "overdraft = {overdraft}")?;
    }
    if let Some(schema) = &kind.schema {
        writeln!(out, "schema = {}", schema::to_toml(schema.value()))?;
    }
    writeln!(out, "\n[kinds.access]")?;
    let access = &kind.access;
    let rights = [
        ("create", &access.create),
        ("write", &access.write),
        ("read", &access.read),
        ("administer", &access.administer),
    ];
    for (name, right) in rights {
        match right {
            Right::Anyone => writeln!(out, "{name} = \"anyone\"")?,
            Right::Keys(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                writeln!(out, "{name} = [{}]", keys.join(", "))?;
            }
        }
    }
    writeln!(out)
}
