//! Mutations of one entity, two for a transfer (data-model §2.3), with the rights that they need.

use quorate_crypto::PublicKey;
use quorate_storage::StateReader;
use quorate_types::entity::{Members, Stock};
use quorate_types::kind::{EntityType, Kind, Kinds, Right};
use quorate_types::operation::{Change, EntityId, Mutation, Path};
use quorate_types::parameters::Parameters;
use quorate_types::receipt::{Location, Rejection, RejectionCode};
use quorate_types::value::Value;

use crate::document::{self, Refusal};
use crate::draft::{Draft, Stop};
use crate::entity::Content;
use crate::guard::known_kind;

/// What applying needs beside the entities.
pub(crate) struct Context<'a> {
    pub(crate) kinds: &'a Kinds,
    pub(crate) parameters: &'a Parameters,
    pub(crate) author: PublicKey,
}

/// Applies one mutation to the draft.
pub(crate) fn apply<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    context: &Context<'_>,
    index: u32,
    mutation: &Mutation,
) -> Result<(), Stop> {
    let outcome = apply_one(draft, context, mutation);
    match outcome {
        Ok(()) => {}
        Err(Failure::Refused((code, text))) => {
            return Err(Rejection::new(code, Location::Mutation(index), text).into());
        }
        Err(Failure::Stopped(stop)) => return Err(stop),
    }
    draft.slot(&mutation.entity)?.mark_changed(index);
    if let Change::Transfer { to, .. } = &mutation.change {
        draft.slot(&EntityId::new(&mutation.entity.kind, to))?.mark_changed(index);
    }
    Ok(())
}

enum Failure {
    Refused(Refusal),
    Stopped(Stop),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

fn apply_one<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    context: &Context<'_>,
    mutation: &Mutation,
) -> Result<(), Failure> {
    let Mutation { entity, change } = mutation;
    let kind = known_kind(context.kinds, entity)?;
    let exists = draft.slot(entity)?.content().is_some();
    admit_right(kind, &context.author, change, exists)?;
    match change {
        Change::Create { value } => create(draft, context, kind, entity, value.as_ref()),
        Change::Delete => delete(draft, entity),
        Change::Add { by } => add(draft, kind, entity, *by),
        Change::Insert { value } | Change::Remove { value } => change_set(draft, context, kind, mutation, value),
        Change::Restock { amount }
        | Change::Reserve { amount }
        | Change::Release { amount }
        | Change::Take { amount } => change_stock(draft, kind, mutation, *amount),
        Change::Transfer { .. } | Change::Mint { .. } | Change::Burn { .. } => {
            let EntityType::Account { overdraft } = kind.entity_type else {
                return Err(wrong_kind(kind, change, "accounts").into());
            };
            move_amount(draft, entity, change, overdraft)
        }
        Change::Put { value } => put(draft, context, kind, mutation, value),
        _ => change_document(draft, context, kind, mutation),
    }
}

/// Who may do this: `create` makes, `administer` mints, burns and restocks, `write` does the rest.
fn admit_right(kind: &Kind, author: &PublicKey, change: &Change, exists: bool) -> Result<(), Refusal> {
    let access = &kind.access;
    let (right, verb): (&Right, _) = match change {
        Change::Create { .. } => (&access.create, "create"),
        Change::Put { .. } if !exists => (&access.create, "create"),
        Change::Mint { .. } | Change::Burn { .. } | Change::Restock { .. } => (&access.administer, "administer"),
        _ => (&access.write, "write"),
    };
    if right.includes(author) {
        return Ok(());
    }
    let text = format!("this key may not {verb} entities of kind {}", kind.name);
    Err((RejectionCode::PermissionDenied, text))
}

