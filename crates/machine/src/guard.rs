//! Guards: conditions on entities as the operation finds them (data-model §2.4).

use quorate_crypto::PublicKey;
use quorate_storage::StateReader;
use quorate_types::kind::{Kind, Kinds};
use quorate_types::operation::{Condition, EntityId, Guard, Path};
use quorate_types::receipt::{Location, Rejection, RejectionCode};
use quorate_types::value::Value;

use crate::document::value_at;
use crate::draft::{Draft, Slot, Stop};
use crate::entity::Content;

/// Checks one guard. Who may read or write entities of the kind may put guards on them, since a receipt
/// tells whether a guard holds.
pub(crate) fn check<R: StateReader>(
    draft: &mut Draft<'_, '_, R>,
    kinds: &Kinds,
    author: &PublicKey,
    (index, guard): (u32, &Guard),
) -> Result<(), Stop> {
    let reject = |code, text| Stop::Rejected(Rejection::new(code, Location::Guard(index), text));
    let entity = &guard.entity;
    let kind = known_kind(kinds, entity).map_err(|(code, text)| reject(code, text))?;
    if !kind.access.read.includes(author) && !kind.access.write.includes(author) {
        let text = format!("this key may neither read nor write entities of kind {}", kind.name);
        return Err(reject(RejectionCode::PermissionDenied, text));
    }
    let slot = draft.slot(entity)?;
    match failure(slot, entity, &guard.condition) {
        None => Ok(()),
        Some(text) => Err(reject(RejectionCode::GuardFailed, text)),
    }
}

/// The kind of an entity.
pub(crate) fn known_kind<'k>(kinds: &'k Kinds, entity: &EntityId) -> Result<&'k Kind, (RejectionCode, String)> {
    let unknown = || (RejectionCode::UnknownKind, format!("this cluster has no kind {}", entity.kind));
    kinds.kind(&entity.kind).ok_or_else(unknown)
}

/// Why the condition doesn't hold, in words.
fn failure(slot: &Slot, entity: &EntityId, condition: &Condition) -> Option<String> {
    let absent = || format!("{entity} does not exist");
    match (condition, slot.header(), slot.content()) {
        (Condition::Absent, None, _) => None,
        (Condition::Absent, Some(header), _) => Some(format!("{entity} exists, at version {}", header.version)),
        (_, None, _) | (_, _, None) => Some(absent()),
        (Condition::Exists, Some(_), _) => None,
        (Condition::Version(wanted), Some(header), _) => {
            (header.version != *wanted).then(|| format!("{entity} is at version {}, not {wanted}", header.version))
        }
        (Condition::Last(wanted), Some(header), _) => {
            (header.last != *wanted).then(|| format!("the last operation on {entity} is {}, not {wanted}", header.last))
        }
        (Condition::ValueAt { path, value }, _, Some(content)) => value_failure(entity, content, path, value),
        (Condition::Contains(value), _, Some(content)) => member_failure(entity, content, value, true),
        (Condition::Lacks(value), _, Some(content)) => member_failure(entity, content, value, false),
    }
}

fn value_failure(entity: &EntityId, content: &Content, path: &Path, wanted: &Value) -> Option<String> {
    let made;
    let root = match content {
        Content::Document(root) | Content::Register(root) => root,
        other => {
            made = other.to_value();
            &made
        }
    };
    let found = value_at(root, &path.0);
    match found {
        Some(found) if found == wanted => None,
        Some(found) => Some(format!("at {path} of {entity} stands {}, not what was expected", shown(found))),
        None => Some(format!("there is nothing at {path} of {entity}")),
    }
}

fn member_failure(entity: &EntityId, content: &Content, wanted: &Value, is_wanted: bool) -> Option<String> {
    let Content::Set(members) = content else {
        return Some(format!("{entity} is no set"));
    };
    let (found, text) = if is_wanted { ("isn't", "was expected") } else { ("is", "wasn't expected") };
    (members.contains(wanted) != is_wanted)
        .then(|| format!("{} {found} a member of {entity}, which {text}", shown(wanted)))
}

/// A value as a sentence shows it: short ones whole, others by type.
fn shown(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Decimal(value) => value.to_string(),
        Value::Text(text) if text.len() <= 64 => format!("{text:?}"),
        other => other.type_name().to_owned(),
    }
}
