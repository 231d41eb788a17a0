//! What an operation shall say, before it is signed, and how that is written in JSON.
//!
//! One line of JSON is one operation: a mutation by itself,
//! `{"do": "put", "entity": "package/zlib1g:amd64", "value": {…}}`, or several with guards and parents,
//! `{"mutations": […], "guards": [{"entity": "account/alice", "exists": true}], "parents": ["…"]}`.

use anyhow::{Context, bail, ensure};
use quorate_types::ids::OperationId;
use quorate_types::operation::{Change, Condition, EntityId, Guard, Mutation, OperationBuilder, Path};
use serde_json::{Map, Value as Json};

use crate::json;

/// An operation without author and nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Operations that it must come after.
    pub parents: Vec<OperationId>,
    /// Conditions.
    pub guards: Vec<Guard>,
    /// Changes.
    pub mutations: Vec<Mutation>,
}

impl Draft {
    /// An operation with one change.
    #[must_use]
    pub fn of(entity: EntityId, change: Change) -> Self {
        Self { mutations: vec![Mutation { entity, change }], ..Self::default() }
    }

    /// Reads one line of JSON.
    ///
    /// # Errors
    /// If it isn't an operation; the error says what is missing, unknown or wrong.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        let json: Json = serde_json::from_str(line).context("not a line of JSON")?;
        let Json::Object(map) = json else { bail!("an operation is a JSON object, this is {json}") };
        if map.contains_key("do") {
            return Ok(Self { mutations: vec![mutation(map)?], ..Self::default() });
        }
        let mut fields = Fields::new("an operation", map);
        let draft = Self {
            mutations: fields.objects("mutations", mutation)?,
            guards: fields.objects("guards", guard)?,
            parents: fields.list("parents")?.iter().map(operation_id).collect::<Result<_, _>>()?,
        };
        fields.finish()?;
        ensure!(!draft.mutations.is_empty(), "an operation needs \"mutations\", or \"do\" for a single one");
        Ok(draft)
    }

    /// Adds all of this to an operation.
    #[must_use]
    pub fn build(&self, builder: OperationBuilder) -> OperationBuilder {
        let builder = self.parents.iter().fold(builder, |builder, parent| builder.parent(*parent));
        let guards = self.guards.iter().cloned();
        let builder = guards.fold(builder, |builder, guard| builder.guard(guard.entity, guard.condition));
        let mutations = self.mutations.iter().cloned();
        mutations.fold(builder, |builder, mutation| builder.mutate(mutation.entity, mutation.change))
    }
}

/// Reads `kind/id`.
///
/// # Errors
/// If there is no slash, or nothing before or behind it.
pub fn entity(text: &str) -> anyhow::Result<EntityId> {
    match text.split_once('/') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok(EntityId::new(kind, id)),
        _ => bail!("{text:?} names no entity; one is named kind/id, such as document/greeting"),
    }
}

fn mutation(map: Map<String, Json>) -> anyhow::Result<Mutation> {
    let mut fields = Fields::new("a mutation", map);
    let name = fields.text("do")?;
    let entity = entity(&fields.text("entity")?)?;
    let change = match name.as_str() {
        "create" => Change::Create { value: fields.optional("value").map(|json| json::to_value(&json)).transpose()? },
        "put" => Change::Put { value: fields.value()? },
        "delete" => Change::Delete,
        "set" => Change::Set { path: fields.path()?, value: fields.value()? },
        "unset" => Change::Unset { path: fields.path()? },
        "increment" => Change::Increment { path: fields.path()?, by: fields.number("by")? },
        "push" => Change::Push { path: fields.path()?, value: fields.value()? },
        "pull" => Change::Pull { path: fields.path()?, value: fields.value()? },
        "add" => Change::Add { by: fields.number("by")? },
        "transfer" => Change::Transfer { to: fields.text("to")?, amount: fields.amount("amount")? },
        "mint" => Change::Mint { amount: fields.amount("amount")? },
        "burn" => Change::Burn { amount: fields.amount("amount")? },
        "insert" => Change::Insert { value: fields.value()? },
        "remove" => Change::Remove { value: fields.value()? },
        "restock" => Change::Restock { amount: fields.amount("amount")? },
        "reserve" => Change::Reserve { amount: fields.amount("amount")? },
        "release" => Change::Release { amount: fields.amount("amount")? },
        "take" => Change::Take { amount: fields.amount("amount")? },
        other => bail!(
            "\"do\" is {other:?}; there are create, put, delete, set, unset, increment, push, pull, add, transfer, \
             mint, burn, insert, remove, restock, reserve, release and take"
        ),
    };
    fields.finish()?;
    Ok(Mutation { entity, change })
}