fn create<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    context: &Context<'_>,
    kind: &Kind,
    entity: &EntityId,
    value: Option<&Value>,
) -> Result<(), Failure> {
    let wrong = |text: &str| (RejectionCode::WrongType, text.to_owned());
    let content = match (kind.entity_type, value) {
        (EntityType::Document, Some(value)) => {
            admit_levels(context, 0, value)?;
            Content::Document(value.clone())
        }
        (EntityType::Document, None) => return Err(wrong("a document is created with its content").into()),
        (EntityType::Counter, None) => Content::Counter(0),
        (EntityType::Counter, Some(Value::Integer(first))) => Content::Counter(*first),
        (EntityType::Counter, Some(_)) => return Err(wrong("a counter's first value is an integer").into()),
        (EntityType::Account { .. }, None) => Content::Account(0),
        (EntityType::Account { .. }, Some(_)) => return Err(wrong("an account is created without a value").into()),
        (EntityType::Register, Some(value)) => {
            admit_levels(context, 0, value)?;
            Content::Register(value.clone())
        }
        (EntityType::Register, None) => return Err(wrong("a register is created with its value").into()),
        (EntityType::Set, None) => Content::Set(Members::default()),
        (EntityType::Set, Some(members @ Value::List(items))) => {
            admit_levels(context, 0, members)?;
            Content::Set(items.iter().cloned().collect())
        }
        (EntityType::Set, Some(_)) => return Err(wrong("a set's first members are a list").into()),
        (EntityType::Inventory, None) => Content::Inventory(Stock::default()),
        (EntityType::Inventory, Some(_)) => return Err(wrong("an inventory is created without a value").into()),
    };
    let slot = draft.slot(entity)?;
    if slot.content().is_some() {
        return Err((RejectionCode::AlreadyExists, format!("{entity} exists already")).into());
    }
    slot.create(content);
    Ok(())
}

fn delete<R: StateReader>(draft: &mut Draft<'_, '_, R>, entity: &EntityId) -> Result<(), Failure> {
    let slot = draft.slot(entity)?;
    match slot.content() {
        None => Err(not_found(entity).into()),
        Some(Content::Account(balance)) if *balance != 0 => {
            let text = format!("{entity} holds {balance}; only an account at zero can be deleted");
            Err((RejectionCode::NotEmpty, text).into())
        }
        Some(Content::Inventory(Stock { available, reserved })) if (*available, *reserved) != (0, 0) => {
            let text = format!("{entity} has {available} available and {reserved} reserved; only an empty one can go");
            Err((RejectionCode::NotEmpty, text).into())
        }
        Some(_) => {
            slot.delete();
            Ok(())
        }
    }
}

fn add<R: StateReader>(draft: &mut Draft<'_, '_, R>, kind: &Kind, entity: &EntityId, by: i64) -> Result<(), Failure> {
    if kind.entity_type != EntityType::Counter {
        return Err(wrong_kind(kind, &Change::Add { by }, "counters").into());
    }
    let Some(Content::Counter(value)) = draft.slot(entity)?.content_mut() else {
        return Err(not_found(entity).into());
    };
    let sum = value.checked_add(by);
    let text = || format!("{entity} at {value} plus {by} leaves the range of 64-bit integers");
    *value = sum.ok_or_else(|| (RejectionCode::Overflow, text()))?;
    Ok(())
}

fn move_amount<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    entity: &EntityId,
    change: &Change,
    overdraft: bool,
) -> Result<(), Failure> {
    match change {
        Change::Transfer { to, amount } => {
            let to = EntityId::new(&entity.kind, to);
            if to == *entity {
                let text = format!("{entity} can't transfer to itself");
                return Err((RejectionCode::SameAccount, text).into());
            }
            withdraw(draft, entity, *amount, overdraft)?;
            deposit(draft, &to, *amount)
        }
        Change::Mint { amount } => {
            deposit(draft, entity, *amount)?;
            Ok(draft.change_supply(&entity.kind, i128::from(*amount)).map_err(Stop::from)?)
        }
        Change::Burn { amount } => {
            withdraw(draft, entity, *amount, overdraft)?;
            Ok(draft.change_supply(&entity.kind, -i128::from(*amount)).map_err(Stop::from)?)
        }
        _ => Ok(()),
    }
}

fn withdraw<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    entity: &EntityId,
    amount: u64,
    overdraft: bool,
) -> Result<(), Failure> {
    let balance = balance(draft, entity)?;
    let left = i128::from(*balance) - i128::from(amount);
    if left < 0 && !overdraft {
        let text = format!("{entity} holds {balance}, {amount} are needed");
        return Err((RejectionCode::InsufficientFunds, text).into());
    }
    *balance = in_range(entity, left)?;
    Ok(())
}

fn deposit<R: StateReader>(draft: &mut Draft<'_, '_, R>, entity: &EntityId, amount: u64) -> Result<(), Failure> {
    let balance = balance(draft, entity)?;
    *balance = in_range(entity, i128::from(*balance) + i128::from(amount))?;
    Ok(())
}

fn balance<'d, R: StateReader>(draft: &'d mut Draft<'_, '_, R>, entity: &EntityId) -> Result<&'d mut i64, Failure> {
    match draft.slot(entity)?.content_mut() {
        Some(Content::Account(balance)) => Ok(balance),
        _ => Err(not_found(entity).into()),
    }
}