fn guard(map: Map<String, Json>) -> anyhow::Result<Guard> {
    let mut fields = Fields::new("a guard", map);
    let entity = entity(&fields.text("entity")?)?;
    let names = ["exists", "absent", "version", "value", "last", "contains", "lacks"];
    let named = names.into_iter().find(|name| fields.map.contains_key(*name));
    let condition = match named {
        Some(name @ ("exists" | "absent")) => {
            let is_true = fields.optional(name) == Some(Json::Bool(true));
            ensure!(is_true, "a guard's {name:?} can only be true; for the opposite there is the other one");
            if name == "exists" { Condition::Exists } else { Condition::Absent }
        }
        Some("version") => Condition::Version(fields.amount("version")?),
        Some("value") => {
            let path = if fields.map.contains_key("path") { fields.path()? } else { Path::default() };
            Condition::ValueAt { path, value: fields.value()? }
        }
        Some("last") => Condition::Last(operation_id(&Json::String(fields.text("last")?))?),
        Some(name @ ("contains" | "lacks")) => {
            let value = json::to_value(&fields.optional(name).unwrap_or_default())?;
            if name == "contains" { Condition::Contains(value) } else { Condition::Lacks(value) }
        }
        _ => bail!(
            "a guard on {entity} needs one of exists, absent, version, value (with path), last, contains and lacks"
        ),
    };
    fields.finish()?;
    Ok(Guard { entity, condition })
}

fn operation_id(json: &Json) -> anyhow::Result<OperationId> {
    let text = json.as_str().with_context(|| format!("{json} is no operation's id"))?;
    let digest = text.parse().with_context(|| format!("{text:?} is no operation's id"))?;
    Ok(OperationId(digest))
}

/// The fields of an object, taken one by one, so that what is left over is known to be unknown.
struct Fields {
    what: &'static str,
    map: Map<String, Json>,
}

impl Fields {
    const fn new(what: &'static str, map: Map<String, Json>) -> Self {
        Self { what, map }
    }

    fn optional(&mut self, name: &str) -> Option<Json> {
        self.map.remove(name)
    }

    fn required(&mut self, name: &str) -> anyhow::Result<Json> {
        let what = self.what;
        self.optional(name).with_context(|| format!("{what} needs the field {name:?} here"))
    }

    fn text(&mut self, name: &str) -> anyhow::Result<String> {
        match self.required(name)? {
            Json::String(text) => Ok(text),
            other => bail!("{name:?} of {} is {other}; it must be text", self.what),
        }
    }

    fn number(&mut self, name: &str) -> anyhow::Result<i64> {
        let found = self.required(name)?;
        found.as_i64().with_context(|| format!("{name:?} of {} is {found}; it must be an integer", self.what))
    }

    fn amount(&mut self, name: &str) -> anyhow::Result<u64> {
        let found = self.required(name)?;
        found.as_u64().with_context(|| format!("{name:?} of {} is {found}; it must be an integer from 0", self.what))
    }

    fn path(&mut self) -> anyhow::Result<Path> {
        let text = self.text("path")?;
        text.parse().with_context(|| format!("the path {text:?}"))
    }

    fn value(&mut self) -> anyhow::Result<quorate_types::value::Value> {
        json::to_value(&self.required("value")?)
    }

    fn list(&mut self, name: &str) -> anyhow::Result<Vec<Json>> {
        match self.optional(name) {
            None => Ok(Vec::new()),
            Some(Json::Array(items)) => Ok(items),
            Some(other) => bail!("{name:?} of {} is {other}; it must be a list", self.what),
        }
    }

    fn objects<T>(
        &mut self,
        name: &str,
        read: impl Fn(Map<String, Json>) -> anyhow::Result<T>,
    ) -> anyhow::Result<Vec<T>> {
        let items = self.list(name)?.into_iter().enumerate().map(|(index, item)| match item {
            Json::Object(map) => read(map).with_context(|| format!("{name}[{index}]")),
            other => bail!("{name}[{index}] is {other}; it must be an object"),
        });
        items.collect()
    }

    fn finish(self) -> anyhow::Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => bail!("{} has no field {name:?} here", self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::value::Value;

    use super::*;

    #[test]
    fn every_mutation_can_be_written_on_one_line() {
        for (line, name) in [
            (r#"{"do":"create","entity":"counter/a"}"#, "create"),
            (r#"{"do":"put","entity":"document/a","value":null}"#, "put"),
            (r#"{"do":"delete","entity":"document/a"}"#, "delete"),
            (r#"{"do":"set","entity":"document/a","path":"/x","value":[1]}"#, "set"),
            (r#"{"do":"unset","entity":"document/a","path":"/x"}"#, "unset"),
            (r#"{"do":"increment","entity":"document/a","path":"/x","by":-2}"#, "increment"),
            (r#"{"do":"push","entity":"document/a","path":"/x","value":1}"#, "push"),
            (r#"{"do":"pull","entity":"document/a","path":"/x","value":1}"#, "pull"),
            (r#"{"do":"add","entity":"counter/a","by":5}"#, "add"),
            (r#"{"do":"transfer","entity":"account/a","to":"b","amount":5}"#, "transfer"),
            (r#"{"do":"mint","entity":"account/a","amount":5}"#, "mint"),
            (r#"{"do":"burn","entity":"account/a","amount":5}"#, "burn"),
            (r#"{"do":"insert","entity":"set/a","value":"red"}"#, "insert"),
            (r#"{"do":"remove","entity":"set/a","value":"red"}"#, "remove"),
            (r#"{"do":"restock","entity":"inventory/a","amount":5}"#, "restock"),
            (r#"{"do":"reserve","entity":"inventory/a","amount":5}"#, "reserve"),
            (r#"{"do":"release","entity":"inventory/a","amount":5}"#, "release"),
            (r#"{"do":"take","entity":"inventory/a","amount":5}"#, "take"),
        ] {
            let draft = Draft::parse(line).unwrap();
            assert_eq!(draft.mutations[0].change.name(), name, "{line}");
        }
        let put = Draft::parse(r#"{"do":"put","entity":"document/a/b","value":null}"#).unwrap();
        assert_eq!(put, Draft::of(EntityId::new("document", "a/b"), Change::Put { value: Value::Null }));
    }

    #[test]
    fn guards_and_parents_stand_beside_several_mutations() {
        let id = "ab".repeat(32);
        let line = format!(
            r#"{{"mutations":[{{"do":"add","entity":"counter/a","by":1}},{{"do":"delete","entity":"document/b"}}],
                "guards":[{{"entity":"counter/a","version":3}},{{"entity":"document/b","path":"/x","value":1}},
                {{"entity":"document/c","absent":true}},{{"entity":"document/b","exists":true}},
                {{"entity":"document/b","last":"{id}"}},{{"entity":"set/a","contains":null}},
                {{"entity":"set/a","lacks":[1]}}],"parents":["{id}"]}}"#
        );
        let draft = Draft::parse(&line).unwrap();
        assert_eq!((draft.mutations.len(), draft.guards.len(), draft.parents.len()), (2, 7, 1));
        assert_eq!(draft.guards[0].condition, Condition::Version(3));
    }

    #[test]
    fn a_wrong_line_is_refused_with_what_is_wrong() {
        for (line, said) in [
            ("", "not a line of JSON"),
            ("[]", "JSON object"),
            ("{}", "mutations"),
            (r#"{"do":"fly","entity":"document/a"}"#, "\"do\" is \"fly\""),
            (r#"{"do":"put","entity":"document/a"}"#, "\"value\""),
            (r#"{"do":"put","entity":"a","value":1}"#, "kind/id"),
            (r#"{"do":"delete","entity":"document/a","value":1}"#, "no field \"value\""),
            (r#"{"do":"add","entity":"counter/a","by":"1"}"#, "integer"),
            (r#"{"do":"unset","entity":"document/a","path":"x"}"#, "'/'"),
            (
                r#"{"mutations":[{"do":"delete","entity":"document/a"}],"guards":[{"entity":"document/a"}]}"#,
                "guards[0]",
            ),
        ] {
            let error = format!("{:#}", Draft::parse(line).unwrap_err());
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