fn in_range(entity: &EntityId, amount: i128) -> Result<i64, Refusal> {
    let text = || format!("an amount of {amount} of {entity} leaves the range of 64-bit integers");
    i64::try_from(amount).map_err(|_| (RejectionCode::Overflow, text()))
}

fn change_set<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    context: &Context<'_>,
    kind: &Kind,
    Mutation { entity, change }: &Mutation,
    value: &Value,
) -> Result<(), Failure> {
    if kind.entity_type != EntityType::Set {
        return Err(wrong_kind(kind, change, "sets").into());
    }
    admit_levels(context, 1, value)?;
    let Some(Content::Set(members)) = draft.slot(entity)?.content_mut() else {
        return Err(not_found(entity).into());
    };
    match change {
        Change::Remove { .. } => members.remove(value),
        _ => members.insert(value.clone()),
    };
    Ok(())
}

fn change_stock<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    kind: &Kind,
    Mutation { entity, change }: &Mutation,
    amount: u64,
) -> Result<(), Failure> {
    if kind.entity_type != EntityType::Inventory {
        return Err(wrong_kind(kind, change, "inventories").into());
    }
    let Some(Content::Inventory(stock)) = draft.slot(entity)?.content_mut() else {
        return Err(not_found(entity).into());
    };
    let (available, reserved) = (i128::from(stock.available), i128::from(stock.reserved));
    let amount = i128::from(amount);
    let (left, aside) = match change {
        Change::Reserve { .. } => (available - amount, reserved + amount),
        Change::Release { .. } => (available + amount, reserved - amount),
        Change::Take { .. } => (available, reserved - amount),
        _ => (available + amount, reserved),
    };
    for (name, before, after) in [("available", available, left), ("reserved", reserved, aside)] {
        if after < 0 {
            let text = format!("{entity} has {before} {name}, {amount} are needed");
            return Err((RejectionCode::InsufficientStock, text).into());
        }
    }
    *stock = Stock { available: in_range(entity, left)?, reserved: in_range(entity, aside)? };
    Ok(())
}

fn put<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    context: &Context<'_>,
    kind: &Kind,
    Mutation { entity, change }: &Mutation,
    value: &Value,
) -> Result<(), Failure> {
    let content = match kind.entity_type {
        EntityType::Document => Content::Document(value.clone()),
        EntityType::Register => Content::Register(value.clone()),
        _ => return Err(wrong_kind(kind, change, "documents and registers").into()),
    };
    admit_levels(context, 0, value)?;
    draft.slot(entity)?.create(content);
    Ok(())
}

fn change_document<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    context: &Context<'_>,
    kind: &Kind,
    mutation: &Mutation,
) -> Result<(), Failure> {
    let Mutation { entity, change } = mutation;
    if kind.entity_type != EntityType::Document {
        return Err(wrong_kind(kind, change, "documents").into());
    }
    let Some(Content::Document(root)) = draft.slot(entity)?.content_mut() else {
        return Err(not_found(entity).into());
    };
    let levels = |path: &Path| path.0.len();
    let done = match change {
        Change::Set { path, value } => {
            admit_levels(context, levels(path), value)?;
            document::set(root, path, value.clone())
        }
        Change::Push { path, value } => {
            admit_levels(context, levels(path).saturating_add(1), value)?;
            document::push(root, path, value.clone())
        }
        Change::Unset { path } => document::unset(root, path),
        Change::Increment { path, by } => document::increment(root, path, *by),
        Change::Pull { path, value } => document::pull(root, path, value),
        _ => return Err(wrong_kind(kind, change, "other types").into()),
    };
    Ok(done.map_err(|(code, text)| (code, format!("{entity}: {text}")))?)
}

/// A value `above` levels down in a document must end within the document's levels.
fn admit_levels(context: &Context<'_>, above: usize, value: &Value) -> Result<(), Refusal> {
    let (levels, limit) = (above.saturating_add(value.depth()), context.parameters.document_levels as usize);
    if levels > limit {
        let text = format!("the document would have {levels} levels, {limit} are allowed");
        return Err((RejectionCode::DocumentTooDeep, text));
    }
    Ok(())
}

fn not_found(entity: &EntityId) -> Refusal {
    (RejectionCode::NotFound, format!("{entity} does not exist"))
}

fn wrong_kind(kind: &Kind, change: &Change, whose: &str) -> Refusal {
    let text = format!("{} is for {whose}; {} is a kind of {}s", change.name(), kind.name, kind.entity_type.name());
    (RejectionCode::WrongKind, text)
}
